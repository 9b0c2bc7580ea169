/* usage: hiredis_timeout HOST PORT: a command that is answered, and one that is waited for in vain.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

#include "hiredis_way.h"

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    redisContext *context = redisConnect(argv[1], atoi(argv[2]));
    if (!context || context->err)
        return 1;
    hiredis_way(context);
    redisSetTimeout(context, (struct timeval){.tv_usec = 100000});
    for (int i = 0; i < 2; i++) {
        redisReply *reply = redisCommand(context, i ? "BLPOP nothing 0" : "SET key value");
        printf("%s, %d %s\n", reply ? reply->str : "none", context->err, context->errstr);
        freeReplyObject(reply);
    }
    redisFree(context);
    return 0;
}
