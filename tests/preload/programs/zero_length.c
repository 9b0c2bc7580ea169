/* Nothing is also something: zero bytes in every call. */
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

static void with(int pair[2], const char *label)
{
    char byte = 'x';
    struct iovec vectors[3] = {{&byte, 0}, {NULL, 0}, {&byte, 0}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3};
    struct msghdr empty = {0};
    struct mmsghdr messages[2] = {{.msg_hdr = empty}, {.msg_hdr = message}};
    say("-- %s", label);
    OBSERVE(write(pair[0], &byte, 0));
    OBSERVE(write(pair[0], NULL, 0));
    OBSERVE(send(pair[0], NULL, 0, 0));
    OBSERVE(sendto(pair[0], &byte, 0, 0, NULL, 0));
    OBSERVE(writev(pair[0], vectors, 3));
    OBSERVE(writev(pair[0], NULL, 0));
    OBSERVE(sendmsg(pair[0], &message, 0));
    OBSERVE(sendmsg(pair[0], &empty, 0));
    OBSERVE(sendmmsg(pair[0], messages, 2, 0));
    OBSERVE(sendmmsg(pair[0], messages, 0, 0));
    OBSERVE(read(pair[1], &byte, 0));
    OBSERVE(read(pair[1], NULL, 0));
    OBSERVE(recv(pair[1], NULL, 0, MSG_DONTWAIT));
    OBSERVE(readv(pair[1], vectors, 3));
    OBSERVE(readv(pair[1], NULL, 0));
    OBSERVE(recvmsg(pair[1], &message, MSG_DONTWAIT));
    OBSERVE(recvmmsg(pair[1], messages, 0, 0, NULL));
    OBSERVE(sendfile(pair[0], pair[1], NULL, 0));
    struct pollfd ready = {pair[1], POLLIN, 0};
    OBSERVE(poll(&ready, 1, 0));
    exchange("afterwards", pair[0], pair[1]);
    REQUIRE(shutdown(pair[0], SHUT_WR) == 0);
    OBSERVE(read(pair[1], &byte, 0));
    OBSERVE(recv(pair[1], &byte, 0, 0));
    OBSERVE(read(pair[1], &byte, 1));
}

int main(void)
{
    int pair[2];
    tcp_pair(pair);
    with(pair, "TCP");
    unix_pair(pair);
    with(pair, "unix");
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    char byte;
    OBSERVE_AS("empty datagram", send(pair[0], NULL, 0, 0));
    OBSERVE_AS("arrives", recv(pair[1], &byte, 1, 0));
    OBSERVE_AS("no other", recv(pair[1], &byte, 1, MSG_DONTWAIT));
    return 0;
}
