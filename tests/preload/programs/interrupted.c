/* A signal interrupts a blocked call: EINTR without SA_RESTART, nothing to see with it. */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

static volatile sig_atomic_t handled;
static pthread_t main_thread;
static _Atomic int stop;

static void handle(int number)
{
    (void)number;
    errno = ENOTEMPTY; /* a careless handler: the interrupted call's errno must win */
    handled++;
}

/* Sends signals until the main thread has left its call. */
static void *interrupt_main(void *argument)
{
    (void)argument;
    while (!stop) {
        usleep(2000);
        pthread_kill(main_thread, SIGUSR1);
    }
    return NULL;
}

#define INTERRUPTED(call)                                                                          \
    do {                                                                                           \
        stop = 0;                                                                                  \
        pthread_t helper = start_thread(interrupt_main, NULL);                                     \
        OBSERVE(call);                                                                             \
        stop = 1;                                                                                  \
        join_thread(helper);                                                                       \
    } while (0)

static void *feed_later(void *argument)
{
    for (int i = 0; i < 20; i++) {
        usleep(1000);
        pthread_kill(main_thread, SIGUSR1);
    }
    REQUIRE(write_all(*(int *)argument, "late", 4));
    return NULL;
}

int main(void)
{
    int pair[2];
    char bytes[64];
    struct iovec vector = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    struct sockaddr_storage address;
    socklen_t size;
    main_thread = pthread_self();
    struct sigaction action = {.sa_handler = handle};
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);

    tcp_pair(pair);
    INTERRUPTED(recv(pair[0], bytes, sizeof bytes, 0));
    INTERRUPTED(read(pair[0], bytes, sizeof bytes));
    INTERRUPTED(readv(pair[0], &vector, 1));
    INTERRUPTED(recvfrom(pair[0], bytes, sizeof bytes, 0, NULL, NULL));
    INTERRUPTED(recvmsg(pair[0], &message, 0));
    INTERRUPTED(recv(pair[0], bytes, 1, MSG_PEEK));
    int listener = listen_on_loopback(AF_INET, &address, &size);
    INTERRUPTED(accept(listener, NULL, NULL));
    INTERRUPTED(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    struct pollfd ready = {pair[0], POLLIN, 0};
    INTERRUPTED(poll(&ready, 1, -1));
    INTERRUPTED(ppoll(&ready, 1, NULL, NULL));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pair[0], &set);
    INTERRUPTED(select(pair[0] + 1, &set, NULL, NULL, NULL));
    INTERRUPTED(pselect(pair[0] + 1, &set, NULL, NULL, NULL, NULL));
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event) == 0);
    INTERRUPTED(epoll_wait(epoll, &event, 1, -1));
    INTERRUPTED(epoll_pwait(epoll, &event, 1, -1, NULL));

    /* A write that is interrupted after some bytes is short, before any it fails. */
    unix_pair(pair);
    set_nonblocking(pair[0]);
    memset(bytes, 'x', sizeof bytes);
    while (write(pair[0], bytes, sizeof bytes) > 0) {
    }
    int blocking = 0;
    REQUIRE(ioctl(pair[0], FIONBIO, &blocking) == 0);
    INTERRUPTED(send(pair[0], bytes, sizeof bytes, 0));
    INTERRUPTED(write(pair[0], bytes, sizeof bytes));
    INTERRUPTED(writev(pair[0], &vector, 1));
    INTERRUPTED(sendmsg(pair[0], &message, 0));

    action.sa_flags = SA_RESTART;
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    int other[2];
    tcp_pair(other);
    handled = 0;
    pthread_t feeder = start_thread(feed_later, &other[1]);
    OBSERVE_AS("restarted recv", recv(other[0], bytes, sizeof bytes, 0));
    join_thread(feeder);
    say("handler ran: %s", handled > 0 ? "yes" : "no");
    exchange("afterwards", other[0], other[1]);
    return 0;
}
