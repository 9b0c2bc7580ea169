/* shutdown in each direction: the other one goes on. */
#include <signal.h>
#include <unistd.h>

#include "support.h"

static void both_ways(int pair[2], const char *label)
{
    char bytes[64] = {0};
    say("-- %s", label);
    OBSERVE(send(pair[0], "question", 8, 0));
    OBSERVE(shutdown(pair[0], SHUT_WR));
    OBSERVE(recv(pair[1], bytes, 8, MSG_WAITALL));
    OBSERVE(recv(pair[1], bytes, sizeof bytes, 0));
    for (int i = 0; i < 3; i++) {
        OBSERVE(send(pair[1], "answer", 6, 0));
        OBSERVE(recv(pair[0], bytes, 6, MSG_WAITALL));
    }
    OBSERVE(send(pair[0], "x", 1, 0));
    OBSERVE(shutdown(pair[0], SHUT_WR));
    OBSERVE(shutdown(pair[1], SHUT_RD));
    OBSERVE(recv(pair[1], bytes, 1, 0));
    OBSERVE(shutdown(pair[1], 9));
    OBSERVE(shutdown(pair[1], SHUT_RDWR));
    OBSERVE(recv(pair[0], bytes, sizeof bytes, 0));
    OBSERVE(send(pair[1], "x", 1, 0));
    OBSERVE(shutdown(pair[0], SHUT_RDWR) == 0 || errno == ENOTCONN);
    OBSERVE(close(pair[0]));
    OBSERVE(close(pair[1]));
}

/* The end of the connection is the end of the answer: HTTP/1.0. */
static void until_the_end(void)
{
    int pair[2];
    char bytes[256];
    tcp_pair(pair);
    static const char answer[] = "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end";
    static const char request[] = "GET /old HTTP/1.0\r\ntraceparent: "
                                  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    REQUIRE(write_all(pair[0], request, sizeof request - 1));
    REQUIRE(shutdown(pair[0], SHUT_WR) == 0);
    size_t total = 0;
    ssize_t count;
    while ((count = read(pair[1], bytes, sizeof bytes)) > 0) {
        total += (size_t)count;
    }
    say("request %s", total == sizeof request - 1 ? "whole" : "cut");
    for (size_t i = 0; i + 1 < sizeof answer; i += 5) {
        size_t left = sizeof answer - 1 - i;
        REQUIRE(write_all(pair[1], answer + i, left < 5 ? left : 5));
    }
    REQUIRE(close(pair[1]) == 0);
    total = 0;
    while ((count = read(pair[0], bytes, sizeof bytes)) > 0) {
        total += (size_t)count;
    }
    say("answer %s", total == sizeof answer - 1 ? "whole" : "cut");
    REQUIRE(close(pair[0]) == 0);
}

int main(void)
{
    int pair[2];
    signal(SIGPIPE, SIG_IGN);
    tcp_pair(pair);
    both_ways(pair, "TCP");
    unix_pair(pair);
    both_ways(pair, "unix");
    until_the_end();
    return 0;
}
