/* A program that has no sockets but pairs, and waits: what it said is exported while it lives. */
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define PATIENCE 200 /* waits of 50 ms */

int main(void)
{
    int pair[2];
    char bytes[64];
    struct stat status;
    const char *file = getenv("WIRESPAN_FILE");
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    REQUIRE(send(pair[0], "*1\r\n$4\r\nPING\r\n", 14, 0) == 14);
    REQUIRE(recv(pair[1], bytes, sizeof bytes, 0) == 14);
    REQUIRE(send(pair[1], "+PONG\r\n", 7, 0) == 7);
    REQUIRE(recv(pair[0], bytes, sizeof bytes, 0) == 7);
    say("asked and answered");
    struct pollfd waited = {pair[0], POLLIN, 0};
    for (int i = 0; i < PATIENCE && file != NULL; i++) {
        REQUIRE(poll(&waited, 1, 50) == 0);
        if (stat(file, &status) == 0 && status.st_size > 0) {
            break;
        }
    }
    /* Nothing of ours runs at such an end. */
    raise(SIGKILL);
    return 0;
}
