/* Large writes to a slow reader: short counts and EAGAIN, and every byte arrives once. */
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

#define TOTAL (2u << 20)

typedef ssize_t writer(int fd, const uint8_t *bytes, size_t size);

static ssize_t by_write(int fd, const uint8_t *bytes, size_t size)
{
    return write(fd, bytes, size);
}

static ssize_t by_send(int fd, const uint8_t *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL);
}

static ssize_t by_sendto(int fd, const uint8_t *bytes, size_t size)
{
    return sendto(fd, bytes, size, MSG_DONTWAIT, NULL, 0);
}

/* Three pieces, so that the cut falls into any of them. */
static int pieces(struct iovec vectors[3], const uint8_t *bytes, size_t size)
{
    size_t third = size / 3;
    vectors[0] = (struct iovec){(void *)(uintptr_t)bytes, third};
    vectors[1] = (struct iovec){(void *)(uintptr_t)(bytes + third), third};
    vectors[2] = (struct iovec){(void *)(uintptr_t)(bytes + 2 * third), size - 2 * third};
    return 3;
}

static ssize_t by_writev(int fd, const uint8_t *bytes, size_t size)
{
    struct iovec vectors[3];
    return writev(fd, vectors, pieces(vectors, bytes, size));
}

static ssize_t by_sendmsg(int fd, const uint8_t *bytes, size_t size)
{
    struct iovec vectors[3];
    struct msghdr message = {.msg_iov = vectors};
    message.msg_iovlen = (size_t)pieces(vectors, bytes, size);
    return sendmsg(fd, &message, 0);
}

static ssize_t by_sendmmsg(int fd, const uint8_t *bytes, size_t size)
{
    struct iovec vectors[3];
    struct mmsghdr messages[3] = {0};
    pieces(vectors, bytes, size);
    for (int i = 0; i < 3; i++) {
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    int count = sendmmsg(fd, messages, 3, 0);
    ssize_t sent = 0;
    for (int i = 0; i < count; i++) {
        sent += messages[i].msg_len;
        if (messages[i].msg_len < vectors[i].iov_len) {
            /* A hole would follow: what came after the short message cannot be taken back. */
            REQUIRE(i == count - 1);
        }
    }
    return count < 0 ? -1 : sent;
}

struct reader {
    int fd;
    uint32_t sum;
    size_t total;
};

static void *read_slowly(void *argument)
{
    struct reader *reader = argument;
    uint8_t bytes[3000];
    for (;;) {
        ssize_t count = recv(reader->fd, bytes, sizeof bytes, 0);
        if (count <= 0) {
            return NULL;
        }
        reader->sum = checksum(reader->sum, bytes, (size_t)count);
        reader->total += (size_t)count;
    }
}

static void transfer(const char *label, writer *write_some, const uint8_t *bytes, bool wait)
{
    int pair[2];
    tcp_pair(pair);
    shrink_buffers(pair);
    if (!wait) {
        set_nonblocking(pair[0]);
    }
    bool was_short = false;
    bool was_full = false;
    size_t sent = 0;
    /* The reader starts when the buffers are full. */
    if (!wait) {
        while (!was_full) {
            ssize_t count = write_some(pair[0], bytes + sent, TOTAL - sent);
            if (count < 0) {
                REQUIRE(errno == EAGAIN);
                was_full = true;
            } else {
                was_short = was_short || (size_t)count < TOTAL - sent;
                sent += (size_t)count;
            }
        }
    }
    struct reader reader = {.fd = pair[1]};
    pthread_t thread = start_thread(read_slowly, &reader);
    while (sent < TOTAL) {
        ssize_t count = write_some(pair[0], bytes + sent, TOTAL - sent);
        if (count < 0) {
            REQUIRE(errno == EAGAIN);
            struct pollfd ready = {pair[0], POLLOUT, 0};
            REQUIRE(poll(&ready, 1, -1) == 1);
            continue;
        }
        sent += (size_t)count;
    }
    REQUIRE(shutdown(pair[0], SHUT_WR) == 0);
    join_thread(thread);
    say("%s%s: short %s, full %s, %zu bytes, %s", label, wait ? ", blocking" : "",
        was_short ? "yes" : "no", was_full ? "yes" : "no", reader.total,
        reader.sum == checksum(0, bytes, TOTAL) ? "as sent" : "garbled");
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

int main(void)
{
    static uint8_t bytes[TOTAL];
    fill(bytes, sizeof bytes, 1);
    for (int turn = 0; turn < 2; turn++) {
        transfer("write", by_write, bytes, false);
        transfer("send", by_send, bytes, false);
        transfer("sendto", by_sendto, bytes, false);
        transfer("writev", by_writev, bytes, false);
        transfer("sendmsg", by_sendmsg, bytes, false);
        transfer("write", by_write, bytes, true);
        transfer("writev", by_writev, bytes, true);
        transfer("sendmmsg", by_sendmmsg, bytes, true);
        /* The second turn looks like a long Redis command. */
        static const char head[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$2097117\r\n";
        memcpy(bytes, head, sizeof head - 1);
    }
    return 0;
}
