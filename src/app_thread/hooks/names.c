/* Name look-ups: which name an address goes by, and which names do not exist. */
#include <errno.h>
#include <string.h>

#include "app_thread/clock.h"
#include "app_thread/connection.h"
#include "app_thread/exchange.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/host_names.h"

/* An answer with more addresses than this is cut: a program connects to the first ones. */
#define ADDRESSES 16

static void remember(const char *node, const struct addrinfo *answer)
{
    for (int i = 0; i < ADDRESSES && answer != NULL; i++, answer = answer->ai_next) {
        struct sockaddr_storage address;
        struct endpoint endpoint = {0};
        memset(&address, 0, sizeof(address));
        if (answer->ai_addr == NULL || answer->ai_addrlen > sizeof(address)) {
            continue;
        }
        memcpy(&address, answer->ai_addr, answer->ai_addrlen);
        endpoint_from_address(&endpoint, &address);
        host_names_add(&endpoint, node);
    }
}

/* Only a look-up that asked for any address, or for the common kind, and was not a mere test
   whether the text is an address, tells that the name does not exist. */
static bool means_not_found(int result, const struct addrinfo *hints)
{
    if (result != EAI_NONAME && result != EAI_NODATA && result != EAI_FAIL && result != EAI_AGAIN) {
        return false;
    }
    return hints == NULL || ((hints->ai_flags & (AI_NUMERICHOST | AI_PASSIVE)) == 0 &&
                             (hints->ai_family == AF_UNSPEC || hints->ai_family == AF_INET));
}

static void report(const char *node, uint64_t start_ns)
{
    struct thread_state *self = &thread_state;
    uint16_t slot = exchange_begin(self, NULL, RECORD_CONNECT, start_ns);
    struct record *record = exchange_record(slot);
    if (record != NULL) {
        record_add_field(record, FIELD_PEER_NAME, slice_of(node, strlen(node)), 253);
    }
    exchange_complete(self, slot, clock_now_ns(), RECORD_ERROR_HOST_NOT_FOUND, 0);
}

EXPORTED int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                         struct addrinfo **answer)
{
    struct thread_state *self = &thread_state;
    if (node == NULL || !hook_is_on() || hook_is_aside(self)) {
        return ORIGINAL(getaddrinfo)(node, service, hints, answer);
    }
    uint64_t start_ns = clock_now_ns();
    int result = ORIGINAL(getaddrinfo)(node, service, hints, answer);
    if (result == 0 && answer != NULL) {
        remember(node, *answer);
    } else if (means_not_found(result, hints)) {
        int error = errno;
        report(node, start_ns);
        errno = error;
    }
    return result;
}
