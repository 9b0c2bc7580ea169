/* Unix sockets by path, abstract name and pair; streams, packets and datagrams. */
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support.h"

static void converse(const struct sockaddr_un *address, socklen_t size, int type, const char *label)
{
    char bytes[64] = {0};
    int listener = socket(AF_UNIX, type, 0);
    REQUIRE(listener >= 0);
    say("-- %s", label);
    OBSERVE(bind(listener, (const struct sockaddr *)address, size));
    OBSERVE(listen(listener, 5));
    int client = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    OBSERVE(connect(client, (const struct sockaddr *)address, size));
    struct sockaddr_un peer;
    socklen_t peer_size = sizeof peer;
    int server = accept(listener, (struct sockaddr *)&peer, &peer_size);
    say("peer's address has %u bytes", peer_size);
    OBSERVE(send(client, "*1\r\n$4\r\nPING\r\n", 14, 0));
    OBSERVE(recv(server, bytes, sizeof bytes, 0));
    OBSERVE(write(server, "+PONG\r\n", 7));
    OBSERVE(read(client, bytes, sizeof bytes));
    OBSERVE(read(client, bytes, sizeof bytes));
    peer_size = sizeof peer;
    OBSERVE(getpeername(client, (struct sockaddr *)&peer, &peer_size));
    say("the same name: %d", peer_size == size && memcmp(&peer, address, size) == 0);
    OBSERVE(close(server));
    OBSERVE(read(client, bytes, sizeof bytes));
    OBSERVE(send(client, "x", 1, MSG_NOSIGNAL));
    OBSERVE(close(client));
    OBSERVE(close(listener));
    client = socket(AF_UNIX, type, 0);
    OBSERVE_AS("nobody listens", connect(client, (const struct sockaddr *)address, size));
    OBSERVE(close(client));
}

int main(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "redis.sock"};
    converse(&address, sizeof address, SOCK_STREAM, "path");
    struct stat information;
    OBSERVE(stat("redis.sock", &information));
    OBSERVE(unlink("redis.sock"));
    OBSERVE(unlink("redis.sock"));
    converse(&address, sizeof address, SOCK_SEQPACKET, "packets");

    /* The autobound name is unique, so that two runs cannot meet. */
    int holder = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t size = sizeof(sa_family_t);
    REQUIRE(bind(holder, (struct sockaddr *)&address, size) == 0);
    size = sizeof address;
    REQUIRE(getsockname(holder, (struct sockaddr *)&address, &size) == 0);
    address.sun_path[size - offsetof(struct sockaddr_un, sun_path)] = '+';
    converse(&address, size + 1, SOCK_STREAM, "abstract");

    int pair[2];
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    for (size_t i = 0; i < 3; i++) {
        char bytes[16] = {0};
        OBSERVE(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, pair));
        OBSERVE(send(pair[0], "GET / HTTP/1.1\r\n", 16, 0));
        OBSERVE(send(pair[0], "Host: x\r\n\r\n", 11, 0));
        OBSERVE(recv(pair[1], bytes, 4, 0));
        OBSERVE(recv(pair[1], bytes, 5, MSG_TRUNC));
        say("%.5s", bytes);
        OBSERVE(close(pair[0]));
        OBSERVE(close(pair[1]));
    }
    return 0;
}
