/* siglongjmp out of a handler, from inside recv, send, accept and poll, again and again: a call
   that never returned must not leave anything locked. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

static sigjmp_buf out;
static volatile sig_atomic_t may_jump;

static void handle(int number)
{
    (void)number;
    if (may_jump) {
        may_jump = 0;
        siglongjmp(out, 1);
    }
}

#define LEAVE(label, call)                                                                         \
    do {                                                                                           \
        if (sigsetjmp(out, 1) == 0) {                                                              \
            may_jump = 1;                                                                          \
            OBSERVE_AS(label, call);                                                               \
        } else {                                                                                   \
            say("jumped out of %s", label);                                                        \
        }                                                                                          \
        may_jump = 0;                                                                              \
    } while (0)

int main(void)
{
    int pair[2], full[2];
    char bytes[4096];
    struct sockaddr_storage address;
    socklen_t size;
    memset(bytes, 'x', sizeof bytes);
    struct sigaction action = {.sa_handler = handle};
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec every = {{0, 2000000}, {0, 2000000}};
    tcp_pair(pair);
    unix_pair(full);
    set_nonblocking(full[0]);
    while (write(full[0], bytes, sizeof bytes) > 0) {
    }
    REQUIRE(fcntl(full[0], F_SETFL, 0) == 0);
    int listener = listen_on_loopback(AF_INET, &address, &size);
    struct pollfd ready = {pair[0], POLLIN, 0};
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    REQUIRE(timer_settime(timer, 0, &every, NULL) == 0);
    for (int turn = 0; turn < 5; turn++) {
        LEAVE("recv", recv(pair[0], bytes, sizeof bytes, 0));
        LEAVE("read", read(pair[1], bytes, sizeof bytes));
        LEAVE("send", send(full[0], bytes, sizeof bytes, 0));
        LEAVE("write", write(full[0], bytes, sizeof bytes));
        LEAVE("accept", accept(listener, NULL, NULL));
        LEAVE("poll", poll(&ready, 1, -1));
        exchange("the connection is as before", pair[0], pair[1]);
    }
    /* Out of nowhere in particular: the program always talks, the handler always jumps. */
    volatile int jumps = 0;
    int noisy[2];
    tcp_pair(noisy);
    set_nonblocking(noisy[1]);
    every.it_interval.tv_nsec = every.it_value.tv_nsec = 100000;
    REQUIRE(timer_settime(timer, 0, &every, NULL) == 0);
    while (jumps < 1000) {
        if (sigsetjmp(out, 1) == 0) {
            may_jump = 1;
            for (;;) {
                send(noisy[0], "*1\r\n$4\r\nPING\r\n", 14, MSG_DONTWAIT);
                recv(noisy[1], bytes, sizeof bytes, 0);
            }
        }
        jumps++;
    }
    REQUIRE(timer_delete(timer) == 0);
    say("%d jumps", jumps);
    exchange("afterwards", pair[0], pair[1]);
    int fresh[2];
    tcp_pair(fresh);
    exchange("a new connection", fresh[0], fresh[1]);
    return 0;
}
