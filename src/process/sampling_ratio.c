#include "process/sampling_ratio.h"

/* Digits beyond these change nothing that a threshold of 56 bits could show. */
#define SIGNIFICANT_DIGITS 17u
/* Below this the ratio is smaller than the smallest probability, 2^-56 (1.4e-17), whatever its
   digits. */
#define SMALLEST_EXPONENT (-64)
#define THRESHOLD_DIGITS  14
/* Significant hex digits of the probability that a threshold keeps. */
#define PRECISION 4

struct decimal {
    uint64_t digits;
    int exponent;
    unsigned digit_count; /* significant ones in `digits` */
    bool any;
};

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static void take_digits(struct slice *text, struct decimal *number, int step)
{
    while (text->size > 0 && is_digit(text->data[0])) {
        uint64_t digit = (uint64_t)(text->data[0] - '0');
        number->any = true;
        if (number->digit_count < SIGNIFICANT_DIGITS) {
            number->digits = number->digits * 10 + digit;
            number->digit_count += number->digits != 0;
            number->exponent += step;
        } else if (step == 0) {
            number->exponent++;
        }
        slice_take(text, 1);
    }
}

static bool take_exponent(struct slice *text, struct decimal *number)
{
    slice_take(text, 1);
    bool negative = false;
    if (text->size > 0 && (text->data[0] == '-' || text->data[0] == '+')) {
        negative = text->data[0] == '-';
        slice_take(text, 1);
    }
    if (text->size == 0) {
        return false;
    }
    int exponent = 0;
    while (text->size > 0 && is_digit(text->data[0])) {
        exponent = exponent < 10000 ? exponent * 10 + (text->data[0] - '0') : exponent;
        slice_take(text, 1);
    }
    number->exponent += negative ? -exponent : exponent;
    return true;
}

static double value_of(const struct decimal *number)
{
    double value = (double)number->digits;
    double power = 1;
    int exponent = number->exponent < 0 ? -number->exponent : number->exponent;
    for (int i = 0; i < exponent; i++) {
        power *= 10;
    }
    return number->exponent < 0 ? value / power : value * power;
}

bool sampling_ratio_parse(struct slice text, double *ratio)
{
    struct decimal number = {0};
    take_digits(&text, &number, 0);
    if (text.size > 0 && text.data[0] == '.') {
        slice_take(&text, 1);
        take_digits(&text, &number, -1);
    }
    if (!number.any) {
        return false;
    }
    if (text.size > 0 && (text.data[0] == 'e' || text.data[0] == 'E') &&
        !take_exponent(&text, &number)) {
        return false;
    }
    if (text.size > 0) {
        return false;
    }
    if (number.digits == 0 || number.exponent < SMALLEST_EXPONENT) {
        *ratio = 0;
        return true;
    }
    if (number.exponent > 0) {
        return false; /* ten or more: no ratio */
    }
    double value = value_of(&number);
    if (value > 1) {
        return false;
    }
    *ratio = value;
    return true;
}

/* How many leading hex digits of 1 - ratio are `f`, as the exponent of the ratio tells: they carry
   no precision. */
static int leading_digits(double ratio)
{
    int exponent = 0;
    while (ratio < 0.5) {
        ratio *= 2;
        exponent++;
    }
    return exponent / 4;
}

uint64_t sampling_ratio_threshold(double ratio)
{
    if (ratio >= 1) {
        return 0;
    }
    if (ratio < 0x1p-56) {
        return SAMPLING_KEEP_NONE;
    }
    int digits = PRECISION + leading_digits(ratio);
    digits = digits > 12 ? 12 : digits;
    int shift = 4 * (THRESHOLD_DIGITS - digits);
    /* 2 - ratio rather than 1 - ratio: rounds as the reference does. */
    double rejected = (2 - ratio) + 0.5 / (double)(UINT64_C(1) << (4 * digits)) - 1;
    uint64_t limit = UINT64_C(1) << (4 * digits);
    uint64_t threshold = (uint64_t)(rejected * (double)limit);
    threshold = threshold >= limit ? limit - 1 : threshold;
    return threshold << shift;
}
