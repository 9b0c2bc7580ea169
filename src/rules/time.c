#include "rules/time.h"

#define SECOND UINT64_C(1000000000)

/* Up to `most` digits; false if there is none. */
static bool take_digits(struct slice *text, size_t most, uint64_t *number)
{
    size_t size = 0;
    *number = 0;
    while (size < most && size < text->size && (uint8_t)(text->data[size] - '0') <= 9) {
        *number = *number * 10 + (uint64_t)(text->data[size] - '0');
        size++;
    }
    slice_take(text, size);
    return size > 0;
}

static bool take_byte(struct slice *text, uint8_t byte)
{
    if (text->size == 0 || text->data[0] != byte) {
        return false;
    }
    slice_take(text, 1);
    return true;
}

/* What stands behind a decimal point, in units of 10 to the power of -digits. */
static uint64_t take_fraction(struct slice *text, uint32_t digits)
{
    uint64_t value = 0;
    if (!take_byte(text, '.')) {
        return 0;
    }
    for (uint32_t i = 0; i < digits; i++) {
        uint64_t digit = 0;
        take_digits(text, 1, &digit);
        value = value * 10 + digit;
    }
    return value;
}

static uint64_t of_number(struct slice text, uint64_t unit, uint32_t fraction_digits)
{
    uint64_t number;
    if (!take_digits(&text, 15, &number) || number > UINT64_MAX / unit - 1) {
        return 0;
    }
    return number * unit + take_fraction(&text, fraction_digits);
}

/* Days from 1970-01-01 in the Gregorian calendar, whose years begin in March here so that the leap
   day is the last. */
static uint64_t days_of(uint64_t year, uint64_t month, uint64_t day)
{
    uint64_t shifted = month <= 2 ? year - 1 : year;
    uint64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + of_year - 719468;
}

static uint64_t of_iso(struct slice text)
{
    uint64_t year;
    uint64_t month;
    uint64_t day;
    uint64_t hour;
    uint64_t minute;
    uint64_t second;
    bool is_date = take_digits(&text, 4, &year) && take_byte(&text, '-') &&
                   take_digits(&text, 2, &month) && take_byte(&text, '-') &&
                   take_digits(&text, 2, &day) && (take_byte(&text, 'T') || take_byte(&text, ' '));
    bool is_time = is_date && take_digits(&text, 2, &hour) && take_byte(&text, ':') &&
                   take_digits(&text, 2, &minute) && take_byte(&text, ':') &&
                   take_digits(&text, 2, &second);
    if (!is_time || year < 1970 || year > 2500 || month < 1 || month > 12 || day < 1 || day > 31 ||
        hour > 23 || minute > 59 || second > 60) {
        return 0;
    }
    uint64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    uint64_t fraction = take_fraction(&text, 9);
    bool is_east = text.size > 0 && text.data[0] == '+';
    if (is_east || (text.size > 0 && text.data[0] == '-')) {
        slice_take(&text, 1);
        minute = 0;
        if (!take_digits(&text, 2, &hour)) {
            return 0;
        }
        take_byte(&text, ':');
        take_digits(&text, 2, &minute);
        uint64_t offset = hour * 3600 + minute * 60;
        seconds = is_east ? seconds - offset : seconds + offset;
    }
    return seconds * SECOND + fraction;
}

uint64_t rules_time(struct slice text, enum rule_unit unit)
{
    switch (unit) {
    case RULE_UNIT_MS:
        return of_number(text, SECOND / 1000, 6);
    case RULE_UNIT_S:
        return of_number(text, SECOND, 9);
    case RULE_UNIT_ISO:
        return of_iso(text);
    case RULE_UNIT_NONE:
    case RULE_UNIT_PACKED:
        break;
    }
    return 0;
}
