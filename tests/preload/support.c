#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int report = STDOUT_FILENO;

void say(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof line - 1) {
        size = (int)sizeof line - 2;
    }
    line[size++] = '\n';
    int kept = errno;
    ssize_t written = write(report, line, (size_t)size);
    (void)written;
    errno = kept;
}

void say_through(int fd)
{
    report = fd;
}

const char *errno_name(int number)
{
    if (number == ERRNO_MARK) {
        return "untouched";
    }
    const char *name = strerrorname_np(number);
    return name ? name : "?";
}

long observed(const char *text, long result)
{
    int number = errno;
    say("%s = %ld, errno %s", text, result, errno_name(number));
    errno = number;
    return result;
}

int observed_fd(const char *text, int result)
{
    int number = errno;
    say("%s = %s, errno %s", text, result >= 0 ? "a descriptor" : "-1", errno_name(number));
    errno = number;
    return result;
}

void setup_failed(const char *file, int line, const char *condition)
{
    int number = errno;
    say("%s:%d: set-up failed: %s (errno %s)", file, line, condition, errno_name(number));
    _exit(EXIT_SETUP);
}

static void loopback(int family, struct sockaddr_storage *address, socklen_t *size)
{
    memset(address, 0, sizeof *address);
    if (family == AF_INET6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
        six->sin6_family = AF_INET6;
        six->sin6_addr = in6addr_loopback;
        *size = sizeof *six;
    } else {
        struct sockaddr_in *four = (struct sockaddr_in *)address;
        four->sin_family = AF_INET;
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *size = sizeof *four;
    }
}

int listen_on_loopback(int family, struct sockaddr_storage *address, socklen_t *size)
{
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(listener >= 0);
    loopback(family, address, size);
    REQUIRE(bind(listener, (struct sockaddr *)address, *size) == 0);
    REQUIRE(listen(listener, 256) == 0);
    REQUIRE(getsockname(listener, (struct sockaddr *)address, size) == 0);
    return listener;
}

void refused_address(int family, struct sockaddr_storage *address, socklen_t *size)
{
    /* Bound and not listening: nobody else can take the port meanwhile, and connect is refused. */
    int holder = socket(family, SOCK_STREAM, 0);
    REQUIRE(holder >= 0);
    loopback(family, address, size);
    REQUIRE(bind(holder, (struct sockaddr *)address, *size) == 0);
    REQUIRE(getsockname(holder, (struct sockaddr *)address, size) == 0);
}

int connect_to(const struct sockaddr_storage *address, socklen_t size)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    REQUIRE(connect(fd, (const struct sockaddr *)address, size) == 0);
    return fd;
}

void tcp_pair(int pair[2])
{
    struct sockaddr_storage address;
    socklen_t size;
    int listener = listen_on_loopback(AF_INET, &address, &size);
    pair[0] = connect_to(&address, size);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    REQUIRE(pair[1] >= 0);
    REQUIRE(close(listener) == 0);
}

void unix_pair(int pair[2])
{
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
}

void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    REQUIRE(flags >= 0);
    REQUIRE(fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

void send_at_once(int pair[2])
{
    int on = 1;
    REQUIRE(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    REQUIRE(setsockopt(pair[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
}

void shrink_buffers(int pair[2])
{
    int size = 32768;
    REQUIRE(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    REQUIRE(setsockopt(pair[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
}

void fill(void *bytes, size_t size, unsigned seed)
{
    uint8_t *out = bytes;
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        out[i] = (uint8_t)(state >> 24);
    }
}

uint32_t checksum(uint32_t sum, const void *bytes, size_t size)
{
    const uint8_t *in = bytes;
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ in[i]) * 16777619u;
    }
    return sum;
}

bool write_all(int fd, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    while (size > 0) {
        ssize_t count = write(fd, from, size);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        from += count;
        size -= (size_t)count;
    }
    return true;
}

bool read_all(int fd, void *bytes, size_t size)
{
    uint8_t *to = bytes;
    while (size > 0) {
        ssize_t count = read(fd, to, size);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        to += count;
        size -= (size_t)count;
    }
    return true;
}

void exchange(const char *label, int client, int server)
{
    char question[8] = {0};
    char answer[8] = {0};
    bool asked = write_all(client, "ping", 4) && read_all(server, question, 4);
    bool answered = asked && write_all(server, "pong", 4) && read_all(client, answer, 4);
    say("%s: %s %s", label, asked ? question : "not asked", answered ? answer : "not answered");
}

void say_ending(const char *label, int status)
{
    if (WIFEXITED(status)) {
        say("%s: exit %d", label, WEXITSTATUS(status));
    } else if (WIFSIGNALED(status)) {
        say("%s: signal %s", label, sigabbrev_np(WTERMSIG(status)));
    } else {
        say("%s: status %x", label, (unsigned)status);
    }
}

void say_child(const char *label, pid_t pid)
{
    int status = 0;
    pid_t waited;
    REQUIRE(pid > 0);
    do {
        waited = waitpid(pid, &status, 0);
    } while (waited < 0 && errno == EINTR);
    REQUIRE(waited == pid);
    say_ending(label, status);
}

pthread_t start_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, body, argument) == 0);
    return thread;
}

void join_thread(pthread_t thread)
{
    REQUIRE(pthread_join(thread, NULL) == 0);
}
