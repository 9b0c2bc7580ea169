/* usage: hiredis_async HOST PORT SCRIPT: all of the script's commands at once, over libevent. */
#include <stdio.h>
#include <stdlib.h>

#include "hiredis_loop.h"
#include "script.h"

static void on_reply(redisAsyncContext *context, void *data, void *name)
{
    const redisReply *reply = data;
    (void)context;
    if (!reply) {
        fprintf(stderr, "%s: no reply\n", (const char *)name);
        exit(1);
    }
    printf("%s %d %lld %zu\n", (const char *)name, reply->type, reply->integer, reply->len);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    struct event_base *base;
    redisAsyncContext *context = hiredis_loop(argv, &base);
    struct step step;
    while (script_next(argv[3], &step)) {
        /* The step's words live on; its name is the callback's context. */
        union {
            const char *borrowed;
            void *context;
        } name = {.borrowed = step.words[0]};
        redisAsyncCommandArgv(context, on_reply, name.context, step.count, step.words,
                              step.lengths);
    }
    redisAsyncDisconnect(context); /* once all replies are there */
    event_base_dispatch(base);
    event_base_free(base);
    return 0;
}
