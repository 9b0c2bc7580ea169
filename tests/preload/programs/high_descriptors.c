/* Descriptors beyond FD_SETSIZE and beyond 65535. */
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"

int main(void)
{
    struct rlimit limit = {1100000, 1100000};
    static const int wanted[] = {1023, 1024, 1025, 4096, 65535, 65536, 100000, 1048575};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        limit.rlim_max = limit.rlim_cur = 1048576;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
            limit.rlim_cur = limit.rlim_max;
            REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        }
    }
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        int pair[2];
        char bytes[32] = {0};
        tcp_pair(pair);
        int client = fcntl(pair[0], F_DUPFD, wanted[i]);
        int server = fcntl(pair[1], F_DUPFD, wanted[i]);
        OBSERVE_AS("client", client);
        OBSERVE_AS("server", server);
        if (client < 0 || server < 0) {
            REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
            close(client);
            continue;
        }
        exchange("both numbers", pair[0], server);
        REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
        OBSERVE(send(client, "*1\r\n$4\r\nPING\r\n", 14, 0));
        OBSERVE(recv(server, bytes, sizeof bytes, 0));
        OBSERVE(write(server, "+PONG\r\n", 7));
        OBSERVE(read(client, bytes, sizeof bytes));
        exchange("high", client, server);
        struct pollfd ready = {client, POLLIN, 0};
        OBSERVE(poll(&ready, 1, 0));
        OBSERVE(close(client));
        OBSERVE(read(server, bytes, sizeof bytes));
        OBSERVE(close(server));
        OBSERVE(write(server, "x", 1));
    }
    OBSERVE(write(INT32_MAX, "x", 1));
    OBSERVE(write(-5, "x", 1));
    OBSERVE(close(2000000));
    return 0;
}
