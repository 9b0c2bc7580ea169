/* Whether somebody listens where spans are sent: a connection, and no byte on it. */
#pragma once

#include "command/doctor/examine.h"

/* Of a URL with its scheme, as config.endpoint. Waits a few seconds at most. */
struct probe probe_endpoint(const char *endpoint);
