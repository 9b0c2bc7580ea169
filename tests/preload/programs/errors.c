/* Every kind of failing call leaves the errno that the kernel gave. */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support.h"

static void bad_descriptor(int fd)
{
    char byte = 'x';
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    struct mmsghdr messages[1] = {{.msg_hdr = message}};
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int value = 0;
    OBSERVE(read(fd, &byte, 1));
    OBSERVE(write(fd, &byte, 1));
    OBSERVE(readv(fd, &vector, 1));
    OBSERVE(writev(fd, &vector, 1));
    OBSERVE(preadv2(fd, &vector, 1, -1, 0));
    OBSERVE(pwritev2(fd, &vector, 1, -1, 0));
    OBSERVE(send(fd, &byte, 1, 0));
    OBSERVE(recv(fd, &byte, 1, 0));
    OBSERVE(sendto(fd, &byte, 1, 0, NULL, 0));
    OBSERVE(recvfrom(fd, &byte, 1, 0, NULL, NULL));
    OBSERVE(sendmsg(fd, &message, 0));
    OBSERVE(recvmsg(fd, &message, 0));
    OBSERVE(sendmmsg(fd, messages, 1, 0));
    OBSERVE(recvmmsg(fd, messages, 1, 0, NULL));
    OBSERVE(sendfile(fd, fd, NULL, 1));
    OBSERVE(splice(fd, NULL, fd, NULL, 1, 0));
    memset(&address, 0, sizeof address);
    address.ss_family = AF_INET;
    OBSERVE(connect(fd, (struct sockaddr *)&address, sizeof(struct sockaddr_in)));
    OBSERVE(bind(fd, (struct sockaddr *)&address, sizeof(struct sockaddr_in)));
    OBSERVE(listen(fd, 1));
    OBSERVE(accept(fd, NULL, NULL));
    OBSERVE(accept4(fd, NULL, NULL, 0));
    OBSERVE(shutdown(fd, SHUT_RDWR));
    OBSERVE(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size));
    OBSERVE(dup(fd));
    OBSERVE(dup2(fd, 500));
    OBSERVE(dup3(fd, 500, O_CLOEXEC));
    OBSERVE(fcntl(fd, F_DUPFD, 0));
    OBSERVE(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    OBSERVE(fcntl(fd, F_GETFL));
    OBSERVE(dprintf(fd, "x"));
    OBSERVE(close(fd));
}

static void not_a_socket(void)
{
    int ends[2];
    char byte = 'x';
    REQUIRE(pipe(ends) == 0);
    OBSERVE(send(ends[1], &byte, 1, 0));
    OBSERVE(recv(ends[0], &byte, 1, 0));
    OBSERVE(accept(ends[0], NULL, NULL));
    OBSERVE(shutdown(ends[0], SHUT_WR));
    OBSERVE(listen(ends[0], 1));
    OBSERVE(write(ends[0], &byte, 1));
    OBSERVE(read(ends[1], &byte, 1));
    REQUIRE(close(ends[0]) == 0);
    OBSERVE(write(ends[1], &byte, 1));
    REQUIRE(close(ends[1]) == 0);
}

static void unconnected(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char byte = 'x';
    REQUIRE(fd >= 0);
    OBSERVE(send(fd, &byte, 1, 0));
    OBSERVE(write(fd, &byte, 1));
    OBSERVE(recv(fd, &byte, 1, 0));
    OBSERVE(read(fd, &byte, 1));
    OBSERVE(shutdown(fd, SHUT_WR));
    OBSERVE(accept(fd, NULL, NULL));
    OBSERVE(connect(fd, NULL, 0));
    OBSERVE(lseek(fd, 0, SEEK_SET));
    OBSERVE(pread(fd, &byte, 1, 0));
    OBSERVE(pwrite(fd, &byte, 1, 0));
    OBSERVE(close(fd));
    OBSERVE(close(fd));
    OBSERVE_FD(socket(AF_INET, 77, 0));
    OBSERVE_FD(socket(77, SOCK_STREAM, 0));
    OBSERVE(socketpair(AF_INET, SOCK_STREAM, 0, (int[2]){0}));
}

