/* The calls that tell of children that ended: their results, statuses and errors. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { EXITS = 7 };

static pid_t child_that(int how)
{
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child != 0) {
        return child;
    }
    if (how == EXITS) {
        _exit(EXITS);
    }
    raise(how);
    _exit(EXITS + 1);
}

static void say_end(const char *call, pid_t expected, pid_t result, int status)
{
    say("%s: %s, status %x, errno %s", call, result == expected ? "the child" : "another",
        (unsigned)status, errno == ERRNO_MARK ? "left alone" : "set");
}

static void on_signal(int number)
{
    (void)number;
}

int main(void)
{
    int status = 0x5555;
    struct rusage usage;
    siginfo_t information;
    void *unreadable = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(unreadable != MAP_FAILED);

    OBSERVE(wait(&status));
    OBSERVE(waitpid(-1, NULL, 0));
    OBSERVE(wait3(NULL, 0, NULL));
    OBSERVE(wait4(-1, &status, WNOHANG, &usage));
    OBSERVE(waitid(P_ALL, 0, &information, WEXITED));
    OBSERVE(waitid(P_ALL, 0, NULL, 0));
    OBSERVE(waitpid(-1, &status, 0x4000000));
    say("status %x", (unsigned)status);

    const int ways[] = {EXITS, SIGKILL, SIGTERM, SIGUSR1};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        pid_t child = child_that(ways[i]);
        errno = ERRNO_MARK;
        pid_t result = wait(&status);
        say_end("wait", child, result, status);
        child = child_that(ways[i]);
        errno = ERRNO_MARK;
        result = waitpid(child, &status, 0);
        say_end("waitpid", child, result, status);
        child = child_that(ways[i]);
        errno = ERRNO_MARK;
        result = wait3(&status, 0, &usage);
        say_end("wait3", child, result, status);
        child = child_that(ways[i]);
        errno = ERRNO_MARK;
        result = wait4(child, &status, 0, NULL);
        say_end("wait4", child, result, status);
        child = child_that(ways[i]);
        errno = ERRNO_MARK;
        OBSERVE(waitid(P_PID, (id_t)child, &information, WEXITED | WNOWAIT));
        say("code %d, status %d, %s", information.si_code, information.si_status,
            information.si_pid == child ? "the child" : "another");
        OBSERVE(waitid(P_PID, (id_t)child, NULL, WEXITED));
        OBSERVE(waitpid(child, &status, 0));
    }

    /* Nobody asks for the status, or nowhere that it could be written. */
    pid_t child = child_that(EXITS);
    errno = ERRNO_MARK;
    say_end("wait", child, wait(NULL), 0);
    child = child_that(EXITS);
    errno = ERRNO_MARK;
    say_end("waitpid", child, waitpid(child, NULL, 0), 0);
    child = child_that(EXITS);
    OBSERVE(waitpid(child, unreadable, 0));
    child = child_that(EXITS);
    OBSERVE(waitid(P_PID, (id_t)child, unreadable, WEXITED));

    /* A child that lives, stops, goes on, and is waited for in vain. */
    child = child_that(SIGSTOP);
    errno = ERRNO_MARK;
    say_end("stopped", child, waitpid(child, &status, WUNTRACED), status);
    OBSERVE(waitpid(child, &status, WNOHANG));
    memset(&information, 0, sizeof(information));
    OBSERVE(waitid(P_PID, (id_t)child, &information, WEXITED | WNOHANG));
    say("signal %d", information.si_signo);
    struct sigaction action = {.sa_handler = on_signal};
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    alarm(1);
    OBSERVE(waitpid(child, &status, 0));
    REQUIRE(kill(child, SIGCONT) == 0);
    errno = ERRNO_MARK;
    say_end("gone on", child, waitpid(child, &status, 0), status);
    return 0;
}
