/* Every way to make a child, with a connection open in the parent: both sides go on with it, and
   what the child closes stays open in the parent. */
#include <fcntl.h>
#include <linux/sched.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static int pair[2];

/* Runs in the child: the inherited connection is used and closed, and one of its own. */
static void live_in_child(const char *label)
{
    char line[64];
    int own[2];
    snprintf(line, sizeof line, "%s: inherited", label);
    exchange(line, pair[0], pair[1]);
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
    tcp_pair(own);
    snprintf(line, sizeof line, "%s: own", label);
    exchange(line, own[0], own[1]);
    say("%s: parent is %s", label, getppid() != getpid() ? "another" : "itself");
}

static void still_there(const char *label)
{
    exchange(label, pair[0], pair[1]);
}

static void by_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        live_in_child("fork");
        exit(3);
    }
    say_child("fork", pid);
    still_there("after fork");
}

static void by_quiet_fork(void)
{
    pid_t pid = _Fork();
    if (pid == 0) {
        live_in_child("_Fork");
        _exit(4);
    }
    say_child("_Fork", pid);
    still_there("after _Fork");
}

static void by_raw_fork(void)
{
#ifdef SYS_fork
    pid_t pid = (pid_t)syscall(SYS_fork);
#else
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
    if (pid == 0) {
        live_in_child("syscall(fork)");
        _exit(5);
    }
    say_child("syscall(fork)", pid);
    still_there("after syscall(fork)");
}

static void by_raw_clone(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        live_in_child("syscall(clone)");
        syscall(SYS_exit_group, 6);
    }
    say_child("syscall(clone)", pid);
    still_there("after syscall(clone)");
}

static void by_raw_clone3(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) {
        live_in_child("syscall(clone3)");
        _exit(7);
    }
    say_child("syscall(clone3)", pid);
    still_there("after syscall(clone3)");
}

static int cloned(void *argument)
{
    say("clone: argument %s", (const char *)argument);
    live_in_child("clone");
    return 8;
}

static void by_clone(void)
{
    static char stack[256 * 1024] __attribute__((aligned(16)));
    char argument[] = "passed";
    pid_t pid = clone(cloned, stack + sizeof stack, SIGCHLD, argument);
    say_child("clone", pid);
    still_there("after clone");
    OBSERVE_AS("clone without a function", clone(NULL, stack + sizeof stack, SIGCHLD, NULL));
    /* Shared memory and descriptors, own flow: the child of a supervisor written by hand. */
    pid = clone(cloned, stack + sizeof stack, CLONE_VFORK | SIGCHLD, argument);
    say_child("clone with CLONE_VFORK", pid);
    still_there("after clone with CLONE_VFORK");
}

static void by_vfork(void)
{
    int number = 5;
    pid_t pid = vfork();
    if (pid == 0) {
        /* The child lives in our memory and on our stack. */
        close(pair[0]);
        close(pair[1]);
        _exit(9);
    }
    say_child("vfork", pid);
    still_there("after vfork");
    pid = vfork();
    if (pid == 0) {
        close_range(3, ~0u, 0);
        _exit(number);
    }
    say_child("vfork, close_range", pid);
    still_there("after vfork, close_range");
    pid = vfork();
    if (pid == 0) {
        for (int fd = 3; fd < 256; fd++) {
            close(fd);
        }
        execl("/bin/echo", "echo", "from vfork and exec", (char *)NULL);
        _exit(127);
    }
    say_child("vfork, close all, exec", pid);
    still_there("after vfork, close all, exec");
    pid = vfork();
    if (pid == 0) {
        dup2(1, pair[0]);
        dup2(1, pair[1]);
        execl("/nonexistent", "x", (char *)NULL);
        _exit(126);
    }
    say_child("vfork, dup2 over both, failing exec", pid);
    still_there("after vfork, dup2 over both, failing exec");
    pid = vfork();
    if (pid == 0) {
        kill(getpid(), SIGKILL);
        _exit(1);
    }
    say_child("vfork, killed", pid);
    still_there("after vfork, killed");
    int fresh[2];
    tcp_pair(fresh);
    exchange("a new connection after all vforks", fresh[0], fresh[1]);
    REQUIRE(close(fresh[0]) == 0 && close(fresh[1]) == 0);
}

