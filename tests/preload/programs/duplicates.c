/* dup, dup2, dup3, fcntl: two numbers, one connection; the last close ends it. */
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "support.h"

static bool is_closed_for_peer(int peer)
{
    struct pollfd ready = {peer, POLLIN | POLLRDHUP, 0};
    REQUIRE(poll(&ready, 1, 0) >= 0);
    return (ready.revents & POLLRDHUP) != 0;
}

int main(void)
{
    int pair[2];
    tcp_pair(pair);
    int copies[6];
    OBSERVE_FD(copies[0] = dup(pair[0]));
    OBSERVE_FD(copies[1] = dup2(pair[0], 300));
    OBSERVE_FD(copies[2] = dup3(pair[0], 301, O_CLOEXEC));
    OBSERVE_FD(copies[3] = fcntl(pair[0], F_DUPFD, 310));
    OBSERVE_FD(copies[4] = fcntl(pair[0], F_DUPFD_CLOEXEC, 310));
    OBSERVE_FD(copies[5] = dup2(pair[0], pair[0]));
    OBSERVE(dup3(pair[0], pair[0], 0));
    OBSERVE(dup2(pair[0], -1));
    say("300: %d, 301: %d, 310: %d %d, itself: %s", copies[1], copies[2], copies[3], copies[4],
        copies[5] == pair[0] ? "yes" : "no");
    say("close on exec: %d %d %d", fcntl(300, F_GETFD), fcntl(301, F_GETFD), fcntl(311, F_GETFD));
    /* One request in pieces over all the copies. */
    static const char request[] = "*1\r\n$4\r\nPING\r\n";
    char bytes[32] = {0};
    for (size_t i = 0; i + 1 < sizeof request; i++) {
        REQUIRE(write(copies[i % 6], request + i, 1) == 1);
    }
    REQUIRE(read_all(pair[1], bytes, sizeof request - 1));
    say("%u", checksum(0, bytes, sizeof request - 1));
    exchange("copy", copies[2], pair[1]);
    OBSERVE(close(pair[0]));
    say("peer sees the end: %d", is_closed_for_peer(pair[1]));
    for (int i = 0; i < 4; i++) {
        exchange("copy", copies[i], pair[1]);
        OBSERVE_AS("close a copy", close(copies[i]));
        say("peer sees the end: %d", is_closed_for_peer(pair[1]));
    }
    exchange("last copy", copies[4], pair[1]);
    OBSERVE_AS("close the last copy", close(copies[4]));
    OBSERVE_AS("end", read(pair[1], bytes, 1));
    OBSERVE_AS("gone", write(copies[4], "x", 1));

    /* dup2 over an open connection closes that one. */
    int other[2];
    tcp_pair(pair);
    tcp_pair(other);
    OBSERVE_FD(dup2(other[0], pair[0]));
    OBSERVE_AS("the old one ended", read(pair[1], bytes, 1));
    exchange("through the old number", pair[0], other[1]);
    exchange("through the new number", other[0], other[1]);
    /* A file takes the number of a connection. */
    int null = open("/dev/null", O_RDWR);
    OBSERVE_FD(dup2(null, other[0]));
    OBSERVE_AS("write to the file", write(other[0], request, sizeof request - 1));
    OBSERVE_AS("read from the file", read(other[0], bytes, sizeof bytes));
    exchange("still connected", pair[0], other[1]);
    /* Standard input as a connection, as inetd has it. */
    OBSERVE_FD(dup2(other[1], 0));
    exchange("standard input", pair[0], 0);
    return 0;
}
