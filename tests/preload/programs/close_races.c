/* Threads close, replace and shut down connections while others are inside calls on them. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

#define TURNS 300

static _Atomic int shared[2];
static _Atomic int stop;

/* Whatever the numbers mean just now: every outcome is right, but the process must live. */
static void *hammer(void *argument)
{
    char bytes[64];
    bool writes = argument != NULL;
    while (!stop) {
        int fd = shared[writes ? 0 : 1];
        ssize_t count;
        if (writes) {
            count = send(fd, "*1\r\n$4\r\nPING\r\n", 14, MSG_DONTWAIT | MSG_NOSIGNAL);
        } else {
            count = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        }
        if (count < 0 && errno == EAGAIN) {
            sched_yield();
        }
    }
    return NULL;
}

static _Atomic int waiting_thread;

static void *wait_for_byte(void *argument)
{
    char byte;
    waiting_thread = gettid();
    ssize_t count = recv(*(int *)argument, &byte, 1, 0);
    return (void *)(intptr_t)count;
}

/* Until the reader sleeps in its call: it does nothing else that sleeps. */
static void await_reader(void)
{
    char path[64], line[256];
    while (waiting_thread == 0) {
        sched_yield();
    }
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", waiting_thread);
    for (;;) {
        int fd = open(path, O_RDONLY);
        REQUIRE(fd >= 0);
        ssize_t size = read(fd, line, sizeof line - 1);
        REQUIRE(size > 0 && close(fd) == 0);
        line[size] = '\0';
        const char *state = strrchr(line, ')');
        if (state != NULL && state[2] == 'S') {
            break;
        }
        sched_yield();
    }
    waiting_thread = 0;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    pthread_t threads[4];
    int pair[2];
    tcp_pair(pair);
    shared[0] = pair[0];
    shared[1] = pair[1];
    for (size_t i = 0; i < 4; i++) {
        threads[i] = start_thread(hammer, i % 2 ? &stop : NULL);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        int old[2] = {shared[0], shared[1]};
        tcp_pair(pair);
        if (turn % 3 == 0) {
            REQUIRE(dup2(pair[0], old[0]) == old[0] && dup2(pair[1], old[1]) == old[1]);
            REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
            continue;
        }
        shared[0] = pair[0];
        shared[1] = pair[1];
        if (turn % 3 == 1) {
            shutdown(old[0], SHUT_RDWR);
        }
        REQUIRE(close(old[0]) == 0 && close(old[1]) == 0);
    }
    stop = 1;
    for (size_t i = 0; i < 4; i++) {
        join_thread(threads[i]);
    }
    say("%d connections replaced", TURNS);

    /* shutdown wakes a reader, as does the peer's end; a dup2 over the number does not. */
    tcp_pair(pair);
    pthread_t reader = start_thread(wait_for_byte, &pair[1]);
    await_reader();
    OBSERVE(shutdown(pair[1], SHUT_RD));
    void *count;
    REQUIRE(pthread_join(reader, &count) == 0);
    say("reader got %ld", (long)(intptr_t)count);
    tcp_pair(pair);
    reader = start_thread(wait_for_byte, &pair[1]);
    await_reader();
    int kept = pair[1];
    int null = open("/dev/null", O_RDWR);
    OBSERVE_FD(dup2(null, kept));
    REQUIRE(write_all(pair[0], "x", 1));
    REQUIRE(pthread_join(reader, &count) == 0);
    say("reader got %ld", (long)(intptr_t)count);
    OBSERVE_AS("the number is a file now", write(kept, "x", 1));
    return 0;
}
