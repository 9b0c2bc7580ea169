/* pthread_cancel inside blocking calls: clean-up handlers run, the connection goes on. */
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

static int pair[2];
static int full[2];
static int listener;
static sem_t started;

static void clean_up(void *argument)
{
    say("clean-up of %s", (const char *)argument);
    exchange("in the clean-up", pair[1], pair[0]);
}

#define BLOCKED_IN(name, call)                                                                     \
    static void *in_##name(void *argument)                                                         \
    {                                                                                              \
        char bytes[4096] = {0};                                                                    \
        struct iovec vector = {bytes, sizeof bytes};                                               \
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};                             \
        struct pollfd ready = {pair[0], POLLIN, 0};                                                \
        (void)message;                                                                             \
        (void)ready;                                                                               \
        pthread_cleanup_push(clean_up, argument);                                                  \
        sem_post(&started);                                                                        \
        REQUIRE((call) == -12345);                                                                 \
        pthread_cleanup_pop(0);                                                                    \
        return NULL;                                                                               \
    }

BLOCKED_IN(recv, recv(pair[0], bytes, sizeof bytes, 0))
BLOCKED_IN(read, read(pair[0], bytes, sizeof bytes))
BLOCKED_IN(readv, readv(pair[0], &vector, 1))
BLOCKED_IN(recvfrom, recvfrom(pair[0], bytes, sizeof bytes, 0, NULL, NULL))
BLOCKED_IN(recvmsg, recvmsg(pair[0], &message, 0))
BLOCKED_IN(send, send(full[0], bytes, sizeof bytes, 0))
BLOCKED_IN(write, write(full[0], bytes, sizeof bytes))
BLOCKED_IN(writev, writev(full[0], &vector, 1))
BLOCKED_IN(sendmsg, sendmsg(full[0], &message, 0))
BLOCKED_IN(accept, accept(listener, NULL, NULL))
BLOCKED_IN(poll, poll(&ready, 1, -1))

/* Cancelled before its first call: the call is a cancellation point and must not happen. */
static void *never_sends(void *argument)
{
    char byte = 'n';
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    sem_post(&started);
    sem_t *cancelled = argument;
    while (sem_wait(cancelled) != 0) {
    }
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    send(pair[0], &byte, 1, 0);
    say("sent after being cancelled");
    return NULL;
}

static void cancel(void *(*body)(void *), const char *name)
{
    void *result;
    char argument[32];
    REQUIRE(strlen(name) < sizeof argument);
    memcpy(argument, name, strlen(name) + 1);
    pthread_t thread = start_thread(body, argument);
    REQUIRE(sem_wait(&started) == 0);
    usleep(5000);
    REQUIRE(pthread_cancel(thread) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    say("%s: %s", name, result == PTHREAD_CANCELED ? "cancelled" : "returned");
}

int main(void)
{
    struct sockaddr_storage address;
    socklen_t size;
    char bytes[4096] = {0};
    REQUIRE(sem_init(&started, 0, 0) == 0);
    tcp_pair(pair);
    unix_pair(full);
    while (send(full[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
    listener = listen_on_loopback(AF_INET, &address, &size);
    for (int turn = 0; turn < 2; turn++) {
        cancel(in_recv, "recv");
        cancel(in_read, "read");
        cancel(in_readv, "readv");
        cancel(in_recvfrom, "recvfrom");
        cancel(in_recvmsg, "recvmsg");
        cancel(in_send, "send");
        cancel(in_write, "write");
        cancel(in_writev, "writev");
        cancel(in_sendmsg, "sendmsg");
        cancel(in_accept, "accept");
        cancel(in_poll, "poll");
        exchange("goes on", pair[0], pair[1]);
    }
    sem_t cancelled;
    void *result;
    REQUIRE(sem_init(&cancelled, 0, 0) == 0);
    pthread_t thread = start_thread(never_sends, &cancelled);
    REQUIRE(sem_wait(&started) == 0);
    REQUIRE(pthread_cancel(thread) == 0);
    REQUIRE(sem_post(&cancelled) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    say("never sends: %s", result == PTHREAD_CANCELED ? "cancelled" : "returned");
    OBSERVE_AS("nothing was sent", recv(pair[1], bytes, 1, MSG_DONTWAIT));
    exchange("goes on", pair[0], pair[1]);
    return 0;
}
