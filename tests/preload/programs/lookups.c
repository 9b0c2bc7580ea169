/* Names that are looked up at run time: weak references, dlsym in every way, and a program that
   has its own idea of some of them. */
#include <dlfcn.h>
#include <unistd.h>

#include "support.h"

typedef ssize_t read_function(int, void *, size_t);
typedef ssize_t send_function(int, const void *, size_t, int);
typedef int close_function(int);

/* In a program without these libraries they are absent, and it asks before it calls. */
extern int no_such_function(void) __attribute__((weak));
extern int epoll_pwait2(int, void *, int, const void *, const void *) __attribute__((weak));
extern int closefrom_range(int, int) __attribute__((weak));
/* Whether a library is there is told by what makes its objects. */
extern int SSL_new(void) __attribute__((weak));
extern int SSL_CTX_new(void) __attribute__((weak));
extern int gnutls_init(void) __attribute__((weak));
extern int curl_easy_init(void) __attribute__((weak));
extern int redisConnect(void) __attribute__((weak));

static const char *const names[] = {
    "read",
    "write",
    "readv",
    "writev",
    "send",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "recv",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "sendfile",
    "sendfile64",
    "__read_chk",
    "__recv_chk",
    "__recvfrom_chk",
    "preadv2",
    "pwritev2",
    "splice",
    "dprintf",
    "vdprintf",
    "__dprintf_chk",
    "__vdprintf_chk",
    "socket",
    "socketpair",
    "connect",
    "accept",
    "accept4",
    "close",
    "shutdown",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "fcntl64",
    "close_range",
    "closefrom",
    "fclose",
    "fdopen",
    "syscall",
    "fork",
    "_Fork",
    "vfork",
    "clone",
    "_exit",
    "_Exit",
    "quick_exit",
    "abort",
    "execve",
    "execv",
    "execvp",
    "execvpe",
    "execl",
    "execle",
    "execlp",
    "fexecve",
    "execveat",
    "posix_spawn",
    "posix_spawnp",
    "dlopen",
    "listen",
    "bind",
    "epoll_wait",
    "epoll_pwait",
    "poll",
    "ppoll",
    "select",
    "pselect",
    "__poll_chk",
    "waitpid",
    "wait4",
    "waitid",
    "pthread_create",
    "__read",
    "__write",
    "__send",
    "__close",
    "__connect",
    "__dup2",
    "__fork",
    "__vfork",
    "__clone",
    "no_such_name",
    /* What programs ask for to learn whether there is a library. */
    "SSL_new",
    "SSL_CTX_new",
    "gnutls_init",
    "redisConnect",
    "curl_version",
    "curl_easy_init",
    "curl_multi_init",
};

int main(void)
{
    int pair[2];
    char bytes[16];
    tcp_pair(pair);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        say("%s: %s", names[i], dlsym(RTLD_DEFAULT, names[i]) ? "found" : "absent");
    }
    say("weak: %d %d %d", &no_such_function != NULL, &epoll_pwait2 != NULL,
        &closefrom_range != NULL);
    say("weak: %d %d %d %d %d", &SSL_new != NULL, &SSL_CTX_new != NULL, &gnutls_init != NULL,
        &curl_easy_init != NULL, &redisConnect != NULL);
    /* Next after the program, by handle, by version: each must do the same to the same bytes. */
    read_function *next_read = FUNCTION(read_function, dlsym(RTLD_NEXT, "read"));
    send_function *next_send = FUNCTION(send_function, dlsym(RTLD_NEXT, "send"));
    close_function *next_close = FUNCTION(close_function, dlsym(RTLD_NEXT, "close"));
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    REQUIRE(next_read && next_send && next_close && libc);
    send_function *handle_send = FUNCTION(send_function, dlsym(libc, "send"));
    read_function *handle_read = FUNCTION(read_function, dlsym(libc, "read"));
    REQUIRE(handle_send && handle_read);
    for (int i = 0; i < 3; i++) {
        OBSERVE(next_send(pair[0], "*1\r\n$4\r\nPING\r\n", 14, 0));
        OBSERVE(next_read(pair[1], bytes, sizeof bytes));
        OBSERVE(send(pair[1], "+PONG\r\n", 7, 0));
        OBSERVE(read(pair[0], bytes, sizeof bytes));
        /* Around every hook. */
        OBSERVE(handle_send(pair[0], "*1\r\n$4\r\nPING\r\n", 14, 0));
        OBSERVE(handle_read(pair[1], bytes, sizeof bytes));
        OBSERVE(handle_send(pair[1], "+PONG\r\n", 7, 0));
        OBSERVE(handle_read(pair[0], bytes, sizeof bytes));
    }
    OBSERVE(next_close(pair[0]));
    OBSERVE(next_read(pair[1], bytes, sizeof bytes));
    OBSERVE(next_close(pair[0]));
    OBSERVE(next_read(-1, bytes, 1));
    return 0;
}
