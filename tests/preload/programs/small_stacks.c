/* I/O on threads with the smallest stack there is, on coroutines with 16 KiB, many at once. */
#include <poll.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "support.h"

#define STACK 16384

/* All kinds of calls, on little stack, with a conversation that is worth observing. */
static void talk(int pair[2])
{
    static const char command[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    static const char request[] =
        "GET /small HTTP/1.1\r\nHost: localhost\r\n"
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char bytes[256];
    struct iovec vector = {bytes, 20};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    REQUIRE(send(pair[0], command, 20, 0) == 20);
    REQUIRE(recv(pair[1], bytes, 20, MSG_WAITALL) == 20);
    REQUIRE(write(pair[1], "$1\r\nv\r\n", 7) == 7);
    REQUIRE(read(pair[0], bytes, 7) == 7);
    memcpy(bytes, command, 20);
    REQUIRE(writev(pair[0], &vector, 1) == 20);
    REQUIRE(readv(pair[1], &vector, 1) == 20);
    vector.iov_len = 7;
    memcpy(bytes, "$1\r\nv\r\n", 7);
    REQUIRE(sendmsg(pair[1], &message, 0) == 7);
    REQUIRE(recvmsg(pair[0], &message, 0) == 7);
    int http[2];
    tcp_pair(http);
    REQUIRE(write_all(http[0], request, sizeof request - 1));
    REQUIRE(read_all(http[1], bytes, sizeof request - 1));
    REQUIRE(write_all(http[1], response, sizeof response - 1));
    REQUIRE(read_all(http[0], bytes, sizeof response - 1));
    struct pollfd ready = {http[0], POLLIN, 0};
    REQUIRE(poll(&ready, 1, 0) == 0);
    REQUIRE(close(http[0]) == 0 && close(http[1]) == 0);
}

static void *on_thread(void *argument)
{
    (void)argument;
    int pair[2];
    tcp_pair(pair);
    talk(pair);
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
    return NULL;
}

static ucontext_t main_context;
static ucontext_t coroutine_contexts[8];

static void on_coroutine(void)
{
    int pair[2];
    tcp_pair(pair);
    talk(pair);
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

int main(void)
{
    pthread_attr_t attributes;
    pthread_t threads[8];
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, STACK) == 0);
    for (int turn = 0; turn < 20; turn++) {
        for (size_t i = 0; i < 8; i++) {
            int error = pthread_create(&threads[i], &attributes, on_thread, NULL);
            if (error) {
                say("pthread_create: %s", errno_name(error));
                return 1;
            }
        }
        for (size_t i = 0; i < 8; i++) {
            join_thread(threads[i]);
        }
    }
    say("160 threads of 16 KiB");
    for (size_t i = 0; i < 8; i++) {
        /* A page that cannot be touched stands below each stack. */
        uint8_t *pages =
            mmap(NULL, 4096 + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(pages != MAP_FAILED && mprotect(pages, 4096, PROT_NONE) == 0);
        REQUIRE(getcontext(&coroutine_contexts[i]) == 0);
        coroutine_contexts[i].uc_stack.ss_sp = pages + 4096;
        coroutine_contexts[i].uc_stack.ss_size = STACK;
        coroutine_contexts[i].uc_link = &main_context;
        makecontext(&coroutine_contexts[i], on_coroutine, 0);
        REQUIRE(swapcontext(&main_context, &coroutine_contexts[i]) == 0);
    }
    say("8 coroutines of 16 KiB");
    return 0;
}
