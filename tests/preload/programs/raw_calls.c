/* Bytes by syscall(), where no hook sees them: they pass as they are, and are known to be missed.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

static const char command[] = "*1\r\n$4\r\nPING\r\n";
#define SIZE ((long)sizeof command - 1)

enum way { SENDMMSG, PWRITEV2, SENDFILE, SPLICE, RECVMMSG, PREADV2, WAYS };

static long pass(enum way way, int fd, int peer, int file)
{
    char bytes[64];
    struct iovec out = {(char *)(uintptr_t)command, sizeof command - 1};
    struct iovec in = {bytes, sizeof bytes};
    struct mmsghdr message = {
        .msg_hdr = {.msg_iov = way == RECVMMSG ? &in : &out, .msg_iovlen = 1}};
    int ends[2];
    switch (way) {
    case SENDMMSG:
        return syscall(SYS_sendmmsg, fd, &message, 1, 0);
    case PWRITEV2:
        return syscall(SYS_pwritev2, fd, &out, 1, -1L, -1L, 0);
    case SENDFILE:
        REQUIRE(lseek(file, 0, SEEK_SET) == 0);
        return syscall(SYS_sendfile, fd, file, NULL, SIZE);
    case SPLICE:
        REQUIRE(pipe(ends) == 0 && write(ends[1], command, sizeof command - 1) == SIZE);
        REQUIRE(close(ends[1]) == 0);
        return syscall(SYS_splice, ends[0], NULL, fd, NULL, SIZE, 0);
    case RECVMMSG:
        REQUIRE(write(peer, "+PONG\r\n", 7) == 7);
        return syscall(SYS_recvmmsg, fd, &message, 1, 0, NULL);
    case PREADV2:
        REQUIRE(write(peer, "+PONG\r\n", 7) == 7);
        return syscall(SYS_preadv2, fd, &in, 1, -1L, -1L, 0);
    case WAYS:
        break;
    }
    return -1;
}

int main(void)
{
    char bytes[64];
    int file = (int)syscall(SYS_memfd_create, "command", 0);
    REQUIRE(file >= 0 && write(file, command, sizeof command - 1) == SIZE);
    for (enum way way = SENDMMSG; way < WAYS; way++) {
        int pair[2];
        tcp_pair(pair);
        REQUIRE(send(pair[0], command, sizeof command - 1, 0) == SIZE);
        REQUIRE(recv(pair[1], bytes, sizeof bytes, 0) == SIZE);
        REQUIRE(send(pair[1], "+PONG\r\n", 7, 0) == 7);
        REQUIRE(recv(pair[0], bytes, sizeof bytes, 0) == 7);
        say("%d: %ld", (int)way, pass(way, pair[0], pair[1], file));
        REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
    }
    return 0;
}
