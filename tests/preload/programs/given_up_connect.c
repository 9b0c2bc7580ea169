/* connect without waiting, given up before the kernel has an answer: the listener's queue is full,
   so that it answers no SYN. */
#include <unistd.h>

#include "support.h"

#define TRIES 8

int main(void)
{
    struct sockaddr_storage address;
    socklen_t size;
    int listener = listen_on_loopback(AF_INET, &address, &size);
    REQUIRE(listen(listener, 0) == 0);
    int waiting[TRIES];
    for (int i = 0; i < TRIES; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        REQUIRE(waiting[i] >= 0);
        OBSERVE_AS("connect", connect(waiting[i], (struct sockaddr *)&address, size));
    }
    for (int i = 0; i < TRIES; i++) {
        OBSERVE(close(waiting[i]));
    }
    return 0;
}
