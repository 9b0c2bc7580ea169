/*
 * Moments as text. The C library's gmtime_r takes the lock of the time zone, which stays taken in
 * the child of a fork that came at that moment: the program's own localtime would wait for ever.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UTC_TIME_BYTES 32u

/* Writes milliseconds since 1970 as 2024-02-29T23:59:59.999Z (RFC 3339) with a NUL. Years after
   9999 are written as the last moment of 9999. Returns the length without the NUL. */
size_t utc_time_format(uint64_t unix_ms, char text[UTC_TIME_BYTES]);