static void broken_connections(void)
{
    int pair[2];
    char bytes[16];
    struct sockaddr_storage address;
    socklen_t size;

    tcp_pair(pair);
    set_nonblocking(pair[0]);
    OBSERVE_AS("nothing to read", recv(pair[0], bytes, sizeof bytes, 0));
    OBSERVE_AS("nothing to read", read(pair[0], bytes, sizeof bytes));
    OBSERVE_AS("nothing to read, by flag", recv(pair[1], bytes, sizeof bytes, MSG_DONTWAIT));
    REQUIRE(shutdown(pair[0], SHUT_WR) == 0);
    OBSERVE_AS("write after shutdown", write(pair[0], "x", 1));
    OBSERVE_AS("send after shutdown", send(pair[0], "x", 1, MSG_NOSIGNAL));
    OBSERVE_AS("end of file", read(pair[1], bytes, sizeof bytes));
    OBSERVE_AS("end of file again", recv(pair[1], bytes, sizeof bytes, 0));
    REQUIRE(close(pair[0]) == 0);
    REQUIRE(close(pair[1]) == 0);

    /* A close with lingering off resets: the peer sees ECONNRESET once, then EPIPE. */
    tcp_pair(pair);
    struct linger linger = {1, 0};
    REQUIRE(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    REQUIRE(close(pair[1]) == 0);
    struct pollfd reset = {pair[0], POLLIN, 0};
    OBSERVE(poll(&reset, 1, -1));
    OBSERVE_AS("read after reset", read(pair[0], bytes, sizeof bytes));
    OBSERVE_AS("write after reset", write(pair[0], "x", 1));
    OBSERVE_AS("read again", read(pair[0], bytes, sizeof bytes));
    REQUIRE(close(pair[0]) == 0);

    refused_address(AF_INET, &address, &size);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0);
    OBSERVE_AS("connect, refused", connect(fd, (struct sockaddr *)&address, size));
    REQUIRE(close(fd) == 0);

    int listener = listen_on_loopback(AF_INET, &address, &size);
    fd = connect_to(&address, size);
    OBSERVE_AS("connect twice", connect(fd, (struct sockaddr *)&address, size));
    set_nonblocking(listener);
    int accepted = accept(listener, NULL, NULL);
    REQUIRE(accepted >= 0);
    OBSERVE_AS("nobody to accept", accept(listener, NULL, NULL));
    OBSERVE_AS("nobody to accept", accept4(listener, NULL, NULL, SOCK_NONBLOCK));
    OBSERVE_AS("bad flags", accept4(listener, NULL, NULL, 0x40));

    struct timeval soon = {0, 20000};
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    OBSERVE_AS("receive time-out", recv(fd, bytes, sizeof bytes, 0));
    OBSERVE_AS("receive time-out", read(fd, bytes, sizeof bytes));
    OBSERVE_AS("no such option", setsockopt(fd, SOL_SOCKET, 9999, &soon, sizeof soon));
    OBSERVE_AS("no urgent byte", recv(fd, bytes, 1, MSG_OOB));
}

static void too_many_descriptors(void)
{
    struct sockaddr_storage address;
    socklen_t size;
    int listener = listen_on_loopback(AF_INET, &address, &size);
    int client = connect_to(&address, size);
    /* Fill the table up to a low limit, then ask for one more of everything. */
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 64;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (fcntl(client, F_DUPFD, 0) >= 0) {
    }
    OBSERVE_FD(socket(AF_INET, SOCK_STREAM, 0));
    OBSERVE_FD(accept(listener, NULL, NULL));
    OBSERVE_FD(dup(client));
    OBSERVE_FD(dup2(client, 70));
    OBSERVE_FD(fcntl(client, F_DUPFD_CLOEXEC, 0));
    OBSERVE(socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){0}));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    say("-- a number that was never open");
    bad_descriptor(77);
    say("-- minus one");
    bad_descriptor(-1);
    say("-- a huge number");
    bad_descriptor(INT32_MAX);
    say("-- not a socket");
    not_a_socket();
    say("-- not connected");
    unconnected();
    say("-- broken");
    broken_connections();
    say("-- too many");
    too_many_descriptors();
    return 0;
}
