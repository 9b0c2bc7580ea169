/* Threads that wait for each other by conditions and semaphores, in every way and with every
   outcome, while one of them serves a request. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static int turns;
static int cleaned;

static struct timespec soon(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_nsec += 2000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

static void *wait_by_condition(void *argument)
{
    pthread_mutex_lock(&lock);
    while (turns < 3) {
        int result = pthread_cond_wait(&condition, &lock);
        if (result != 0) {
            say("wait: %d", result);
        }
    }
    pthread_mutex_unlock(&lock);
    return argument;
}

static void *wait_by_semaphore(void *argument)
{
    for (int i = 0; i < 3; i++) {
        errno = 5;
        int result = sem_wait(&semaphore);
        if (result != 0 || errno != 5) {
            say("sem_wait: %d %d", result, errno);
        }
    }
    return argument;
}

static void clean(void *argument)
{
    (void)argument;
    cleaned++;
    pthread_mutex_unlock(&lock);
}

static void *wait_for_ever(void *argument)
{
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(clean, NULL);
    turns = 10;
    for (;;) {
        pthread_cond_wait(&condition, &lock);
    }
    pthread_cleanup_pop(0);
    return argument;
}

static void wait_in_vain(void)
{
    pthread_condattr_t attributes;
    pthread_cond_t steady;
    struct timespec until = soon(CLOCK_REALTIME);
    struct timespec wrong = {.tv_nsec = -1};
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&steady, &attributes);
    pthread_mutex_lock(&lock);
    OBSERVE_AS("timedwait", pthread_cond_timedwait(&condition, &lock, &until));
    until = soon(CLOCK_MONOTONIC);
    OBSERVE_AS("timedwait, steady", pthread_cond_timedwait(&steady, &lock, &until));
    until = soon(CLOCK_MONOTONIC);
    OBSERVE_AS("clockwait", pthread_cond_clockwait(&condition, &lock, CLOCK_MONOTONIC, &until));
    OBSERVE_AS("no time", pthread_cond_timedwait(&condition, &lock, &wrong));
    OBSERVE_AS("no clock", pthread_cond_clockwait(&condition, &lock, 77, &until));
    pthread_mutex_unlock(&lock);
    until = soon(CLOCK_REALTIME);
    OBSERVE_AS("sem_timedwait", sem_timedwait(&semaphore, &until));
    until = soon(CLOCK_MONOTONIC);
    OBSERVE_AS("sem_clockwait", sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until));
    OBSERVE_AS("sem, no time", sem_timedwait(&semaphore, &wrong));
    pthread_cond_destroy(&steady);
    sem_t full;
    sem_init(&full, 0, 0x7fffffff);
    OBSERVE_AS("sem_post, full", sem_post(&full));
}

static void on_alarm(int number)
{
    (void)number;
}

static void be_interrupted(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    timer_t timer;
    struct itimerspec every = {.it_value = {0, 2000000}, .it_interval = {0, 2000000}};
    sigaction(SIGALRM, &action, NULL);
    timer_create(CLOCK_MONOTONIC, NULL, &timer);
    timer_settime(timer, 0, &every, NULL);
    OBSERVE_AS("sem_wait, interrupted", sem_wait(&semaphore));
    timer_delete(timer);
}

static void hand_over(void)
{
    pthread_t by_condition;
    pthread_t by_semaphore;
    pthread_create(&by_condition, NULL, wait_by_condition, NULL);
    pthread_create(&by_semaphore, NULL, wait_by_semaphore, NULL);
    for (int i = 0; i < 3; i++) {
        pthread_mutex_lock(&lock);
        turns++;
        int result = i == 1 ? pthread_cond_broadcast(&condition) : pthread_cond_signal(&condition);
        pthread_mutex_unlock(&lock);
        say("woken: %d %d", result, sem_post(&semaphore));
    }
    pthread_join(by_condition, NULL);
    pthread_join(by_semaphore, NULL);
}

static void be_cancelled(void)
{
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    for (int has_begun = 0; !has_begun;) {
        pthread_mutex_lock(&lock); /* free once it waits */
        has_begun = turns == 10;
        pthread_mutex_unlock(&lock);
    }
    pthread_cancel(thread);
    pthread_join(thread, &result);
    say("cancelled: %d, cleaned: %d", result == PTHREAD_CANCELED, cleaned);
}

int main(void)
{
    int ends[2];
    char text[128];
    static const char request[] = "GET /work HTTP/1.1\r\nHost: here\r\n\r\n";
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    tcp_pair(ends);
    sem_init(&semaphore, 0, 0);
    for (int served = 0; served < 2; served++) {
        turns = 0;
        if (served) {
            REQUIRE(write(ends[0], request, strlen(request)) == (ssize_t)strlen(request));
            REQUIRE(read(ends[1], text, sizeof(text)) > 0);
        }
        hand_over();
        wait_in_vain();
        be_interrupted();
        be_cancelled();
        if (served) {
            REQUIRE(write(ends[1], answer, strlen(answer)) == (ssize_t)strlen(answer));
        }
    }
    return 0;
}
