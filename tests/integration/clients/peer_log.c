/*
 * usage: peer_log LOG
 *
 * A peer over HTTP and one over Redis, on two ports of 127.0.0.1 (said on stdout), which write each
 * request's id into LOG before they answer: the last part of the path, or the key. Ends when stdin
 * does; LOG is complete then.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

enum { ROOM = 65536 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *seen;

struct peer {
    int fd;
    bool speaks_http;
};

static void note(const char *id, size_t size)
{
    pthread_mutex_lock(&lock);
    fwrite(id, 1, size, seen);
    fputc('\n', seen);
    pthread_mutex_unlock(&lock);
}

/* The size of the first whole request in the bytes; 0 if there is none yet. */
static size_t take_http(const char *bytes, size_t size)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    const char *target_end = memmem(bytes, size, " HTTP/", 6);
    const char *slash =
        target_end == NULL ? NULL : memrchr(bytes, '/', (size_t)(target_end - bytes));
    if (slash != NULL)
        note(slash + 1, (size_t)(target_end - slash) - 1);
    return (size_t)(end - bytes) + 4;
}

/* An array of bulk strings; the second is the key. */
static size_t take_redis(const char *bytes, size_t size)
{
    const char *at = memchr(bytes, '\n', size);
    if (at == NULL)
        return 0;
    at++;
    long count = strtol(bytes + 1, NULL, 10);
    const char *key = NULL;
    size_t key_size = 0;
    for (long i = 0; i < count; i++) {
        const char *line = memchr(at, '\n', size - (size_t)(at - bytes));
        if (line == NULL)
            return 0;
        size_t length = strtoul(at + 1, NULL, 10);
        if (length + 2 > size - (size_t)(line + 1 - bytes))
            return 0;
        if (i == 1) {
            key = line + 1;
            key_size = length;
        }
        at = line + 1 + length + 2;
    }
    if (key != NULL)
        note(key, key_size);
    return (size_t)(at - bytes);
}

static void *serve(void *context)
{
    static const char http[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    struct peer peer = *(struct peer *)context;
    char *bytes = malloc(ROOM);
    size_t held = 0;
    free(context);
    for (;;) {
        ssize_t got = recv(peer.fd, bytes + held, ROOM - held, 0);
        if (got <= 0)
            break;
        held += (size_t)got;
        size_t used = 0;
        size_t taken;
        do {
            taken = peer.speaks_http ? take_http(bytes + used, held - used)
                                     : take_redis(bytes + used, held - used);
            used += taken;
            if (taken > 0) {
                const char *answer = peer.speaks_http ? http : "+OK\r\n";
                send(peer.fd, answer, strlen(answer), MSG_NOSIGNAL);
            }
        } while (taken > 0);
        memmove(bytes, bytes + used, held - used);
        held -= used;
    }
    close(peer.fd);
    free(bytes);
    return NULL;
}

static void *accept_all(void *context)
{
    struct peer *listener = context;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 128 << 10);
    for (;;) {
        struct peer *peer = malloc(sizeof(*peer));
        *peer = *listener;
        peer->fd = accept(listener->fd, NULL, NULL);
        pthread_t thread;
        if (peer->fd < 0 || pthread_create(&thread, &attributes, serve, peer) != 0) {
            perror("peer_log");
            exit(3);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 2 || (seen = fopen(argv[1], "w")) == NULL)
        return 2;
    struct peer listeners[2] = {{wire_listen(), true}, {wire_listen(), false}};
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        listen(listeners[i].fd, 1024);
        if (pthread_create(&thread, NULL, accept_all, &listeners[i]) != 0)
            return 3;
    }
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    pthread_mutex_lock(&lock);
    fclose(seen);
    _exit(0);
}
