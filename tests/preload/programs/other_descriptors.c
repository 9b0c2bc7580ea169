/* Pipes, files, terminals, event and timer descriptors are left alone. */
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

static const char request[] = "GET /pipe HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void through(int to, int from, const char *label)
{
    char bytes[64] = {0};
    struct iovec vectors[2] = {{(void *)(uintptr_t)request, 10},
                               {(void *)(uintptr_t)(request + 10), sizeof request - 11}};
    say("-- %s", label);
    OBSERVE(write(to, request, sizeof request - 1));
    OBSERVE(read(from, bytes, sizeof bytes));
    say("%s", memcmp(bytes, request, sizeof request - 1) == 0 ? "as written" : "different");
    memset(bytes, 0, sizeof bytes);
    OBSERVE(writev(to, vectors, 2));
    struct iovec in[2] = {{bytes, 5}, {bytes + 5, 50}};
    OBSERVE(readv(from, in, 2));
    say("%s", memcmp(bytes, request, sizeof request - 1) == 0 ? "as written" : "different");
    OBSERVE(dprintf(to, "%d\n", 42));
    OBSERVE(read(from, bytes, 3));
}

int main(void)
{
    int ends[2];
    uint64_t number = 3;
    char bytes[256];
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    through(ends[1], ends[0], "pipe");
    OBSERVE(read(ends[0], bytes, 1));
    REQUIRE(mkfifo("fifo", 0600) == 0);
    int fifo = open("fifo", O_RDWR | O_NONBLOCK);
    through(fifo, fifo, "fifo");
    int out = open("file", O_CREAT | O_RDWR, 0600);
    int in = open("file", O_RDONLY);
    through(out, in, "file");
    OBSERVE(pwrite(out, "zero", 4, 0));
    OBSERVE(pread(in, bytes, 4, 0));
    OBSERVE(lseek(in, 0, SEEK_CUR));
    int master, slave;
    REQUIRE(openpty(&master, &slave, NULL, NULL, NULL) == 0);
    OBSERVE(write(slave, "x\n", 2));
    OBSERVE(read(master, bytes, sizeof bytes));
    int event = eventfd(0, EFD_NONBLOCK);
    OBSERVE(write(event, &number, 8));
    OBSERVE(write(event, &number, 4));
    OBSERVE(read(event, &number, 8));
    OBSERVE(read(event, &number, 8));
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec soon = {.it_value = {0, 1}};
    REQUIRE(timerfd_settime(timer, 0, &soon, NULL) == 0);
    OBSERVE(read(timer, &number, 8));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    int signals = signalfd(-1, &set, 0);
    REQUIRE(raise(SIGUSR1) == 0);
    OBSERVE(read(signals, bytes, sizeof(struct signalfd_siginfo)));
    int watch = inotify_init1(IN_NONBLOCK);
    REQUIRE(inotify_add_watch(watch, ".", IN_CREATE) >= 0);
    OBSERVE(read(watch, bytes, sizeof bytes));
    int folder = open(".", O_RDONLY | O_DIRECTORY);
    OBSERVE(read(folder, bytes, sizeof bytes));
    OBSERVE(write(folder, bytes, 1));
    OBSERVE(close(folder));
    return 0;
}
