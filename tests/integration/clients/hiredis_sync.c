/* usage: hiredis_sync HOST PORT SCRIPT: the script's commands, a pipeline, a transaction, a
   subscription. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "hiredis_way.h"
#include "script.h"

static void print_reply(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER)
        printf(" %lld", reply->integer);
    else if (reply->type == REDIS_REPLY_NIL)
        printf(" nil");
    else if (reply->type == REDIS_REPLY_ARRAY)
        for (size_t i = 0; i < reply->elements; i++)
            print_reply(reply->element[i]);
    else if (reply->len > 200)
        printf(" %zu bytes", reply->len);
    else
        printf(" %s", reply->str);
}

static void print_and_free(redisReply *reply, const char *name)
{
    if (!reply) {
        printf("%s: no reply\n", name);
        exit(1);
    }
    printf("%s", name);
    print_reply(reply);
    printf("\n");
    freeReplyObject(reply);
}

static void print_next(redisContext *context, const char *name)
{
    void *reply = NULL;
    redisGetReply(context, &reply);
    print_and_free(reply, name);
}

static redisContext *connect_or_exit(char **argv)
{
    redisContext *context = redisConnect(argv[1], atoi(argv[2]));
    if (!context || context->err) {
        fprintf(stderr, "no connection\n");
        exit(1);
    }
    hiredis_way(context);
    return context;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    redisContext *context = connect_or_exit(argv);
    struct step step;
    while (script_next(argv[3], &step))
        print_and_free(redisCommandArgv(context, step.count, step.words, step.lengths),
                       step.words[0]);
    for (int i = 0; i < 100; i++)
        redisAppendCommand(context, "SET p:%d %d", i, i);
    for (int i = 0; i < 100; i++)
        print_next(context, "pipelined");
    redisAppendCommand(context, "MULTI");
    redisAppendCommand(context, "SET t 1");
    redisAppendCommand(context, "INCR t");
    redisAppendCommand(context, "EXEC");
    for (int i = 0; i < 4; i++)
        print_next(context, "transaction");

    redisContext *subscriber = connect_or_exit(argv);
    print_and_free(redisCommand(subscriber, "SUBSCRIBE news"), "SUBSCRIBE");
    for (int i = 0; i < 3; i++) {
        print_and_free(redisCommand(context, "PUBLISH news item-%d", i), "PUBLISH");
        print_next(subscriber, "message");
    }
    print_and_free(redisCommand(subscriber, "UNSUBSCRIBE news"), "UNSUBSCRIBE");
    redisFree(subscriber);
    redisFree(context);
    return 0;
}
