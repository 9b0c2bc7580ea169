/* 100,000 signals whose handler sends and receives, while the main flow and another thread are
   inside send and recv. Every byte arrives in its order. */
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define SIGNALS 100000

static int in_handler[2]; /* used by the handler alone */
static int in_main[2];
static _Atomic int handled;
static _Atomic int failures;
static _Atomic int nested;

static void handle(int number)
{
    int kept = errno;
    char bytes[16];
    static _Atomic int busy;
    if (number == SIGUSR2) {
        nested++;
        failures += write(in_main[0], "", 0) != 0;
        errno = kept;
        return;
    }
    if (atomic_fetch_add(&busy, 1) == 0 && handled % 8 == 0) {
        if (send(in_handler[0], "*1\r\n$4\r\nPING\r\n", 14, MSG_NOSIGNAL) != 14 ||
            read(in_handler[1], bytes, sizeof bytes) != 14 ||
            write(in_handler[1], "+PONG\r\n", 7) != 7 ||
            recv(in_handler[0], bytes, sizeof bytes, 0) != 7) {
            failures++;
        }
    }
    atomic_fetch_sub(&busy, 1);
    handled++;
    errno = kept;
}

/* The whole exchange with calls that the handlers interrupt. */
static void exchange_interrupted(int turn)
{
    uint8_t question[64], answer[64];
    fill(question, sizeof question, (unsigned)turn);
    memcpy(question, "$58\r\n", 5);
    if (!write_all(in_main[0], question, sizeof question) ||
        !read_all(in_main[1], answer, sizeof answer) ||
        memcmp(question, answer, sizeof answer) != 0) {
        failures++;
    }
}

static pthread_t main_thread;

static void *storm(void *argument)
{
    (void)argument;
    sigset_t set;
    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    while (handled < SIGNALS) {
        pthread_kill(main_thread, SIGUSR1);
        pthread_kill(main_thread, SIGUSR2);
    }
    return NULL;
}

int main(void)
{
    main_thread = pthread_self();
    tcp_pair(in_handler);
    tcp_pair(in_main);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(sigaction(SIGUSR2, &action, NULL) == 0);
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec every = {{0, 20000}, {0, 20000}};
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    REQUIRE(timer_settime(timer, 0, &every, NULL) == 0);
    pthread_t thread = start_thread(storm, NULL);
    int turn = 0;
    while (handled < SIGNALS) {
        exchange_interrupted(turn++);
    }
    REQUIRE(timer_delete(timer) == 0);
    join_thread(thread);
    say("handled enough: %d, nested: %d, failures: %d", handled >= SIGNALS, nested > 0, failures);
    exchange("afterwards", in_main[0], in_main[1]);
    exchange("afterwards", in_handler[0], in_handler[1]);
    return 0;
}
