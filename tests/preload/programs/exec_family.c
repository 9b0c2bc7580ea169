/* Every exec function, those that fail too: the environment, the arguments and the inherited
   connection arrive in the new program. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

static int pair[2];
static char self[4096];

enum variant {
    EXECVE,
    EXECV,
    EXECVP,
    EXECVPE,
    EXECL,
    EXECLE,
    EXECLP,
    FEXECVE,
    EXECVEAT,
    RAW,
    VARIANTS
};

static void become(enum variant variant)
{
    char number[16], client[16], server[16];
    snprintf(number, sizeof number, "%d", (int)variant);
    snprintf(client, sizeof client, "%d", pair[0]);
    snprintf(server, sizeof server, "%d", pair[1]);
    char name[] = "program";
    char word[] = "two words";
    char *arguments[] = {name, number, client, server, word, NULL};
    /* An environment without LD_PRELOAD: the new program is plain in both runs. */
    char setting[] = "COLOR=blue";
    char path[] = "PATH=/usr/bin:/bin";
    char *environment[] = {setting, path, NULL};
    int fd;
    switch (variant) {
    case EXECVE:
        execve(self, arguments, environment);
        break;
    case EXECV:
        execv(self, arguments);
        break;
    case EXECVP:
        execvp(self, arguments);
        break;
    case EXECVPE:
        execvpe(self, arguments, environment);
        break;
    case EXECL:
        execl(self, name, number, client, server, word, (char *)NULL);
        break;
    case EXECLE:
        execle(self, name, number, client, server, word, (char *)NULL, environment);
        break;
    case EXECLP:
        execlp(self, name, number, client, server, word, (char *)NULL);
        break;
    case FEXECVE:
        fd = open(self, O_RDONLY | O_CLOEXEC);
        fexecve(fd, arguments, environ);
        break;
    case EXECVEAT:
        fd = open(self, O_PATH);
        execveat(fd, "", arguments, environ, AT_EMPTY_PATH);
        break;
    case RAW:
        syscall(SYS_execve, self, arguments, environ);
        break;
    case VARIANTS:
        break;
    }
    say("exec failed: %s", errno_name(errno));
    _exit(1);
}

static void failing(void)
{
    char *arguments[] = {(char[]){"x"}, NULL};
    say("-- failing, then living on");
    OBSERVE(execve("/nonexistent", arguments, environ));
    OBSERVE(execv("/nonexistent/deeper", arguments));
    OBSERVE(execvp("no-such-program-anywhere", arguments));
    OBSERVE(execvpe("no-such-program-anywhere", arguments, environ));
    OBSERVE(execl("/", "x", (char *)NULL));
    OBSERVE(execle("/etc/passwd", "x", (char *)NULL, environ));
    OBSERVE(execlp("no-such-program-anywhere", "x", (char *)NULL));
    OBSERVE(fexecve(77, arguments, environ));
    OBSERVE(execveat(AT_FDCWD, "nothing", arguments, environ, 0));
    OBSERVE(syscall(SYS_execve, "/nonexistent", arguments, environ));
    int fd = open("empty", O_CREAT | O_WRONLY, 0755);
    REQUIRE(fd >= 0 && close(fd) == 0);
    OBSERVE(execve("./empty", arguments, environ));
    exchange("still connected", pair[0], pair[1]);
}

/* A program that replaces itself again and again, its connection open all the time. */
static void again(int left)
{
    char number[16], client[16], server[16];
    exchange("in the chain", pair[0], pair[1]);
    if (left == 0) {
        return;
    }
    snprintf(number, sizeof number, "%d", 100 + left - 1);
    snprintf(client, sizeof client, "%d", pair[0]);
    snprintf(server, sizeof server, "%d", pair[1]);
    execl(self, "program", number, client, server, "two words", (char *)NULL);
    say("exec failed: %s", errno_name(errno));
}

int main(int count, char **arguments)
{
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    REQUIRE(size > 0);
    if (count > 1) {
        pair[0] = atoi(arguments[2]);
        pair[1] = atoi(arguments[3]);
        int variant = atoi(arguments[1]);
        if (variant >= 100) {
            again(variant - 100);
            return 0;
        }
        const char *color = getenv("COLOR");
        say("variant %s: %d arguments, %s, %s, COLOR %s", arguments[1], count, arguments[0],
            arguments[4], color ? color : "unset");
        exchange("inherited", pair[0], pair[1]);
        return 30 + variant;
    }
    tcp_pair(pair);
    REQUIRE(fcntl(pair[0], F_SETFD, 0) == 0 && fcntl(pair[1], F_SETFD, 0) == 0);
    for (enum variant variant = 0; variant < VARIANTS; variant++) {
        pid_t pid = fork();
        if (pid == 0) {
            become(variant);
        }
        say_child("exec", pid);
        pid = vfork();
        if (pid == 0) {
            become(variant);
        }
        say_child("vfork and exec", pid);
    }
    failing();
    again(5);
    return 0;
}
