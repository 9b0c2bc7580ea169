/* The library of another agent, preloaded beside ours: it interposes some of the same names, with
   dlsym(RTLD_NEXT), and counts. */
#include <dlfcn.h>
#include <sys/socket.h>
#include <unistd.h>

unsigned second_preload_calls(void);
typedef ssize_t send_function(int, const void *, size_t, int);
typedef ssize_t write_function(int, const void *, size_t);
typedef int close_function(int);

/* Of this thread: the exporter's thread makes calls of its own. */
static __thread unsigned calls;

unsigned second_preload_calls(void)
{
    return calls;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    static send_function *next;
    if (!next) {
        next = (send_function *)dlsym(RTLD_NEXT, "send");
    }
    calls++;
    return next(fd, bytes, size, flags);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    static write_function *next;
    if (!next) {
        next = (write_function *)dlsym(RTLD_NEXT, "write");
    }
    calls++;
    return next(fd, bytes, size);
}

int close(int fd)
{
    static close_function *next;
    if (!next) {
        next = (close_function *)dlsym(RTLD_NEXT, "close");
    }
    calls++;
    return next(fd);
}
