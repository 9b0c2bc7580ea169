/* A server with one thread and epoll, 40 clients at once that pipeline, buffers that fill up, and
   connections that break in the middle. */
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "conversation.h"

#define CLIENTS  40
#define REQUESTS 50

struct connection {
    int fd;
    size_t have;
    size_t to_write;
    size_t written;
    char in[16384];
    char out[262144];
};

static struct sockaddr_storage address;
static socklen_t address_size;
static _Atomic int answered;
static _Atomic int broken;

/* Answers every whole request in the buffer. */
static void answer_all(struct connection *connection)
{
    for (;;) {
        char *end = memmem(connection->in, connection->have, "\r\n\r\n", 4);
        unsigned number;
        if (!end) {
            return;
        }
        REQUIRE(sscanf(connection->in, "GET /item/%u ", &number) == 1);
        size_t used = (size_t)(end - connection->in) + 4;
        connection->have -= used;
        memmove(connection->in, connection->in + used, connection->have);
        size_t body = 100 + number * 37 % 3000;
        size_t room = sizeof connection->out - connection->to_write;
        int count = snprintf(connection->out + connection->to_write, room,
                             "HTTP/1.1 200 OK\r\nX-Number: %u\r\nContent-Length: %zu\r\n\r\n",
                             number, body);
        REQUIRE((size_t)count + body < room);
        connection->to_write += (size_t)count;
        fill(connection->out + connection->to_write, body, number);
        connection->to_write += body;
    }
}

/* Returns false when the connection is over. */
static bool go_on(struct connection *connection)
{
    for (;;) {
        ssize_t count = recv(connection->fd, connection->in + connection->have,
                             sizeof connection->in - connection->have, 0);
        if (count > 0) {
            connection->have += (size_t)count;
            answer_all(connection);
            continue;
        }
        if (count == 0 || errno != EAGAIN) {
            return false;
        }
        break;
    }
    while (connection->written < connection->to_write) {
        ssize_t count = send(connection->fd, connection->out + connection->written,
                             connection->to_write - connection->written, MSG_NOSIGNAL);
        if (count < 0) {
            return errno == EAGAIN;
        }
        connection->written += (size_t)count;
    }
    connection->written = connection->to_write = 0;
    return true;
}

static void *serve(void *argument)
{
    int listener = *(int *)argument;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int left = CLIENTS;
    struct epoll_event event = {.events = EPOLLIN};
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
    while (left > 0) {
        struct epoll_event events[16];
        int count = epoll_wait(epoll, events, 16, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                REQUIRE(fd >= 0);
                int size = 8192;
                REQUIRE(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
                connection = calloc(1, sizeof *connection);
                REQUIRE(connection);
                connection->fd = fd;
                event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                             .data.ptr = connection};
                REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
            } else if (!go_on(connection)) {
                REQUIRE(close(connection->fd) == 0);
                free(connection);
                left--;
            }
        }
    }
    REQUIRE(close(epoll) == 0);
    return NULL;
}

static void *ask(void *argument)
{
    unsigned me = (unsigned)(uintptr_t)argument;
    struct end *end = malloc(sizeof *end);
    REQUIRE(end);
    end_init(end, connect_to(&address, address_size), me % IO_RAW, me % 5 * 11);
    unsigned pipeline = 1 + me % 7;
    for (unsigned first = 0; first < REQUESTS; first += pipeline) {
        char requests[1024];
        int count = 0;
        for (unsigned i = 0; i < pipeline; i++) {
            count += snprintf(requests + count, sizeof requests - (size_t)count,
                              "GET /item/%u HTTP/1.1\r\nHost: localhost\r\n\r\n", first + i);
        }
        REQUIRE(end_write(end, requests, (size_t)count));
        if (me % 10 == 9 && first > REQUESTS / 2) {
            /* Breaks off with requests unanswered. */
            struct linger linger = {1, 0};
            REQUIRE(setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
            broken++;
            break;
        }
        for (unsigned i = 0; i < pipeline; i++) {
            struct http_message response;
            unsigned number = first + i;
            char expected[3100];
            size_t body = 100 + number * 37 % 3000;
            fill(expected, body, number);
            REQUIRE(http_read(end, &response, true));
            answered += response.length == body && response.sum == checksum(0, expected, body);
        }
    }
    REQUIRE(close(end->fd) == 0);
    free(end);
    return NULL;
}

int main(void)
{
    pthread_t clients[CLIENTS];
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on_loopback(AF_INET, &address, &address_size);
    set_nonblocking(listener);
    pthread_t server = start_thread(serve, &listener);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = start_thread(ask, (void *)(uintptr_t)i);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        join_thread(clients[i]);
    }
    join_thread(server);
    say("answered as asked: %d, broken off: %d", answered, broken);
    return 0;
}
