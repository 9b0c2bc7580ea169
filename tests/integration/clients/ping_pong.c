/*
 * usage: ping_pong in_turn|overlapping HOST PORT COUNT
 *
 * One thread sends "GET k:NUMBER", another receives the answers, on one connection. In turn: the
 * next command goes out when the last one's answer was seen, so every answer races with the return
 * from the call that sent its command. Overlapping: two threads send at the same time, up to 64
 * unanswered.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "wire.h"

#define WINDOW 64u

static int fd;
static unsigned total;
static bool in_turn;
static atomic_uint issued; /* numbers given to senders */
static sem_t room;         /* commands that may still go out unanswered */

static void *receive(void *context)
{
    char bytes[65536];
    unsigned lines = 0;

    (void)context;
    while (lines < total) {
        ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got <= 0)
            exit(3);
        for (ssize_t i = 0; i < got; i++)
            if (bytes[i] == '\n') {
                lines++;
                sem_post(&room);
            }
    }
    return NULL;
}

static void *send_numbers(void *context)
{
    (void)context;
    for (;;) {
        char key[32];
        char command[96];
        unsigned number = atomic_fetch_add(&issued, 1);
        if (number >= total)
            return NULL;
        /* Waking a sleeper would take longer than the answer, and would end the race. */
        while (in_turn ? sem_trywait(&room) != 0 : sem_wait(&room) != 0)
            sched_yield();
        int length = snprintf(key, sizeof(key), "k:%u", number);
        int size =
            snprintf(command, sizeof(command), "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", length, key);
        /* One call per command: the kernel keeps each whole, whoever else sends. */
        if (send(fd, command, (size_t)size, 0) != size)
            exit(3);
    }
}

int main(int argc, char **argv)
{
    pthread_t receiver;
    pthread_t second;

    if (argc != 5)
        return 2;
    bool overlapping = strcmp(argv[1], "overlapping") == 0;
    in_turn = !overlapping;
    sem_init(&room, 0, overlapping ? WINDOW : 1);
    total = (unsigned)strtoul(argv[4], NULL, 10);
    fd = wire_connect(argv[2], argv[3]);
    if (pthread_create(&receiver, NULL, receive, NULL) != 0)
        return 3;
    if (overlapping && pthread_create(&second, NULL, send_numbers, NULL) != 0)
        return 3;
    send_numbers(NULL);
    if (overlapping)
        pthread_join(second, NULL);
    pthread_join(receiver, NULL);
    printf("%u answered\n", total);
    return 0;
}
