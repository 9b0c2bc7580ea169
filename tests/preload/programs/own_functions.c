/* A program that defines names of the C library itself, and calls what comes next: ours must
   neither be called in their place nor call them in a circle. */
#include <dlfcn.h>
#include <unistd.h>

#include "support.h"

typedef ssize_t send_function(int, const void *, size_t, int);
typedef ssize_t recv_function(int, void *, size_t, int);
typedef int close_function(int);

/* Of this thread: libcurl, on the exporter's, finds these functions, too. */
static __thread int sends, receives, closes;

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    send_function *next = FUNCTION(send_function, dlsym(RTLD_NEXT, "send"));
    sends++;
    return next(fd, bytes, size, flags);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    recv_function *next = FUNCTION(recv_function, dlsym(RTLD_NEXT, "recv"));
    receives++;
    return next(fd, bytes, size, flags);
}

int close(int fd)
{
    close_function *next = FUNCTION(close_function, dlsym(RTLD_NEXT, "close"));
    closes++;
    return next(fd);
}

int main(void)
{
    int pair[2];
    char bytes[16];
    tcp_pair(pair);
    for (int i = 0; i < 10; i++) {
        REQUIRE(send(pair[0], "*1\r\n$4\r\nPING\r\n", 14, 0) == 14);
        REQUIRE(recv(pair[1], bytes, sizeof bytes, 0) == 14);
        REQUIRE(write(pair[1], "+PONG\r\n", 7) == 7);
        REQUIRE(recv(pair[0], bytes, sizeof bytes, 0) == 7);
    }
    say("%d sends, %d receives, %d closes", sends, receives, closes);
    return 0;
}
