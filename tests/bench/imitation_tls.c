/* An OpenSSL that encrypts nothing: what remains is what the library under test adds. */
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "imitation_tls.h"

struct ssl_st {
    int version;
    const void *method;
    int fd;
    unsigned char random[32];
    long more[8];
};

static const int method = 1;
static struct ssl_st only = {.version = 1};

struct ssl_st *imitation_tls_new(void)
{
    only.method = &method;
    only.fd = -1;
    memset(only.random, 1, sizeof(only.random));
    return &only;
}

int SSL_set_fd(struct ssl_st *session, int fd)
{
    session->fd = fd;
    return 1;
}

int SSL_get_rfd(const struct ssl_st *session)
{
    return session->fd;
}

int SSL_get_wfd(const struct ssl_st *session)
{
    return session->fd;
}

int SSL_get_error(const struct ssl_st *session, int result)
{
    (void)session;
    return result > 0 ? 0 : 5;
}

int SSL_is_init_finished(const struct ssl_st *session)
{
    return session->fd >= 0;
}

int SSL_is_server(const struct ssl_st *session)
{
    (void)session;
    return 0;
}

long SSL_ctrl(struct ssl_st *session, int what, long number, void *pointer)
{
    (void)session;
    (void)what;
    (void)number;
    (void)pointer;
    return 4; /* as it is by itself */
}

size_t SSL_get_client_random(const struct ssl_st *session, unsigned char *random, size_t size)
{
    size_t copied = size < sizeof(session->random) ? size : sizeof(session->random);
    memcpy(random, session->random, copied);
    return copied;
}

int SSL_read(struct ssl_st *session, void *buffer, int size)
{
    return (int)recv(session->fd, buffer, (size_t)size, 0);
}

int SSL_write(struct ssl_st *session, const void *bytes, int size)
{
    return (int)send(session->fd, bytes, (size_t)size, 0);
}
