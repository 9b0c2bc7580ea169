/* In place of observe.c with -Dnop=true: the hooks are there and nothing is inside, so that what
   interposing costs can be told from what observing costs. */
#include "app_thread/observe.h"

bool observe_send_begin(struct observation *seen, int fd, const struct iovec *iov, size_t count)
{
    (void)seen;
    (void)fd;
    (void)iov;
    (void)count;
    return false;
}

bool observe_send_begin_inserting(struct observation *seen, int fd, const struct iovec *iov,
                                  size_t count)
{
    (void)fd;
    (void)iov;
    (void)count;
    seen->step = SEND_AS_IS;
    return false;
}

void observe_send_end(struct observation *seen, const struct iovec *iov, size_t count,
                      ssize_t result, int error)
{
    (void)seen;
    (void)iov;
    (void)count;
    (void)result;
    (void)error;
}

bool observe_receive_begin(struct receipt *seen, int fd)
{
    (void)seen;
    (void)fd;
    return false;
}

void observe_receive_end(struct receipt *seen, const struct iovec *iov, size_t count,
                         ssize_t result, int error)
{
    (void)seen;
    (void)iov;
    (void)count;
    (void)result;
    (void)error;
}

void observe_unseen(int fd, enum direction_name direction, ssize_t result)
{
    (void)fd;
    (void)direction;
    (void)result;
}

void observe_connect_begin(int fd, const void *address, uint32_t size, uint64_t start_ns)
{
    (void)fd;
    (void)address;
    (void)size;
    (void)start_ns;
}

void observe_connect_end(int fd, int result, int error)
{
    (void)fd;
    (void)result;
    (void)error;
}

void observe_socket_error(int fd, int error)
{
    (void)fd;
    (void)error;
}

void observe_health_asked(int fd)
{
    (void)fd;
}

void observe_shutdown(int fd, int how)
{
    (void)fd;
    (void)how;
}

void observe_stdio(int fd)
{
    (void)fd;
}

bool observe_plaintext_send_begin(struct observation *seen, const struct touch *touch,
                                  const void *session, const struct iovec *iov, size_t count)
{
    (void)seen;
    (void)touch;
    (void)session;
    (void)iov;
    (void)count;
    return false;
}

bool observe_plaintext_send_begin_inserting(struct observation *seen, const struct touch *touch,
                                            const void *session, const struct iovec *iov,
                                            const struct trace_identity *sent)
{
    (void)touch;
    (void)session;
    (void)iov;
    (void)sent;
    seen->step = SEND_AS_IS;
    return false;
}

void observe_plaintext_sent(const struct touch *touch, const void *session, const struct iovec *iov,
                            size_t count, ssize_t result)
{
    (void)touch;
    (void)session;
    (void)iov;
    (void)count;
    (void)result;
}

void observe_plaintext_received(const struct touch *touch, const void *session,
                                const struct iovec *iov, size_t count, ssize_t result, int error)
{
    (void)touch;
    (void)session;
    (void)iov;
    (void)count;
    (void)result;
    (void)error;
}

void observe_plaintext_unseen(const struct touch *touch, const void *session,
                              enum direction_name direction, ssize_t result)
{
    (void)touch;
    (void)session;
    (void)direction;
    (void)result;
}
