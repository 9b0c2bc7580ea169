/* hiredis before 1.0, which has no TLS. */
#include "hiredis_way.h"

void hiredis_way(struct redisContext *context)
{
    (void)context;
}
