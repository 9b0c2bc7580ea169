/*
 * Threads that send, receive, close, copy and take descriptors again, all on the same few numbers
 * and without any agreement: whatever becomes of their exchanges, no record, slot or block is lost
 * or taken twice, and nothing waits. Meant for ThreadSanitizer and AddressSanitizer as well.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app_thread/attachment.h"
#include "app_thread/connection.h"
#include "app_thread/observe.h"
#include "handoff/segment.h"

#define SLOTS       1024u
#define DESCRIPTORS 6
#define THREADS     4
#define ROUNDS      150000 /* of each thread, unless the first argument says otherwise */

static struct segment *segment;
static int numbers[DESCRIPTORS];
static long rounds = ROUNDS;
static _Atomic bool is_over;
static _Atomic uint64_t wrong;

static struct segment *give_segment(struct attachment *page)
{
    page->random_seed = 42;
    atomic_store(&page->epoch, 7);
    page->doorbell = &segment->doorbell;
    return segment;
}

static uint32_t draw(uint32_t *random, uint32_t below)
{
    *random = *random * 1664525u + 1013904223u;
    return (*random >> 8) % below;
}

static struct iovec iov_of(const char *bytes)
{
    union {
        const char *borrowed;
        char *base;
    } data = {bytes};
    return (struct iovec){data.base, strlen(bytes)};
}

static const char *const requests[] = {
    "*1\r\n$4\r\nPING\r\n",
    "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
    "GET /c HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "\x81\x82\1\2\3\4ab\x88\x80\1\2\3\4",
};
static const char *const replies[] = {
    "+PONG\r\n",
    "$1\r\n1\r\n$1\r\n2\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "\x81\x02"
    "ab\x88\x04\x03\xe8"
    "by",
};
#define SENTENCES (sizeof(requests) / sizeof(requests[0]))

static void send_some(int fd, uint32_t *random)
{
    struct iovec iov = iov_of(requests[draw(random, SENTENCES)]);
    struct observation seen;
    uint32_t fate = draw(random, 8);
    ssize_t result = fate == 0   ? -1
                     : fate == 1 ? 1 + (ssize_t)draw(random, (uint32_t)iov.iov_len)
                                 : (ssize_t)iov.iov_len;
    if (observe_send_begin(&seen, fd, &iov, 1)) {
        observe_send_end(&seen, &iov, 1, result, draw(random, 2) ? EAGAIN : EPIPE);
    }
}

static void receive_some(int fd, uint32_t *random)
{
    struct iovec iov = iov_of(replies[draw(random, SENTENCES)]);
    struct receipt seen;
    if (observe_receive_begin(&seen, fd)) {
        observe_receive_end(&seen, &iov, 1, draw(random, 50) ? (ssize_t)iov.iov_len : 0, 0);
    }
}

static void *work(void *argument)
{
    uint32_t random = (uint32_t)(uintptr_t)argument;
    for (long i = 0; i < rounds; i++) {
        int fd = numbers[draw(&random, DESCRIPTORS)];
        switch (draw(&random, 24)) {
        case 0:
            descriptor_closing(&thread_state, fd);
            break;
        case 1:
            descriptor_made(&thread_state, fd,
                            draw(&random, 3) ? DESCRIPTOR_STREAM : DESCRIPTOR_ACCEPTED);
            break;
        case 2:
            descriptor_duplicated(&thread_state, fd, numbers[draw(&random, DESCRIPTORS)]);
            break;
        case 3:
            observe_unseen(fd, draw(&random, 2) ? DIRECTION_OUT : DIRECTION_IN, 2);
            break;
        case 4:
            observe_shutdown(fd, SHUT_WR);
            break;
        case 5:
        case 6:
        case 7:
        case 8:
        case 9:
        case 10:
        case 11:
        case 12:
        case 13:
        case 14:
            send_some(fd, &random);
            break;
        default:
            receive_some(fd, &random);
            break;
        }
    }
    return NULL;
}

static void *drain(void *argument)
{
    struct segment_reader *reader = argument;
    struct record record;
    bool was_over;
    do {
        was_over = atomic_load(&is_over);
        while (segment_reader_next(reader, &record)) {
            if (record.end_ns < record.start_ns) {
                atomic_fetch_add(&wrong, 1);
            }
        }
        usleep(100);
    } while (!was_over);
    return NULL;
}

static int check(const char *what, uint64_t found)
{
    if (found == 0) {
        return 0;
    }
    fprintf(stderr, "%s: %llu\n", what, (unsigned long long)found);
    return 1;
}

static uint64_t lost_slots(void)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        lost += atomic_load(&segment->states[i]) != SLOT_FREE;
    }
    return lost;
}

int main(int count, char **arguments)
{
    rounds = count > 1 ? strtol(arguments[1], NULL, 10) : ROUNDS;
    attachment_frames_ahead = count > 2 && strcmp(arguments[2], "ahead") == 0;
    size_t size = segment_size(SLOTS);
    pthread_t threads[THREADS];
    pthread_t drainer;
    struct segment_reader reader;
    segment = aligned_alloc(64, (size + 63) / 64 * 64);
    attachment = calloc(1, 4096);
    if (segment == NULL || attachment == NULL) {
        return 1;
    }
    memset(segment, 0, size);
    segment_initialize(segment, SLOTS, 1, (struct segment_clock){1, 1});
    attachment_renew = give_segment;
    atomic_store(&attachment_is_on, true);
    /* Real sockets, so that what is unknown can be classified; nothing is sent on them. */
    for (int i = 0; i < DESCRIPTORS; i += 2) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, &numbers[i]) != 0) {
            return 1;
        }
    }
    if (attachment_segment() == NULL || segment_reader_init(&reader, segment, size) != 0) {
        return 1;
    }
    pthread_create(&drainer, NULL, drain, &reader);
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    connection_finish_all(&thread_state, 0);
    atomic_store(&is_over, true);
    pthread_join(drainer, NULL);
    return check("slots that nobody completed", lost_slots()) +
           check("exchanges that end before they begin", atomic_load(&wrong)) +
           check("records that do not hold together",
                 atomic_load(&segment->losses[LOSS_RECORD_INVALID]));
}
