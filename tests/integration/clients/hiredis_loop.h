/* A context of hiredis's in a loop of libevent's. */
#pragma once

#include <stdlib.h>

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>

#include "hiredis_way.h"

/* Connects to HOST PORT, which the arguments are. */
static inline redisAsyncContext *hiredis_loop(char **argv, struct event_base **base)
{
    *base = event_base_new();
    redisAsyncContext *context = redisAsyncConnect(argv[1], atoi(argv[2]));
    if (!*base || !context || context->err)
        exit(1);
    redisLibeventAttach(context, *base);
    hiredis_way(&context->c);
    return context;
}
