#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(3);
}

int wire_connect(const char *host, const char *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;

    if (fd < 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

int wire_listen(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        fail("listen");
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

void wire_send(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            fail("send");
        at += sent;
        size -= (size_t)sent;
    }
}

void wire_read_until(int fd, const char *tail)
{
    char bytes[65536];
    char last[64] = "";
    size_t length = strlen(tail);
    size_t kept = 0;

    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got <= 0)
            fail("recv");
        for (ssize_t i = 0; i < got; i++) {
            if (kept == length) {
                memmove(last, last + 1, length - 1);
                kept--;
            }
            last[kept++] = bytes[i];
        }
        if (kept == length && memcmp(last, tail, length) == 0)
            return;
    }
}

void wire_ping(int fd)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    wire_send(fd, ping, sizeof(ping) - 1);
    wire_read_until(fd, "+PONG\r\n");
}
