/* MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_OOB, MSG_MORE, MSG_ERRQUEUE, and buffers left alone. */
#include <poll.h>
#include <unistd.h>

#include "support.h"

static const char request[] = "GET /peeked HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void peek(void)
{
    int pair[2];
    char bytes[256] = {0};
    tcp_pair(pair);
    REQUIRE(write_all(pair[0], "*1\r\n$4\r\nPING\r\n", 14));
    for (int i = 0; i < 3; i++) {
        memset(bytes, 0, sizeof bytes);
        OBSERVE_AS("peek", recv(pair[1], bytes, 5 + (size_t)i * 4, MSG_PEEK));
        say("peeked %u", checksum(0, bytes, sizeof bytes));
    }
    struct iovec vectors[2] = {{bytes, 3}, {bytes + 100, 100}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    OBSERVE_AS("peek in pieces", recvmsg(pair[1], &message, MSG_PEEK));
    OBSERVE_AS("peek and truncate", recv(pair[1], NULL, 10, MSG_PEEK | MSG_TRUNC));
    OBSERVE_AS("peek from", recvfrom(pair[1], bytes, 1, MSG_PEEK, NULL, NULL));
    OBSERVE_AS("read", read(pair[1], bytes, sizeof bytes));
    OBSERVE_AS("peek at nothing", recv(pair[1], bytes, 1, MSG_PEEK | MSG_DONTWAIT));
    REQUIRE(write_all(pair[1], "+PONG\r\n", 7));
    OBSERVE_AS("answer", recv(pair[0], bytes, sizeof bytes, 0));
    REQUIRE(close(pair[0]) == 0);
    OBSERVE_AS("peek at the end", recv(pair[1], bytes, 1, MSG_PEEK));
    REQUIRE(close(pair[1]) == 0);
}

static void truncate_into_nothing(void)
{
    int pair[2];
    char bytes[64];
    tcp_pair(pair);
    REQUIRE(write_all(pair[0], request, sizeof request - 1));
    memset(bytes, 'Q', sizeof bytes);
    OBSERVE_AS("no buffer", recv(pair[1], NULL, 10, MSG_TRUNC));
    OBSERVE_AS("a buffer", recv(pair[1], bytes, 10, MSG_TRUNC));
    say("buffer %.10s", bytes);
    struct iovec vector = {NULL, 8};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    OBSERVE_AS("no buffer, message", recvmsg(pair[1], &message, MSG_TRUNC));
    memset(bytes, 0, sizeof bytes);
    OBSERVE_AS("the rest starts", recv(pair[1], bytes, 4, 0));
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void *send_in_two(void *argument)
{
    int fd = *(int *)argument;
    REQUIRE(write_all(fd, "12345", 5));
    usleep(20000);
    REQUIRE(write_all(fd, "67890", 5));
    return NULL;
}

static void wait_for_all(void)
{
    int pair[2];
    char bytes[64] = {0};
    tcp_pair(pair);
    pthread_t thread = start_thread(send_in_two, &pair[0]);
    OBSERVE_AS("wait for all", recv(pair[1], bytes, 10, MSG_WAITALL));
    say("got %s", bytes);
    join_thread(thread);
    REQUIRE(write_all(pair[0], "short", 5));
    REQUIRE(shutdown(pair[0], SHUT_WR) == 0);
    OBSERVE_AS("wait for all, cut by the end", recv(pair[1], bytes, 10, MSG_WAITALL));
    OBSERVE_AS("end", recv(pair[1], bytes, 10, MSG_WAITALL));
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void urgent(void)
{
    int pair[2];
    char bytes[64] = {0};
    tcp_pair(pair);
    OBSERVE_AS("before", send(pair[0], "abc", 3, 0));
    OBSERVE_AS("urgent", send(pair[0], "!", 1, MSG_OOB));
    OBSERVE_AS("after", send(pair[0], "def", 3, 0));
    struct pollfd ready = {pair[1], POLLPRI, 0};
    OBSERVE(poll(&ready, 1, 5000));
    OBSERVE_AS("receive urgent", recv(pair[1], bytes, 1, MSG_OOB));
    say("urgent byte %c", bytes[0]);
    size_t total = 0;
    memset(bytes, 0, sizeof bytes);
    while (total < 6) {
        ssize_t count = recv(pair[1], bytes + total, sizeof bytes - total, 0);
        REQUIRE(count > 0);
        total += (size_t)count;
    }
    say("in line %s", bytes);

    int yes = 1;
    REQUIRE(setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &yes, sizeof yes) == 0);
    OBSERVE_AS("urgent, in line", send(pair[0], "x!", 2, MSG_OOB));
    memset(bytes, 0, sizeof bytes);
    total = 0;
    while (total < 2) {
        ssize_t count = recv(pair[1], bytes + total, sizeof bytes - total, 0);
        REQUIRE(count > 0);
        total += (size_t)count;
    }
    say("in line %s", bytes);
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void others(void)
{
    int pair[2];
    char bytes[64] = {0};
    tcp_pair(pair);
    OBSERVE_AS("more", send(pair[0], "*1\r\n$4\r\n", 8, MSG_MORE));
    OBSERVE_AS("last", send(pair[0], "PING\r\n", 6, 0));
    OBSERVE_AS("all at once", recv(pair[1], bytes, 14, MSG_WAITALL));
    OBSERVE_AS("no errors queued", recv(pair[1], bytes, 14, MSG_ERRQUEUE));
    OBSERVE_AS("unknown flag", recv(pair[1], bytes, 14, MSG_DONTWAIT | 0x1000000));
    OBSERVE_AS("confirm", send(pair[0], "x", 1, MSG_CONFIRM | MSG_EOR));
    OBSERVE_AS("received", recv(pair[1], bytes, 14, MSG_CMSG_CLOEXEC));
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

int main(void)
{
    peek();
    truncate_into_nothing();
    wait_for_all();
    urgent();
    others();
    return 0;
}
