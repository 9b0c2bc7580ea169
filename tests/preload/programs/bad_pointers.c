/* Pointers that the kernel refuses: EFAULT or a short count, never a fault in the caller. */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

/* Addresses that the compiler must not reason about. */
static void *volatile low = (void *)8;
static void *volatile high = (void *)-8;

static void with(int to, int from, const char *label, uint8_t *page_end)
{
    uint8_t *bad = page_end; /* the first byte that cannot be read */
    char bytes[32];
    say("-- %s", label);
    OBSERVE(write(to, bad, 10));
    OBSERVE(write(to, low, 10));
    OBSERVE(write(to, high, 10));
    OBSERVE(read(from, bad, 10) < 0 && errno == EAGAIN);
    REQUIRE(write(to, "0123456789", 10) == 10);
    OBSERVE(read(from, bad, 10));
    ssize_t left = read(from, bytes, sizeof bytes);
    say("left %s", left == 10 ? "all" : left > 0 ? "some" : "none");
    struct iovec vectors[2] = {{(char[]){"good"}, 4}, {bad, 4}};
    ssize_t sent = OBSERVE(writev(to, vectors, 2));
    OBSERVE(writev(to, (struct iovec *)(uintptr_t)bad, 2));
    OBSERVE(writev(to, &vectors[1], 1));
    if (sent > 0) {
        OBSERVE(read(from, bytes, sizeof bytes));
    }
    OBSERVE(readv(from, (struct iovec *)(uintptr_t)bad, 2));
}

static void sockets_only(int to, int from, uint8_t *bad)
{
    char bytes[32];
    OBSERVE(send(to, bad, 10, 0));
    OBSERVE(sendto(to, bad, 10, 0, NULL, 0));
    OBSERVE(sendmsg(to, (struct msghdr *)(uintptr_t)bad, 0));
    struct iovec vector = {bad, 10};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    OBSERVE(sendmsg(to, &message, 0));
    message.msg_iov = (struct iovec *)(uintptr_t)bad;
    OBSERVE(sendmsg(to, &message, 0));
    OBSERVE(recvmsg(from, (struct msghdr *)(uintptr_t)bad, 0));
    OBSERVE(recvmsg(from, &message, 0));
    OBSERVE(recv(from, bad, 10, MSG_DONTWAIT) < 0);
    OBSERVE(sendmmsg(to, (struct mmsghdr *)(uintptr_t)bad, 2, 0));
    OBSERVE(recvmmsg(from, (struct mmsghdr *)(uintptr_t)bad, 2, 0, NULL));
    OBSERVE(recvfrom(from, bytes, 1, MSG_DONTWAIT, (struct sockaddr *)(uintptr_t)bad, NULL) < 0);
    OBSERVE(getsockopt(to, SOL_SOCKET, SO_ERROR, low, high));
}

static void waits(int first, int second, uint8_t *bad)
{
    struct pollfd ready[2] = {{first, POLLOUT, 0}, {second, POLLOUT, 0}};
    struct timespec none = {0, 0};
    fd_set writable;
    say("-- waits");
    OBSERVE(poll((struct pollfd *)(uintptr_t)bad, 1, 0));
    OBSERVE(poll((struct pollfd *)(uintptr_t)bad, 2, 0));
    OBSERVE(poll((struct pollfd *)(uintptr_t)(bad - sizeof(ready[0])), 2, 0));
    OBSERVE(poll(low, 1u << 30, 0) < 0);
    OBSERVE(ppoll(high, 2, &none, NULL));
    OBSERVE(poll(ready, 2, 0));
    FD_ZERO(&writable);
    FD_SET(first, &writable);
    FD_SET(second, &writable);
    OBSERVE(select(second + 1, (fd_set *)(uintptr_t)bad, &writable, NULL, NULL));
    OBSERVE(pselect(second + 1, low, NULL, NULL, &none, NULL));
    OBSERVE(select(-1, low, NULL, NULL, NULL));
    OBSERVE(select(second + 1, NULL, &writable, NULL, &(struct timeval){0, 0}));
}

int main(int count, char **arguments)
{
    int pair[2];
    REQUIRE(count == 2);
    long page = sysconf(_SC_PAGESIZE);
    uint8_t *pages =
        mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    REQUIRE(mprotect(pages + page, (size_t)page, PROT_NONE) == 0);
    uint8_t *bad = pages + page;

    REQUIRE(pipe2(pair, O_NONBLOCK) == 0);
    if (strcmp(arguments[1], "pipe") == 0) {
        /* The usual way to ask whether an address can be read. */
        with(pair[1], pair[0], "pipe", bad);
        return 0;
    }
    tcp_pair(pair);
    set_nonblocking(pair[1]);
    with(pair[0], pair[1], "TCP", bad);
    sockets_only(pair[0], pair[1], bad);
    waits(pair[0], pair[1], bad);
    unix_pair(pair);
    set_nonblocking(pair[1]);
    with(pair[0], pair[1], "unix", bad);
    sockets_only(pair[0], pair[1], bad);

    /* A head that is whole and a body that ends in nowhere. */
    tcp_pair(pair);
    static const char command[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n";
    uint8_t *start = bad - sizeof command - 20;
    memcpy(start, command, sizeof command - 1);
    ssize_t sent = send(pair[0], start, 1000, 0);
    say("a command that ends in nowhere: %s", sent < 0 ? errno_name(errno) : "sent in part");

    int fd = socket(AF_INET, SOCK_STREAM, 0);
    OBSERVE(connect(fd, (struct sockaddr *)(uintptr_t)bad, sizeof(struct sockaddr_in)));
    OBSERVE(bind(fd, (struct sockaddr *)(uintptr_t)bad, sizeof(struct sockaddr_in)));
    OBSERVE(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)(uintptr_t)bad));
    struct sockaddr_storage address;
    socklen_t size;
    int listener = listen_on_loopback(AF_INET, &address, &size);
    int client = connect_to(&address, size);
    OBSERVE(accept(listener, (struct sockaddr *)(uintptr_t)bad, (socklen_t *)(uintptr_t)bad));
    OBSERVE(close(client));
    return 0;
}
