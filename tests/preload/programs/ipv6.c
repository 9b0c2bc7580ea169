/* IPv6, and IPv4 through an IPv6 socket. */
#include <netinet/in.h>
#include <unistd.h>

#include "support.h"

int main(void)
{
    struct sockaddr_storage address;
    socklen_t size;
    char bytes[64] = {0};
    int listener = listen_on_loopback(AF_INET6, &address, &size);
    for (int turn = 0; turn < 2; turn++) {
        int client = connect_to(&address, size);
        struct sockaddr_in6 peer;
        socklen_t peer_size = sizeof peer;
        int server = accept(listener, (struct sockaddr *)&peer, &peer_size);
        say("peer: family %d, %u bytes, loopback %d, mapped %d", peer.sin6_family, peer_size,
            IN6_IS_ADDR_LOOPBACK(&peer.sin6_addr), IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
        OBSERVE(send(client, "*1\r\n$4\r\nPING\r\n", 14, 0));
        OBSERVE(recv(server, bytes, sizeof bytes, 0));
        OBSERVE(send(server, "+PONG\r\n", 7, 0));
        OBSERVE(recv(client, bytes, sizeof bytes, 0));
        exchange("and on", client, server);
        REQUIRE(close(client) == 0 && close(server) == 0);
        if (turn == 0) {
            /* Listening on all addresses, reached by IPv4. */
            REQUIRE(close(listener) == 0);
            listener = socket(AF_INET6, SOCK_STREAM, 0);
            int no = 0;
            REQUIRE(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0);
            struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
            mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
            mapped.sin6_addr.s6_addr[12] = 127;
            mapped.sin6_addr.s6_addr[15] = 1;
            REQUIRE(bind(listener, (struct sockaddr *)&mapped, sizeof mapped) == 0);
            REQUIRE(listen(listener, 5) == 0);
            size = sizeof address;
            REQUIRE(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
        }
    }
    refused_address(AF_INET6, &address, &size);
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    OBSERVE(connect(fd, (struct sockaddr *)&address, size));
    return 0;
}
