/* usage: hiredis_async_timeout HOST PORT: over libevent a command that is answered, and one that is
   waited for in vain. For hiredis from 1.0 on. */
#include <stdio.h>
#include <sys/time.h>

#include "hiredis_loop.h"

static void on_reply(redisAsyncContext *context, void *data, void *name)
{
    const redisReply *reply = data;
    printf("%s: %s, %d %s\n", (const char *)name, reply ? reply->str : "none", context->err,
           context->errstr);
}

int main(int argc, char **argv)
{
    static char set[] = "SET", wait[] = "BLPOP";
    if (argc != 3)
        return 2;
    struct event_base *base;
    redisAsyncContext *context = hiredis_loop(argv, &base);
    redisAsyncSetTimeout(context, (struct timeval){.tv_usec = 200000});
    redisAsyncCommand(context, on_reply, set, "SET key value");
    redisAsyncCommand(context, on_reply, wait, "BLPOP nothing 0");
    event_base_dispatch(base); /* until it is disconnected */
    event_base_free(base);
    return 0;
}
