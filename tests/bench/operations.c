/*
 * One kind of operation, many times, on one thread: what single costs are measured with.
 *
 *     operations [--hold] CASE COUNT [BURST [CONNECTIONS [THREADS [RATE]]]]
 *
 * Does COUNT operations in bursts, between which it sleeps, so that the exporter keeps up. Prints
 * the median over the bursts of the thread's processor time per operation, in nanoseconds, the
 * process's memory in KiB at its end, and how many operations a second it did by the clock. With
 * CONNECTIONS they take turns; with THREADS each has so many of its own, and does COUNT operations;
 * with RATE a thread rests only as long as it is ahead of so many a second. With --hold it keeps
 * its connections until its input ends.
 *
 * The other end of a conversation lies in this same thread, and uses raw system calls: a preloaded
 * library sees one end only, and nothing depends on when somebody else runs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/system_call.h"
#include "imitation_tls.h"

#define BURST_REST_NS 10000000L
#define START_NS      300000000L
#define THREADS_MAX   64u
#define NS_PER_SECOND UINT64_C(1000000000)

struct conversation {
    const char *request;
    const char *answer;
    bool asks;     /* the watched end sends the requests */
    size_t repeat; /* requests in one call: a pipeline */
    bool is_tls;   /* by the calls of a TLS library */
};

/* 64 bytes each. */
#define SMALL_REQUEST "GET /item/0042 HTTP/1.1\r\nHost: bench.example\r\nAccept: text/*\r\n\r\n"
#define SMALL_ANSWER  "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nX: 1111\r\n\r\n0123456789abcdef"
_Static_assert(sizeof(SMALL_REQUEST) - 1 == 64 && sizeof(SMALL_ANSWER) - 1 == 64, "64 bytes");

/* What a browser and a server behind a proxy say. */
#define USUAL_REQUEST                                                                              \
    "GET /catalogue/items/42?page=2&sort=price HTTP/1.1\r\n"                                       \
    "Host: shop.example\r\n"                                                                       \
    "Connection: keep-alive\r\n"                                                                   \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"       \
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"                  \
    "Accept-Language: en-US,en;q=0.5\r\n"                                                          \
    "Accept-Encoding: gzip, deflate, br\r\n"                                                       \
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"                             \
    "X-Forwarded-For: 192.0.2.17\r\n"                                                              \
    "X-Forwarded-Proto: https\r\n"                                                                 \
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
#define USUAL_ANSWER                                                                               \
    "HTTP/1.1 200 OK\r\n"                                                                          \
    "Server: nginx\r\n"                                                                            \
    "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"                                                      \
    "Content-Type: application/json; charset=utf-8\r\n"                                            \
    "Content-Length: 16\r\n"                                                                       \
    "Connection: keep-alive\r\n"                                                                   \
    "Cache-Control: private, max-age=0\r\n"                                                        \
    "Vary: Accept-Encoding\r\n\r\n"                                                                \
    "0123456789abcdef"

#define SET_COMMAND "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$3\r\nxxx\r\n"
#define SET_REPLY   "+OK\r\n"

static ssize_t raw_read(int fd, void *buffer, size_t size)
{
    return raw_system_call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
}

static ssize_t raw_write(int fd, const void *bytes, size_t size)
{
    return raw_system_call(SYS_write, fd, (long)bytes, (long)size, 0, 0, 0);
}

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "operations: %s\n", what);
        exit(1);
    }
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* A request arrives as it was sent, or with the context that the library has written into it. */
#define CONTEXT_BYTES 70u

static bool arrives(size_t got, size_t sent)
{
    return got == sent || got == sent + CONTEXT_BYTES;
}

/* ---- operations ---- */

struct work {
    const struct conversation *conversation; /* NULL: reading a file */
    int fd;                                  /* the file, or the watched end at hand */
    int other_fd;
    struct ssl_st **sessions; /* of each connection's watched end */
    struct ssl_st *session;   /* that of the watched end at hand */
    int (*ends)[2];           /* of each connection */
    size_t connections;
    size_t next_connection;
    size_t count;
    size_t burst;
    size_t rate;     /* operations a second; 0: a rest after each burst */
    uint64_t *times; /* of each burst */
    char *sent;      /* by the end that asks */
    size_t sent_size;
    char *answered;
    size_t answered_size;
    char buffer[4096];
};

static void read_files(struct work *work, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        require(read(work->fd, work->buffer, 1) == 1, "read");
    }
}

