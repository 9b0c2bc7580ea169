#include "worker/transport/retry_after.h"

#include <stdbool.h>

#include "base/limits.h"

static uint32_t capped_ms(int64_t seconds)
{
    if (seconds <= 0) {
        return 0;
    }
    return seconds >= LIMIT_RETRY_AFTER_MS / 1000 ? LIMIT_RETRY_AFTER_MS : (uint32_t)seconds * 1000;
}

/* `count` digits at `text`, or -1. */
static int digits(const uint8_t *text, size_t count)
{
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar; years are counted from March, so that
   the leap day comes last. */
static int64_t days_since_1970(int year, int month, int day)
{
    int64_t shifted_year = month > 2 ? year : year - 1;
    int64_t shifted_month = month > 2 ? month - 3 : month + 9;
    int64_t day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    int64_t days = shifted_year * 365 + shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    return days + day_of_year - 719468;
}

static bool date_seconds(struct slice value, int64_t *seconds)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    /* Sun, 06 Nov 1994 08:49:37 GMT */
    if (value.size != 29 || memcmp(value.data + 25, " GMT", 4) != 0) {
        return false;
    }
    int month = 0;
    while (month < 12 && memcmp(value.data + 8, months + 3 * month, 3) != 0) {
        month++;
    }
    int day = digits(value.data + 5, 2);
    int year = digits(value.data + 12, 4);
    int hour = digits(value.data + 17, 2);
    int minute = digits(value.data + 20, 2);
    int second = digits(value.data + 23, 2);
    if (month == 12 || day < 1 || day > 31 || year < 1970 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 60) {
        return false;
    }
    *seconds = days_since_1970(year, month + 1, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

uint32_t retry_after_ms(struct slice value, int64_t now_s)
{
    int64_t moment;
    if (date_seconds(value, &moment)) {
        return capped_ms(moment - now_s);
    }
    int64_t seconds = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return 0;
        }
        /* Beyond the cap further digits change nothing. */
        if (seconds < LIMIT_RETRY_AFTER_MS) {
            seconds = seconds * 10 + (value.data[i] - '0');
        }
    }
    return capped_ms(seconds);
}
