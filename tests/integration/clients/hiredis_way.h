/* How the clients of hiredis speak: in plain text, or over TLS if there is something to trust in.
 */
#pragma once

struct redisContext;

/* To be called with a context that connects, or has connected. */
void hiredis_way(struct redisContext *context);