static void by_spawn(void)
{
    pid_t pid;
    char *arguments[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"exit 11"}, NULL};
    /* The child says nothing: its output could come before or after that of the parent. */
    posix_spawn_file_actions_t actions;
    REQUIRE(posix_spawn_file_actions_init(&actions) == 0);
    REQUIRE(posix_spawn_file_actions_addclosefrom_np(&actions, 3) == 0);
    /* The child writes, too: nothing is said until it has ended. */
    int error = posix_spawn(&pid, "/bin/sh", &actions, NULL, arguments, environ);
    say_child("posix_spawn", pid);
    say("posix_spawn: %d", error);
    error = posix_spawnp(&pid, "sh", NULL, NULL, arguments, environ);
    say_child("posix_spawnp", pid);
    say("posix_spawnp: %d", error);
    OBSERVE(posix_spawn(&pid, "/nonexistent", NULL, NULL, arguments, environ));
    error = posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, NULL);
    say_child("posix_spawn without an environment", pid);
    say("posix_spawn without an environment: %d", error);
    int status = system("echo from system; exit 12");
    say_ending("system", status);
    FILE *stream = popen("echo from popen", "r");
    char line[64] = {0};
    REQUIRE(stream && fgets(line, sizeof line, stream));
    say("popen: %.10s", line);
    say_ending("pclose", pclose(stream));
    still_there("after spawn");
}

static void by_forkpty(void)
{
    int master;
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    if (pid == 0) {
        int own[2];
        tcp_pair(own);
        exchange("forkpty: own", own[0], own[1]);
        _exit(13);
    }
    char bytes[256] = {0};
    size_t total = 0;
    ssize_t count;
    while ((count = read(master, bytes + total, sizeof bytes - 1 - total)) > 0) {
        total += (size_t)count;
    }
    say("through the terminal: %.24s", bytes);
    say_child("forkpty", pid);
    still_there("after forkpty");
}

static void by_daemon(void)
{
    int ends[2];
    char byte;
    REQUIRE(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE(close(ends[0]) == 0);
        OBSERVE(daemon(1, 1));
        live_in_child("daemon");
        exit(0);
    }
    REQUIRE(close(ends[1]) == 0);
    /* Ends when the daemon, which nobody can wait for, has ended. */
    REQUIRE(read(ends[0], &byte, 1) == 0);
    say_child("daemon's parent", pid);
    still_there("after daemon");
}

static void waiting(void)
{
    int status;
    struct rusage usage;
    siginfo_t information;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(21);
    }
    REQUIRE(waitid(P_PID, (id_t)pid, &information, WEXITED | WNOWAIT) == 0);
    say("waitid: %s %d", information.si_pid == pid ? "the child" : "?", information.si_status);
    REQUIRE(wait4(pid, &status, WNOHANG, &usage) == pid);
    say_ending("wait4", status);
    OBSERVE(wait4(pid, &status, 0, &usage));
    OBSERVE(waitpid(-1, &status, WNOHANG));
    OBSERVE(wait(&status));
    OBSERVE(waitid(P_ALL, 0, &information, WEXITED));
    pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        raise(SIGTERM);
        _exit(1);
    }
    REQUIRE(waitpid(pid, &status, WUNTRACED) == pid);
    say("stopped: %d", WIFSTOPPED(status));
    REQUIRE(kill(pid, SIGCONT) == 0);
    say_child("continued", pid);
    pid = fork();
    if (pid == 0) {
        abort();
    }
    REQUIRE(wait3(&status, 0, &usage) == pid);
    say_ending("wait3", status);
}

/* A chain of forks in which each generation talks to the next. */
static void generations(void)
{
    for (int depth = 0; depth < 5; depth++) {
        int ends[2];
        tcp_pair(ends);
        pid_t pid = fork();
        if (pid != 0) {
            char bytes[8] = {0};
            REQUIRE(close(ends[0]) == 0);
            REQUIRE(read_all(ends[1], bytes, 4) && write_all(ends[1], "pong", 4));
            say_child("generation", pid);
            if (depth > 0) {
                _exit(depth);
            }
            return;
        }
        char bytes[8] = {0};
        REQUIRE(close(ends[1]) == 0);
        REQUIRE(write_all(ends[0], "ping", 4) && read_all(ends[0], bytes, 4));
        REQUIRE(close(ends[0]) == 0);
    }
    _exit(100);
}

int main(void)
{
    signal(SIGHUP, SIG_IGN);
    tcp_pair(pair);
    still_there("at first");
    by_fork();
    by_quiet_fork();
    by_raw_fork();
    by_raw_clone();
    by_raw_clone3();
    by_clone();
    by_vfork();
    by_spawn();
    by_forkpty();
    by_daemon();
    waiting();
    generations();
    still_there("at last");
    return 0;
}
