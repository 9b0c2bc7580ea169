/*
 * usage: forks WAY HOST PORT [FOLDER]
 *
 * Three PINGs, then a child by one of the many ways to one, which makes three more, and the end
 * when the child has ended. The exit status is 7. `crowd` makes two hundred children, which wait
 * for the end of stdin after their PINGs; `wait` does so by itself.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire.h"

enum { CROWD = 200 };

static char **arguments;

static void three_pings(void)
{
    int fd = wire_connect(arguments[2], arguments[3]);
    for (int i = 0; i < 3; i++)
        wire_ping(fd);
    close(fd);
}

static int status_of(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, __WALL) != child)
        return 4;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static _Noreturn void be_child(void)
{
    three_pings();
    exit(7);
}

static void await_end_of_stdin(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

/* The child goes on where the parent was, with a copy of its memory. */
static pid_t raw_clone(unsigned long flags)
{
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0UL);
}

static pid_t raw_clone3(void)
{
    struct clone_args how = {.exit_signal = SIGCHLD};
    return (pid_t)syscall(SYS_clone3, &how, sizeof(how));
}

static int clone_child(void *context)
{
    (void)context;
    be_child();
}

static int crowd(void)
{
    for (int i = 0; i < CROWD; i++) {
        pid_t child = fork();
        if (child == 0) {
            three_pings();
            puts("ready");
            fflush(stdout);
            await_end_of_stdin();
            _exit(7);
        }
        if (child < 0)
            return 4;
    }
    int worst = 7;
    int status;
    while (wait(&status) > 0)
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
            worst = 8;
    return worst;
}

/* The parent's three PINGs have been made. */
static int by(const char *way)
{
    if (strcmp(way, "fork") == 0) {
        pid_t child = fork();
        if (child == 0)
            be_child();
        return status_of(child);
    }
    if (strcmp(way, "grandchild") == 0) {
        pid_t child = fork();
        if (child == 0) {
            pid_t grandchild = fork();
            if (grandchild == 0)
                be_child();
            _exit(status_of(grandchild));
        }
        return status_of(child);
    }
    if (strcmp(way, "vfork") == 0) {
        pid_t child = vfork();
        if (child == 0) {
            execl(arguments[0], arguments[0], "none", arguments[2], arguments[3], (char *)NULL);
            _exit(8);
        }
        return status_of(child);
    }
    if (strcmp(way, "raw_clone") == 0) {
        pid_t child = raw_clone(0);
        if (child == 0)
            be_child();
        return status_of(child);
    }
    if (strcmp(way, "raw_clone3") == 0) {
        pid_t child = raw_clone3();
        if (child == 0)
            be_child();
        return status_of(child);
    }
    if (strcmp(way, "clone_stack") == 0) {
        static _Alignas(64) char stack[256 << 10];
        return status_of(clone(clone_child, stack + sizeof(stack), SIGCHLD, NULL));
    }
    if (strcmp(way, "new_namespace") == 0) {
        pid_t child = raw_clone(CLONE_NEWPID);
        if (child == 0) {
            three_pings();
            _exit(getpid() == 1 ? 7 : 9);
        }
        return status_of(child);
    }
    if (strcmp(way, "forkpty") == 0) {
        int terminal;
        pid_t child = forkpty(&terminal, NULL, NULL, NULL);
        if (child == 0)
            be_child();
        return status_of(child);
    }
    if (strcmp(way, "daemon") == 0) {
        if (daemon(1, 1) != 0)
            return 5;
        be_child();
    }
    if (strcmp(way, "close_all") == 0) {
        close_range(0, ~0u, 0);
        be_child();
    }
    if (strcmp(way, "close_each") == 0) {
        for (int fd = 0; fd < 65536; fd++)
            close(fd);
        be_child();
    }
    if (strcmp(way, "reexec") == 0) {
        execl("/proc/self/exe", arguments[0], "none", arguments[2], arguments[3], (char *)NULL);
        return 5;
    }
    if (strcmp(way, "chroot") == 0) {
        pid_t children[4];
        for (int i = 0; i < 4; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                if (chroot(arguments[4]) != 0 || chdir("/") != 0 || setgid(65534) != 0 ||
                    setuid(65534) != 0)
                    _exit(9);
                be_child();
            }
        }
        int worst = 7;
        for (int i = 0; i < 4; i++) {
            int status = status_of(children[i]);
            worst = status == 7 ? worst : status;
        }
        return worst;
    }
    if (strcmp(way, "none") == 0)
        return 7;
    return 6;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    arguments = argv;
    if (strcmp(argv[1], "crowd") == 0)
        return crowd();
    three_pings();
    if (strcmp(argv[1], "wait") == 0) {
        puts("ready");
        fflush(stdout);
        await_end_of_stdin();
        return 7;
    }
    return by(argv[1]);
}
