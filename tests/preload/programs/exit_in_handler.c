/*
 * A forked child serves a connection that it inherited, and is ended by a handler that may have
 * interrupted anything: an allocator that holds its lock, too. Whatever is done for _exit there, it
 * must not need that allocator.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static _Atomic bool is_in_handler;

extern void *__libc_calloc(size_t count, size_t size);

/* The program's own calloc, which cannot be entered again while it holds its lock. */
void *calloc(size_t count, size_t size)
{
    if (atomic_load(&is_in_handler)) {
        static const char complaint[] = "calloc was called in a handler\n";
        if (write(STDOUT_FILENO, complaint, strlen(complaint)) < 0) {
            abort();
        }
    }
    return __libc_calloc(count, size);
}

static void end(int number)
{
    (void)number;
    atomic_store(&is_in_handler, true);
    _exit(5);
}

static void serve(int fd)
{
    char request[256];
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    REQUIRE(read(fd, request, sizeof(request)) > 0);
    REQUIRE(write(fd, reply, strlen(reply)) == (ssize_t)strlen(reply));
    signal(SIGTERM, end);
    raise(SIGTERM);
}

int main(void)
{
    int pair[2];
    int status;
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(pair[0]);
        serve(pair[1]);
    }
    REQUIRE(write(pair[0], request, strlen(request)) == (ssize_t)strlen(request));
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    return 0;
}
