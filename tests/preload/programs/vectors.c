/* readv and writev with many vectors, too many, empty ones, and the variants with flags. */
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

static uint8_t out[IOV_MAX * 7];
static uint8_t in[IOV_MAX * 7];
static struct iovec writes[IOV_MAX + 1];
static struct iovec reads[IOV_MAX + 1];
/* Read at run time, or the compiler would refuse the call. */
static volatile int negative = -1;

static void spread(struct iovec *vectors, uint8_t *bytes, int count)
{
    size_t offset = 0;
    for (int i = 0; i < count; i++) {
        size_t size = (size_t)(i % 5);
        vectors[i] = (struct iovec){bytes + offset, size};
        offset += size;
    }
}

int main(void)
{
    int pair[2];
    tcp_pair(pair);
    fill(out, sizeof out, 7);
    for (int count = 1; count <= IOV_MAX; count = count * 3 + 1) {
        spread(writes, out, count);
        spread(reads, in, count);
        memset(in, 0, sizeof in);
        ssize_t sent = OBSERVE(writev(pair[0], writes, count));
        ssize_t received = 0;
        OBSERVE_AS("readv", received = readv(pair[1], reads, count));
        say("%d vectors: %s", count,
            sent == received && memcmp(in, out, (size_t)sent) == 0 ? "as sent" : "different");
    }
    spread(writes, out, IOV_MAX);
    spread(reads, in, IOV_MAX);
    OBSERVE(writev(pair[0], writes, IOV_MAX));
    OBSERVE(readv(pair[1], reads, IOV_MAX));
    OBSERVE(writev(pair[0], writes, IOV_MAX + 1));
    OBSERVE(readv(pair[1], reads, IOV_MAX + 1));
    OBSERVE(writev(pair[0], writes, negative));
    OBSERVE(readv(pair[1], reads, negative));
    OBSERVE(pwritev2(pair[0], writes, 10, -1, 0));
    OBSERVE(preadv2(pair[1], reads, 10, -1, 0));
    OBSERVE(preadv2(pair[1], reads, 10, -1, RWF_NOWAIT));
    OBSERVE(pwritev2(pair[0], writes, 10, 0, 0));
    OBSERVE(preadv2(pair[1], reads, 10, 0, 0));
    OBSERVE(pwritev2(pair[0], writes, 10, -1, 0x4000));
    OBSERVE(preadv(pair[1], reads, 10, 0));
    OBSERVE(pwritev(pair[0], writes, 10, 0));
    struct msghdr message = {.msg_iov = writes, .msg_iovlen = IOV_MAX};
    OBSERVE(sendmsg(pair[0], &message, 0));
    message.msg_iovlen = IOV_MAX + 1;
    OBSERVE(sendmsg(pair[0], &message, 0));
    message = (struct msghdr){.msg_iov = reads, .msg_iovlen = IOV_MAX};
    OBSERVE(recvmsg(pair[1], &message, 0));
    message.msg_iovlen = IOV_MAX + 1;
    OBSERVE(recvmsg(pair[1], &message, 0));
    /* Lengths whose sum overflows ssize_t. */
    struct iovec huge[2] = {{out, SSIZE_MAX}, {out, SSIZE_MAX}};
    OBSERVE(writev(pair[0], huge, 2));
    OBSERVE(readv(pair[1], huge, 2));
    huge[0].iov_len = SIZE_MAX;
    OBSERVE(writev(pair[0], huge, 1));
    exchange("afterwards", pair[0], pair[1]);
    return 0;
}
