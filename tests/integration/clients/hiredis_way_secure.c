/* hiredis from 1.0 on. */
#include "hiredis_way.h"

#include <stdio.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>

void hiredis_way(struct redisContext *context)
{
    static redisSSLContext *trust;
    const char *certificate = getenv("TEST_CERTIFICATE");
    redisSSLContextError error = REDIS_SSL_CTX_NONE;
    if (!certificate)
        return;
    if (!trust) {
        redisInitOpenSSL();
        trust = redisCreateSSLContext(certificate, NULL, NULL, NULL, NULL, &error);
    }
    if (!trust || redisInitiateSSLWithContext(context, trust) != REDIS_OK) {
        fprintf(stderr, "no TLS: %s\n", context->errstr);
        exit(1);
    }
}
