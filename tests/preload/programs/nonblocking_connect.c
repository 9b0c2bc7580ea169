/* connect without waiting: EINPROGRESS, and the outcome by poll and SO_ERROR. */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "support.h"

static int pending_error(int fd)
{
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) == 0);
    return value;
}

int main(void)
{
    struct sockaddr_storage address;
    socklen_t size;
    char bytes[8];
    signal(SIGPIPE, SIG_IGN);

    int listener = listen_on_loopback(AF_INET, &address, &size);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE(fd >= 0);
    OBSERVE_AS("connect", connect(fd, (struct sockaddr *)&address, size));
    struct pollfd ready = {fd, POLLOUT, 0};
    OBSERVE(poll(&ready, 1, 5000));
    say("SO_ERROR %s", errno_name(pending_error(fd)));
    OBSERVE_AS("connect, to learn the outcome", connect(fd, (struct sockaddr *)&address, size));
    OBSERVE_AS("connect once more", connect(fd, (struct sockaddr *)&address, size));
    int accepted = accept(listener, NULL, NULL);
    OBSERVE_AS("nothing yet", recv(fd, bytes, sizeof bytes, 0));
    OBSERVE_AS("send", send(fd, "ping", 4, 0));
    OBSERVE_AS("recv", recv(accepted, bytes, sizeof bytes, 0));
    REQUIRE(close(fd) == 0 && close(accepted) == 0);

    /* Refused: the first to ask gets the error, once. */
    refused_address(AF_INET, &address, &size);
    for (int asker = 0; asker < 4; asker++) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        REQUIRE(fd >= 0);
        OBSERVE_AS("connect, refused", connect(fd, (struct sockaddr *)&address, size));
        ready.fd = fd;
        OBSERVE(poll(&ready, 1, 5000));
        say("revents: %s%s%s", ready.revents & POLLOUT ? "out " : "",
            ready.revents & POLLERR ? "err " : "", ready.revents & POLLHUP ? "hup" : "");
        switch (asker) {
        case 0:
            say("SO_ERROR %s", errno_name(pending_error(fd)));
            break;
        case 1:
            OBSERVE_AS("first send", send(fd, "x", 1, 0));
            break;
        case 2:
            OBSERVE_AS("first recv", recv(fd, bytes, sizeof bytes, 0));
            break;
        default:
            OBSERVE_AS("second connect", connect(fd, (struct sockaddr *)&address, size));
            break;
        }
        say("SO_ERROR then %s", errno_name(pending_error(fd)));
        OBSERVE_AS("send then", send(fd, "x", 1, 0));
        REQUIRE(close(fd) == 0);
    }

    /* A connection pending while the queue is full: EALREADY, and close in the middle. */
    listener = listen_on_loopback(AF_INET, &address, &size);
    REQUIRE(listen(listener, 0) == 0);
    int first = connect_to(&address, size);
    REQUIRE(first >= 0);
    int waiting[4];
    for (int i = 0; i < 4; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        OBSERVE_AS("queued", connect(waiting[i], (struct sockaddr *)&address, size));
    }
    OBSERVE_AS("while pending", connect(waiting[3], (struct sockaddr *)&address, size));
    OBSERVE_AS("send while pending", send(waiting[3], "x", 1, 0));
    OBSERVE_AS("recv while pending", recv(waiting[3], bytes, 1, 0));
    for (int i = 0; i < 4; i++) {
        OBSERVE(close(waiting[i]));
    }
    return 0;
}