static void take_turn(struct work *work)
{
    work->fd = work->ends[work->next_connection][0];
    work->other_fd = work->ends[work->next_connection][1];
    work->session = work->sessions[work->next_connection];
    work->next_connection =
        work->next_connection + 1 < work->connections ? work->next_connection + 1 : 0;
}

static void ask(struct work *work, size_t count)
{
    size_t sent = work->sent_size;
    size_t answered = work->answered_size;
    for (size_t i = 0; i < count; i += work->conversation->repeat) {
        take_turn(work);
        require(send(work->fd, work->sent, sent, 0) == (ssize_t)sent, "send");
        require(arrives((size_t)raw_read(work->other_fd, work->buffer, sizeof(work->buffer)), sent),
                "read");
        require(raw_write(work->other_fd, work->answered, answered) == (ssize_t)answered, "write");
        require(recv(work->fd, work->buffer, sizeof(work->buffer), 0) == (ssize_t)answered, "recv");
    }
}

static void ask_above_tls(struct work *work, size_t count)
{
    int sent = (int)work->sent_size;
    int answered = (int)work->answered_size;
    for (size_t i = 0; i < count; i++) {
        take_turn(work);
        require(SSL_write(work->session, work->sent, sent) == sent, "SSL_write");
        require(arrives((size_t)raw_read(work->other_fd, work->buffer, sizeof(work->buffer)),
                        (size_t)sent),
                "read");
        require(raw_write(work->other_fd, work->answered, (size_t)answered) == answered, "write");
        require(SSL_read(work->session, work->buffer, sizeof(work->buffer)) == answered,
                "SSL_read");
    }
}

static void answer(struct work *work, size_t count)
{
    size_t sent = work->sent_size;
    size_t answered = work->answered_size;
    for (size_t i = 0; i < count; i += work->conversation->repeat) {
        take_turn(work);
        require(raw_write(work->other_fd, work->sent, sent) == (ssize_t)sent, "write");
        require(recv(work->fd, work->buffer, sizeof(work->buffer), 0) == (ssize_t)sent, "recv");
        require(send(work->fd, work->answered, answered, 0) == (ssize_t)answered, "send");
        require(raw_read(work->other_fd, work->buffer, answered) == (ssize_t)answered, "read");
    }
}

static void operate(struct work *work, size_t count)
{
    if (work->conversation == NULL) {
        read_files(work, count);
    } else if (work->conversation->is_tls) {
        ask_above_tls(work, count);
    } else if (work->conversation->asks) {
        ask(work, count);
    } else {
        answer(work, count);
    }
}

/* ---- cases ---- */

static const struct {
    const char *name;
    struct conversation conversation;
} conversations[] = {
    {"http_client", {SMALL_REQUEST, SMALL_ANSWER, true, 1, false}},
    {"http_server", {SMALL_REQUEST, SMALL_ANSWER, false, 1, false}},
    {"http_client_usual", {USUAL_REQUEST, USUAL_ANSWER, true, 1, false}},
    {"http_server_usual", {USUAL_REQUEST, USUAL_ANSWER, false, 1, false}},
    {"redis_1", {SET_COMMAND, SET_REPLY, true, 1, false}},
    {"redis_16", {SET_COMMAND, SET_REPLY, true, 16, false}},
    {"tls_client", {SMALL_REQUEST, SMALL_ANSWER, true, 1, true}},
};

static char *repeated(const char *text, size_t times, size_t *size)
{
    size_t length = strlen(text);
    char *bytes = malloc(length * times);
    require(bytes != NULL, "memory");
    for (size_t i = 0; i < times; i++) {
        memcpy(bytes + i * length, text, length);
    }
    *size = length * times;
    return bytes;
}

static void prepare_conversation(struct work *work, const struct conversation *conversation)
{
    work->conversation = conversation;
    work->ends = calloc(work->connections, sizeof(work->ends[0]));
    require(work->ends != NULL, "memory");
    work->sessions = calloc(work->connections, sizeof(work->sessions[0]));
    require(work->sessions != NULL, "memory");
    for (size_t i = 0; i < work->connections; i++) {
        require(socketpair(AF_UNIX, SOCK_STREAM, 0, work->ends[i]) == 0, "socketpair");
        work->sessions[i] = imitation_tls_new();
        require(!conversation->is_tls || SSL_set_fd(work->sessions[i], work->ends[i][0]) == 1,
                "SSL_set_fd");
    }
    work->sent = repeated(conversation->request, conversation->repeat, &work->sent_size);
    work->answered = repeated(conversation->answer, conversation->repeat, &work->answered_size);
    require(work->sent_size <= sizeof(work->buffer) && work->answered_size <= sizeof(work->buffer),
            "room");
}

