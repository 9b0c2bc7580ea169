/*
 * Every call on a socket that a blocking client may make, one after the other, on two connections.
 *
 *   calls PORT
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static const char request[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

static void insist(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static int open_connection(unsigned short port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    insist(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
    insist(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "setsockopt");
    return fd;
}

static void send_by(int fd, int way)
{
    struct iovec parts[2] = {{(char *)(size_t)request, 5},
                             {(char *)(size_t)request + 5, sizeof(request) - 6}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    size_t size = sizeof(request) - 1;
    ssize_t sent = way == 0   ? send(fd, request, size, MSG_NOSIGNAL)
                   : way == 1 ? write(fd, request, size)
                   : way == 2 ? writev(fd, parts, 2)
                   : way == 3 ? sendmsg(fd, &message, 0)
                              : sendto(fd, request, size, 0, NULL, 0);
    insist(sent == (ssize_t)size, "send");
}

/* Waits in every way there is: the answer has arrived then, and all that follows is certain. */
static void wait_by(int fd, int way, int epoll)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    if (way % 3 == 0) {
        insist(poll(&ready, 1, -1) == 1, "poll");
    } else if (way % 3 == 1) {
        insist(select(fd + 1, &set, NULL, NULL, NULL) == 1, "select");
    } else {
        insist(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
        insist(epoll_wait(epoll, &event, 1, -1) == 1, "epoll_wait");
        insist(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) == 0, "epoll_ctl");
    }
}

static void receive_by(int fd, int way)
{
    char buffer[4096];
    struct iovec parts[2] = {{buffer, 7}, {buffer + 7, sizeof(buffer) - 7}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t received = way == 0   ? recv(fd, buffer, sizeof(buffer), 0)
                       : way == 1 ? read(fd, buffer, sizeof(buffer))
                       : way == 2 ? readv(fd, parts, 2)
                       : way == 3 ? recvmsg(fd, &message, 0)
                                  : recvfrom(fd, buffer, sizeof(buffer), 0, NULL, NULL);
    insist(received > 0, "recv");
    insist(recv(fd, buffer, 1, MSG_DONTWAIT) == -1, "nothing more"); /* EAGAIN */
}

int main(int argc, char **argv)
{
    unsigned short port = (unsigned short)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int first = open_connection(port);
    int second = open_connection(port);
    for (int way = 0; way < 15; way++) {
        int fd = way % 2 == 0 ? first : second;
        send_by(fd, way % 5);
        wait_by(fd, way, epoll);
        receive_by(fd, (way + 2) % 5);
    }
    int copy = dup(first);
    int other = fcntl(first, F_DUPFD_CLOEXEC, 20);
    insist(dup2(second, 21) == 21, "dup2");
    insist(close(first) == 0, "close");
    send_by(copy, 0);
    wait_by(other, 0, epoll);
    receive_by(other, 0);
    insist(fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) | O_NONBLOCK) == 0, "fcntl");
    insist(shutdown(copy, SHUT_WR) == 0, "shutdown");
    insist(close(copy) == 0 && close(other) == 0 && close(21) == 0, "close");
    send_by(second, 1);
    wait_by(second, 1, epoll);
    receive_by(second, 1);
    insist(close(second) == 0 && close(second) == -1, "close");
    puts("done");
    return 0;
}
