/* One way to end per run, with a connection in the middle of an exchange. */
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

static int pair[2];

static void at_exit(void)
{
    say("handler of atexit");
    exchange("in the handler", pair[0], pair[1]);
}

static void at_quick_exit_handler(void)
{
    say("handler of at_quick_exit");
    exchange("in the handler", pair[0], pair[1]);
}

static void on_exit_handler(int status, void *argument)
{
    say("handler of on_exit: %d, %s", status, (const char *)argument);
}

__attribute__((destructor)) static void destroy(void)
{
    say("destructor");
    exchange("in the destructor", pair[0], pair[1]);
}

static void *exit_from_thread(void *argument)
{
    (void)argument;
    exit(5);
}

static void *outlive_main(void *argument)
{
    pthread_t main_thread = *(pthread_t *)argument;
    REQUIRE(pthread_join(main_thread, NULL) == 0);
    exchange("after main ended", pair[0], pair[1]);
    return NULL;
}

static void *wait_for_ever(void *argument)
{
    char bytes[8];
    recv(*(int *)argument, bytes, sizeof bytes, 0);
    recv(*(int *)argument, bytes, sizeof bytes, 0);
    return NULL;
}

int main(int count, char **arguments)
{
    REQUIRE(count == 2);
    const char *way = arguments[1];
    static pthread_t main_thread;
    static char argument[] = "its argument";
    int idle[2];
    REQUIRE(atexit(at_exit) == 0);
    REQUIRE(at_quick_exit(at_quick_exit_handler) == 0);
    REQUIRE(on_exit(on_exit_handler, argument) == 0);
    tcp_pair(pair);
    tcp_pair(idle);
    exchange("before", pair[0], pair[1]);
    REQUIRE(write_all(idle[0], "*1\r\n$4\r\nPING\r\n", 14));
    fputs("in the buffer of stdio\n", stdout);
    if (strcmp(way, "return") == 0) {
        return 3;
    }
    if (strcmp(way, "exit") == 0) {
        exit(4);
    }
    if (strcmp(way, "exit_in_thread") == 0) {
        start_thread(wait_for_ever, &idle[0]);
        start_thread(exit_from_thread, NULL);
        pause();
    }
    if (strcmp(way, "_exit") == 0) {
        _exit(6);
    }
    if (strcmp(way, "_Exit") == 0) {
        _Exit(7);
    }
    if (strcmp(way, "quick_exit") == 0) {
        quick_exit(8);
    }
    if (strcmp(way, "abort") == 0) {
        abort();
    }
    if (strcmp(way, "pthread_exit") == 0) {
        main_thread = pthread_self();
        start_thread(outlive_main, &main_thread);
        pthread_exit(NULL);
    }
    if (strcmp(way, "exit_group") == 0) {
        syscall(SYS_exit_group, 9);
    }
    if (strcmp(way, "raw_exit") == 0) {
        syscall(SYS_exit, 10);
    }
    if (strcmp(way, "SIGPIPE") == 0) {
        REQUIRE(close(pair[1]) == 0);
        write_all(pair[0], "x", 1);
        for (;;) {
            write_all(pair[0], "x", 1);
        }
    }
    if (strcmp(way, "SIGSEGV") == 0) {
        static int *volatile nowhere = (int *)8;
        *nowhere = 1;
    }
    raise(strcmp(way, "SIGTERM") == 0 ? SIGTERM : strcmp(way, "SIGINT") == 0 ? SIGINT : SIGKILL);
    return EXIT_SETUP;
}
