/*
 * A Redis that answers a command whose last argument is "...:NUMBER" with the error "-NNUMBER", so
 * that a span shows by itself whether command and answer belong together. Serves until stdin ends.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define BUFFER_BYTES 65536

/* The end of the command that begins at `at` ("*2\r\n$3\r\nGET\r\n$5\r\nk:123\r\n"), or NULL if it
   is not complete; its last argument. */
static const char *command_end(const char *at, const char *end, const char **last, size_t *length)
{
    char *rest;
    const char *line = memchr(at, '\n', (size_t)(end - at));
    if (!line)
        return NULL;
    long words = strtol(at + 1, &rest, 10);
    at = line + 1;
    for (; words > 0; words--) {
        line = memchr(at, '\n', (size_t)(end - at));
        if (!line)
            return NULL;
        long size = strtol(at + 1, &rest, 10);
        at = line + 1;
        if (end - at < size + 2)
            return NULL;
        *last = at;
        *length = (size_t)size;
        at += size + 2;
    }
    return at;
}

static size_t answer(char *into, const char *word, size_t length)
{
    const char *colon = memchr(word, ':', length);
    if (!colon)
        return (size_t)sprintf(into, "+OK\r\n");
    return (size_t)sprintf(into, "-N%.*s told\r\n", (int)(word + length - colon - 1), colon + 1);
}

static void *serve(void *context)
{
    int fd = (int)(intptr_t)context;
    char *in = malloc(BUFFER_BYTES + 1);
    char *out = malloc(BUFFER_BYTES * 2);
    size_t held = 0;
    ssize_t got;

    if (!in || !out)
        exit(3);
    while ((got = recv(fd, in + held, BUFFER_BYTES - held, 0)) > 0) {
        held += (size_t)got;
        in[held] = '\0';
        const char *at = in;
        const char *end = in + held;
        const char *next;
        const char *word = NULL;
        size_t length = 0;
        size_t used = 0;
        while (at < end && (next = command_end(at, end, &word, &length))) {
            used += answer(out + used, word, length);
            at = next;
        }
        held = (size_t)(end - at);
        memmove(in, at, held);
        wire_send(fd, out, used);
    }
    close(fd);
    free(in);
    free(out);
    return NULL;
}

static void *accept_all(void *context)
{
    int listener = (int)(intptr_t)context;
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 || pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
            exit(3);
        pthread_detach(thread);
    }
    return NULL;
}

int main(void)
{
    char ignored[16];
    pthread_t thread;
    int listener = wire_listen();

    if (pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)listener) != 0)
        return 3;
    while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0)
        continue;
    return 0;
}
