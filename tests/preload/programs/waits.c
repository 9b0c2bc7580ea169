/* The calls that wait: their results, time-outs and masks. */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

/* Read at run time, or the compiler would refuse the call. */
static volatile nfds_t too_many = 1000000000;

int main(void)
{
    int pair[2];
    char bytes[16];
    tcp_pair(pair);
    struct pollfd ready[3] = {{pair[0], POLLIN | POLLOUT, 7}, {-1, POLLIN, 7}, {77, POLLIN, 7}};
    OBSERVE(poll(ready, 3, 0));
    say("%x %x %x", (unsigned)ready[0].revents, (unsigned)ready[1].revents,
        (unsigned)ready[2].revents);
    OBSERVE(poll(NULL, 0, 1));
    OBSERVE(poll(ready, too_many, 0));
    ready[0].events = POLLIN;
    OBSERVE(poll(ready, 1, 10));
    struct timespec soon = {0, 1000000};
    OBSERVE(ppoll(ready, 1, &soon, NULL));
    say("time-out is %s", soon.tv_nsec == 1000000 ? "unchanged" : "changed");
    soon.tv_nsec = -1;
    OBSERVE(ppoll(ready, 1, &soon, NULL));
    fd_set readable, writable;
    struct timeval brief = {0, 1000};
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(pair[0], &readable);
    FD_SET(pair[0], &writable);
    OBSERVE(select(pair[0] + 1, &readable, &writable, NULL, &brief));
    say("readable %d, writable %d", !!FD_ISSET(pair[0], &readable), !!FD_ISSET(pair[0], &writable));
    brief.tv_usec = 1000;
    OBSERVE(select(0, NULL, NULL, NULL, &brief));
    say("%ld left", brief.tv_sec + brief.tv_usec);
    OBSERVE(select(-1, NULL, NULL, NULL, &brief));
    soon.tv_nsec = 1000000;
    OBSERVE(pselect(0, NULL, NULL, NULL, &soon, NULL));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 42};
    OBSERVE(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event));
    OBSERVE(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event));
    struct epoll_event got[4];
    OBSERVE(epoll_wait(epoll, got, 4, 0));
    REQUIRE(write_all(pair[1], "$1\r\nv\r\n", 7));
    OBSERVE(epoll_wait(epoll, got, 4, 1000));
    say("%x %u", got[0].events, got[0].data.u32);
    OBSERVE(epoll_wait(epoll, got, 4, 0));
    OBSERVE(epoll_wait(epoll, got, 0, 0));
    OBSERVE(epoll_wait(pair[0], got, 4, 0));
    OBSERVE(epoll_wait(-1, got, 4, 0));
    OBSERVE(epoll_pwait(epoll, got, 4, 5, NULL));
    OBSERVE(epoll_pwait2(epoll, got, 4, &soon, NULL));
    /* A blocked signal that is let in only while waiting. */
    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    struct sigaction action = {.sa_handler = SIG_DFL};
    action.sa_handler = SIG_IGN;
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
    REQUIRE(raise(SIGUSR1) == 0);
    soon = (struct timespec){0, 1000000};
    OBSERVE(ppoll(NULL, 0, &soon, &none));
    OBSERVE(epoll_pwait(epoll, got, 4, 1, &none));
    OBSERVE(read(pair[0], bytes, sizeof bytes));
    struct pollfd gone = {pair[0], POLLIN, 0};
    REQUIRE(close(pair[1]) == 0);
    OBSERVE(poll(&gone, 1, 1000));
    say("%x", (unsigned)gone.revents);
    OBSERVE(close(epoll));
    return 0;
}
