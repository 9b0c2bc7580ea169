#include "worker/utc_time.h"

#include <stdio.h>

#define MS_PER_DAY UINT64_C(86400000)
#define LAST_MS    UINT64_C(253402300799999)

struct date {
    unsigned year;
    unsigned month;
    unsigned day;
};

/* Counts years from March on, so that the day that not every year has comes last. */
static struct date date_of(uint64_t days_since_1970)
{
    uint64_t days = days_since_1970 + 719468; /* since 1 March of the year 0 */
    uint64_t era = days / 146097;             /* 400 years */
    uint64_t of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * of_year + 2) / 153; /* from March */
    return (struct date){
        .year = (unsigned)(era * 400 + year + (month >= 10)),
        .month = (unsigned)(month < 10 ? month + 3 : month - 9),
        .day = (unsigned)(of_year - (153 * month + 2) / 5 + 1),
    };
}

size_t utc_time_format(uint64_t unix_ms, char text[UTC_TIME_BYTES])
{
    uint64_t ms = unix_ms < LAST_MS ? unix_ms : LAST_MS;
    struct date date = date_of(ms / MS_PER_DAY);
    unsigned of_day = (unsigned)(ms % MS_PER_DAY);
    return (size_t)snprintf(text, UTC_TIME_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", date.year,
                            date.month, date.day, of_day / 3600000, of_day / 60000 % 60,
                            of_day / 1000 % 60, of_day % 1000);
}
