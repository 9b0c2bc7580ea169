/* Started with 0, 1 and 2 closed: sockets get these numbers, and nothing else may. */
#include <fcntl.h>
#include <unistd.h>

#include "support.h"

int main(int count, char **arguments)
{
    struct sockaddr_storage address;
    socklen_t size;
    char bytes[32];
    if (count == 1) {
        REQUIRE(dup2(STDOUT_FILENO, 900) == 900);
        close_range(0, 899, 0);
        execl("/proc/self/exe", arguments[0], "closed", (char *)NULL);
        return EXIT_SETUP;
    }
    say_through(900);
    for (int i = 0; i < 3; i++) {
        say("socket %d", socket(AF_INET, SOCK_STREAM, 0));
    }
    REQUIRE(close(0) == 0 && close(1) == 0 && close(2) == 0);
    for (int turn = 0; turn < 50; turn++) {
        int listener = listen_on_loopback(AF_INET, &address, &size);
        int client = connect_to(&address, size);
        int server = accept(listener, NULL, NULL);
        if (listener != 0 || client != 1 || server != 2) {
            say("numbers %d %d %d", listener, client, server);
        }
        REQUIRE(write_all(client, "*1\r\n$4\r\nPING\r\n", 14) && read_all(server, bytes, 14));
        REQUIRE(write_all(server, "+PONG\r\n", 7) && read_all(client, bytes, 7));
        REQUIRE(close(listener) == 0 && close(client) == 0 && close(server) == 0);
        /* Long enough for a thread to open something of its own in between. */
        usleep(turn < 5 ? 100000 : 1000);
        int null = open("/dev/null", O_RDWR);
        if (null != 0) {
            say("lowest number is %d", null);
        }
        REQUIRE(close(null) == 0);
    }
    return 0;
}
