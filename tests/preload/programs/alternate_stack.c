/* Handlers that talk, on a small alternate stack; a stack overflow that is caught there. */
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"

static int pair[2];
static sigjmp_buf recovery;

static void handle(int number)
{
    char bytes[16] = {0};
    ssize_t sent = send(pair[0], "*1\r\n$4\r\nPING\r\n", 14, 0);
    ssize_t received = recv(pair[1], bytes, sizeof bytes, 0);
    ssize_t answered = write(pair[1], "+PONG\r\n", 7);
    ssize_t read_back = read(pair[0], bytes, sizeof bytes);
    if (number == SIGSEGV) {
        siglongjmp(recovery, (int)(sent + received + answered + read_back));
    }
    if (sent + received + answered + read_back != 42) {
        _exit(1);
    }
}

__attribute__((noinline)) static int overflow(volatile char *previous)
{
    volatile char frame[4096];
    frame[0] = previous ? previous[0] : 0;
    if (frame[0]) {
        return 0;
    }
    return overflow(frame) + frame[0];
}

int main(void)
{
    /* What the kernel needs for the registers of this processor, and 6 KiB to live on. */
    size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ) + 6144;
    stack_t stack = {.ss_sp = malloc(size), .ss_size = size};
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};
    tcp_pair(pair);
    REQUIRE(sigaltstack(&stack, NULL) == 0);
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
    for (int i = 0; i < 100; i++) {
        REQUIRE(raise(SIGUSR1) == 0);
    }
    say("100 signals");
    struct rlimit limit = {1 << 20, 1 << 20};
    REQUIRE(setrlimit(RLIMIT_STACK, &limit) == 0);
    int answer = sigsetjmp(recovery, 1);
    if (answer == 0) {
        return overflow(NULL);
    }
    say("out of the overflow with %d", answer);
    exchange("afterwards", pair[0], pair[1]);
    return 0;
}
