/* MSG_FASTOPEN: a connection without connect(). */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "support.h"

int main(void)
{
    struct sockaddr_storage address;
    socklen_t size;
    char bytes[64] = {0};
    int listener = listen_on_loopback(AF_INET, &address, &size);
    int queue = 16;
    REQUIRE(setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue) == 0);
    for (int turn = 0; turn < 3; turn++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(fd >= 0);
        if (turn < 2) {
            OBSERVE_AS("sendto", sendto(fd, "*1\r\n$4\r\nPING\r\n", 14, MSG_FASTOPEN,
                                        (struct sockaddr *)&address, size));
        } else {
            struct iovec vectors[2] = {{(char[]){"*1\r\n$4\r\n"}, 8}, {(char[]){"PING\r\n"}, 6}};
            struct msghdr message = {
                .msg_name = &address, .msg_namelen = size, .msg_iov = vectors, .msg_iovlen = 2};
            OBSERVE_AS("sendmsg", sendmsg(fd, &message, MSG_FASTOPEN));
        }
        int accepted = accept(listener, NULL, NULL);
        REQUIRE(accepted >= 0);
        OBSERVE_AS("request", recv(accepted, bytes, 14, MSG_WAITALL));
        OBSERVE_AS("reply", send(accepted, "+PONG\r\n", 7, 0));
        OBSERVE_AS("reply", recv(fd, bytes, 7, MSG_WAITALL));
        say("%.5s", bytes);
        OBSERVE_AS("fast open twice",
                   sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, size));
        REQUIRE(close(fd) == 0 && close(accepted) == 0);
    }
    refused_address(AF_INET, &address, &size);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0);
    OBSERVE_AS("refused", sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, size));
    return 0;
}
