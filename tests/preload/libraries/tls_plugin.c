/* A whole TLS conversation in an object that is loaded at run time, with an OpenSSL that only this
   object needs. */
#include "tls_plugin.h"

#include "tls_ends.h"

bool tls_plugin_talk(int client, int server, unsigned exchanges)
{
    struct tls_plan plan = {TLS_DESCRIPTOR, exchanges, 0, 0};
    return tls_talk(client, server, &plan);
}
