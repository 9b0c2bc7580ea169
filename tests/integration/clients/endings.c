/*
 * usage: endings WAY HOST PORT
 *
 * Three PINGs, then the end, in one of the ways in which a C program can end; the exit status is 7
 * where the way lets the program choose. `wait` ways say "ready" and wait for the end from outside.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire.h"

static char **arguments;

static void three_pings(void)
{
    int fd = wire_connect(arguments[2], arguments[3]);
    for (int i = 0; i < 3; i++)
        wire_ping(fd);
    close(fd);
}

static int status_of_child(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 4;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void *exit_in_thread(void *context)
{
    (void)context;
    exit(7);
}

static void *pings_in_thread(void *context)
{
    (void)context;
    three_pings();
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    arguments = argv;
    const char *way = argv[1];
    pthread_t thread;

    three_pings();
    if (strcmp(way, "return") == 0)
        return 7;
    if (strcmp(way, "exit") == 0)
        exit(7);
    if (strcmp(way, "_exit") == 0)
        _exit(7);
    if (strcmp(way, "_Exit") == 0)
        _Exit(7);
    if (strcmp(way, "quick_exit") == 0)
        quick_exit(7);
    if (strcmp(way, "exit_group") == 0)
        syscall(SYS_exit_group, 7);
    if (strcmp(way, "abort") == 0)
        abort();
    if (strcmp(way, "exec") == 0)
        execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
    if (strcmp(way, "failed_exec") == 0) {
        execl("/nonexistent/program", "program", (char *)NULL);
        three_pings();
        return 7;
    }
    if (strcmp(way, "exit_in_thread") == 0 &&
        pthread_create(&thread, NULL, exit_in_thread, NULL) == 0)
        pthread_join(thread, NULL);
    if (strcmp(way, "last_thread") == 0 &&
        pthread_create(&thread, NULL, pings_in_thread, NULL) == 0)
        pthread_exit(NULL);
    if (strcmp(way, "fork_return") == 0 || strcmp(way, "fork__exit") == 0) {
        pid_t child = fork();
        if (child == 0) {
            three_pings();
            if (strcmp(way, "fork_return") == 0)
                return 7;
            _exit(7);
        }
        return status_of_child(child);
    }
    if (strcmp(way, "fork_idle") == 0) { /* a child that never uses a socket */
        pid_t child = fork();
        if (child == 0)
            _exit(7);
        return status_of_child(child);
    }
    if (strcmp(way, "vfork_exec") == 0) {
        pid_t child = vfork();
        if (child == 0) {
            execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
            _exit(8);
        }
        three_pings();
        return status_of_child(child);
    }
    if (strcmp(way, "close_all") == 0) {
        if (close_range(3, ~0u, 0) != 0)
            return 5;
        three_pings();
        return 7;
    }
    if (strcmp(way, "wait") == 0) {
        puts("ready");
        fflush(stdout);
        for (;;)
            pause();
    }
    return 6;
}
