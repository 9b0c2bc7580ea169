/* The number of a closed connection comes back, by each way to close one; the new connection is in
   a different state of the protocol than the old one was left in. */
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

static int lowest_free(void)
{
    int fd = dup(0);
    REQUIRE(fd >= 0 && close(fd) == 0);
    return fd;
}

enum way {
    BY_CLOSE,
    BY_SYSCALL,
    BY_RANGE,
    BY_RANGE_SYSCALL,
    BY_CLOSEFROM,
    BY_FCLOSE,
    BY_DUP2,
    BY_DUP3,
    BY_DUP_SYSCALL,
    WAYS
};

static const char *const way_names[WAYS] = {
    "close",  "syscall(close)", "close_range", "syscall(close_range)", "closefrom",
    "fclose", "dup2",           "dup3",        "syscall(dup2)"};

static void close_by(enum way way, int fd)
{
    int null;
    switch (way) {
    case BY_CLOSE:
        OBSERVE_AS("close", close(fd));
        break;
    case BY_SYSCALL:
        OBSERVE_AS("syscall(close)", syscall(SYS_close, fd));
        break;
    case BY_RANGE:
        OBSERVE_AS("close_range", close_range((unsigned)fd, (unsigned)fd, 0));
        break;
    case BY_RANGE_SYSCALL:
        OBSERVE_AS("syscall(close_range)", syscall(SYS_close_range, fd, fd, 0));
        break;
    case BY_CLOSEFROM:
        closefrom(fd);
        break;
    case BY_FCLOSE: {
        FILE *stream = fdopen(fd, "r+");
        REQUIRE(stream);
        OBSERVE_AS("fclose", fclose(stream));
        break;
    }
    case BY_DUP2:
    case BY_DUP3:
    case BY_DUP_SYSCALL:
        null = open("/dev/null", O_RDWR);
        REQUIRE(null >= 0);
        if (way == BY_DUP2) {
            REQUIRE(dup2(null, fd) == fd);
        } else if (way == BY_DUP3) {
            REQUIRE(dup3(null, fd, 0) == fd);
        } else {
            REQUIRE(syscall(SYS_dup3, null, fd, 0) == fd);
        }
        REQUIRE(syscall(SYS_close, fd) == 0);
        REQUIRE(close(null) == 0);
        break;
    case WAYS:
        break;
    }
}

int main(void)
{
    struct sockaddr_storage address;
    socklen_t size;
    char bytes[64];
    int listener = listen_on_loopback(AF_INET, &address, &size);
    for (enum way way = 0; way < WAYS; way++) {
        for (int turn = 0; turn < 3; turn++) {
            int client = connect_to(&address, size);
            int server = accept(listener, NULL, NULL);
            REQUIRE(server > client);
            /* Left in the middle of a command, or of a reply. */
            REQUIRE(write_all(client, "*2\r\n$3\r\nGET\r\n$100\r\nhalf", 24));
            REQUIRE(read_all(server, bytes, 24));
            if (turn == 1) {
                REQUIRE(write_all(server, "$200\r\nhalf", 10));
                REQUIRE(read_all(client, bytes, 10));
            }
            close_by(way, server);
            OBSERVE_AS("the peer sees the end", read(client, bytes, 1));
            REQUIRE(close(client) == 0);
            say("%s, turn %d: number %s", way_names[way], turn,
                lowest_free() == client ? "free again" : "still taken");
            /* A file under the same number, then another connection. */
            int file = open("/dev/null", O_RDWR);
            OBSERVE_AS("into a file", write(file, "*1\r\n$4\r\nPING\r\n", 14));
            REQUIRE(close(file) == 0);
            client = connect_to(&address, size);
            server = accept(listener, NULL, NULL);
            REQUIRE(write_all(client, "*1\r\n$4\r\nPING\r\n", 14) && read_all(server, bytes, 14));
            REQUIRE(write_all(server, "+PONG\r\n", 7) && read_all(client, bytes, 7));
            say("%.5s", bytes);
            REQUIRE(close(client) == 0 && close(server) == 0);
        }
    }
    OBSERVE(close_range(500, 400, 0));
    OBSERVE(close_range(5000, 6000, 0x4000));
    OBSERVE(close_range(5000, ~0u, CLOSE_RANGE_CLOEXEC));
    OBSERVE(syscall(SYS_close, 5000));
    return 0;
}
