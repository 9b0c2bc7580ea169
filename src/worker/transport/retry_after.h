/* The Retry-After header: decimal seconds or an HTTP date (RFC 9110 10.2.3). */
#pragma once

#include <stdint.h>

#include "base/slice.h"

/* How long to wait, cut to LIMIT_RETRY_AFTER_MS; `now_s` is the time since 1970 UTC. 0 if `value`
   says nothing that can be understood, or a moment that has passed. Of the three date forms only
   the one that may still be sent is understood: "Sun, 06 Nov 1994 08:49:37 GMT". */
uint32_t retry_after_ms(struct slice value, int64_t now_s);
