#include "command/doctor/probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/endpoint.h"

#define PATIENCE_MS 3000

static int await(int descriptor)
{
    struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
    int error = ETIMEDOUT;
    socklen_t size = sizeof(error);
    if (poll(&ready, 1, PATIENCE_MS) == 1) {
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    return error;
}

/* 0, or an errno. */
static int try_address(const struct addrinfo *address)
{
    int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        return errno;
    }
    int error = connect(descriptor, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        error = await(descriptor);
    }
    close(descriptor);
    return error;
}

struct probe probe_endpoint(const char *endpoint)
{
    struct probe probe = {.result = PROBE_FAILED};
    struct endpoint_url url;
    char host[254]; /* RFC 1035: 253 characters */
    char port[8];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (!endpoint_split(slice_of(endpoint, strlen(endpoint)), &url) ||
        url.host.size >= sizeof(host)) {
        snprintf(probe.why, sizeof(probe.why), "%s is no URL", endpoint);
        return probe;
    }
    bool is_tls = slice_equals_ignoring_case(url.scheme, SLICE("https"));
    snprintf(host, sizeof(host), "%.*s", (int)url.host.size, (const char *)url.host.data);
    snprintf(port, sizeof(port), "%u", url.port != 0 ? (unsigned)url.port : is_tls ? 443u : 80u);
    int result = getaddrinfo(host, port, &hints, &found);
    if (result != 0) {
        snprintf(probe.why, sizeof(probe.why), "%s: %s", host, gai_strerror(result));
        return probe;
    }
    int error = 0;
    for (const struct addrinfo *address = found; address != NULL; address = address->ai_next) {
        error = try_address(address);
        if (error == 0) {
            probe.result = PROBE_ANSWERS;
            break;
        }
    }
    freeaddrinfo(found);
    snprintf(probe.why, sizeof(probe.why), "%s port %s: %s", host, port, strerror(error));
    return probe;
}