static void prepare(struct work *work, const char *name)
{
    if (strcmp(name, "file_read") == 0) {
        work->fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        require(work->fd >= 0, "/dev/zero");
        return;
    }
    for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
        if (strcmp(name, conversations[i].name) == 0) {
            prepare_conversation(work, &conversations[i].conversation);
            return;
        }
    }
    require(false, "no such case");
}

/* Pairs of sockets start none; in a single burst nothing is to run beside the operations. */
static void start_exporter(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    require(fd >= 0, "socket");
    close(fd);
    nanosleep(&(struct timespec){.tv_nsec = START_NS}, NULL);
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return *left < *right ? -1 : *left > *right;
}

/* After so many operations that began then. */
static void rest(const struct work *work, size_t done, uint64_t began_ns)
{
    if (work->rate == 0) {
        nanosleep(&(struct timespec){.tv_nsec = BURST_REST_NS}, NULL);
        return;
    }
    uint64_t due_ns = began_ns + done * NS_PER_SECOND / work->rate;
    const struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_SECOND),
                                 .tv_nsec = (long)(due_ns % NS_PER_SECOND)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void *run(void *argument)
{
    struct work *work = argument;
    size_t bursts = work->count / work->burst;
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < bursts; i++) {
        uint64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        operate(work, work->burst);
        work->times[i] = clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
        if (i + 1 < bursts) {
            rest(work, (i + 1) * work->burst, began_ns);
        }
    }
    return NULL;
}

static void allow_descriptors(void)
{
    struct rlimit limit;
    require(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* What is this process's alone, and what it shares by mapping. */
static unsigned long memory_kib(void)
{
    char line[256];
    unsigned long total = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    require(file != NULL, "smaps_rollup");
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "Private_Dirty:", 14) == 0 || strncmp(line, "Pss_Shmem:", 10) == 0) {
            total += strtoul(strchr(line, ':') + 1, NULL, 10);
        }
    }
    fclose(file);
    return total;
}

static size_t argument_or(int argc, char **argv, int at, size_t otherwise)
{
    return argc > at ? strtoul(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static struct work works[THREADS_MAX];
    pthread_t others[THREADS_MAX];
    bool holds = argc > 1 && strcmp(argv[1], "--hold") == 0;
    argc -= holds;
    argv += holds;
    require(argc >= 3 && argc <= 7,
            "usage: operations [--hold] CASE COUNT [BURST [CONNECTIONS [THREADS [RATE]]]]");
    size_t count = strtoul(argv[2], NULL, 10);
    size_t burst = argument_or(argc, argv, 3, count);
    size_t connections = argument_or(argc, argv, 4, 1);
    size_t threads = argument_or(argc, argv, 5, 1);
    require(burst > 0 && count >= burst && connections > 0 && threads > 0 && threads <= THREADS_MAX,
            "counts");
    size_t bursts = count / burst;
    uint64_t *times = calloc(threads * bursts, sizeof(times[0]));
    require(times != NULL, "memory");
    allow_descriptors();
    for (size_t i = 0; i < threads; i++) {
        works[i].count = count;
        works[i].burst = burst;
        works[i].connections = connections;
        works[i].rate = argument_or(argc, argv, 6, 0);
        works[i].times = times + i * bursts;
        prepare(&works[i], argv[1]);
    }
    if (bursts > 1) {
        start_exporter();
    }
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
    for (size_t i = 1; i < threads; i++) {
        require(pthread_create(&others[i], NULL, run, &works[i]) == 0, "pthread_create");
    }
    run(&works[0]);
    for (size_t i = 1; i < threads; i++) {
        pthread_join(others[i], NULL);
    }
    double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - began_ns) / (double)NS_PER_SECOND;
    qsort(times, threads * bursts, sizeof(times[0]), compare_times);
    printf("%.1f ns\n%lu KiB\n%.0f a second\n", (double)times[threads * bursts / 2] / (double)burst,
           argc > 4 ? memory_kib() : 0, (double)(threads * bursts * burst) / seconds);
    fflush(stdout);
    while (holds && getchar() != EOF) {
    }
    return 0;
}
