/* Compiled with _FORTIFY_SOURCE: the checked variants are what such a program imports. */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

/* Not known at compile time, so that the checked variant is really called. */
static volatile size_t asked = 14;

int main(void)
{
    int pair[2];
    char bytes[32] = {0};
    tcp_pair(pair);
    for (int i = 0; i < 3; i++) {
        OBSERVE(write(pair[0], "*1\r\n$4\r\nPING\r\n", asked));
        OBSERVE(read(pair[1], bytes, asked));
        OBSERVE(send(pair[0], "*1\r\n$4\r\nPING\r\n", asked, 0));
        OBSERVE(recv(pair[1], bytes, asked, 0));
        OBSERVE(send(pair[0], "*1\r\n$4\r\nPING\r\n", asked, 0));
        OBSERVE(recvfrom(pair[1], bytes, asked, 0, NULL, NULL));
        struct pollfd ready[2] = {{pair[0], POLLOUT, 0}, {pair[1], POLLIN, 0}};
        OBSERVE(poll(ready, asked - 12, 0));
        OBSERVE(ppoll(ready, asked - 12, &(struct timespec){0, 0}, NULL));
        OBSERVE(dprintf(pair[1], "+%s\r\n", "PONG"));
        OBSERVE(read(pair[0], bytes, asked));
    }
    OBSERVE(read(-1, bytes, asked));
    OBSERVE(recv(pair[0], bytes, asked, MSG_DONTWAIT));
    /* One byte too many for the buffer: the check ends the program. */
    asked = 33;
    fflush(stdout);
    return (int)read(pair[0], bytes, asked);
}
