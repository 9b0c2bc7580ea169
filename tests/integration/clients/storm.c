/*
 * usage: storm fork|exec SEED COUNT PARALLEL LEAST_US MOST_US WAYS HTTP_PORT REDIS_PORT [-- PROGRAM
 * ARGUMENT...]
 *
 * Starts COUNT workers, PARALLEL at a time, each of which makes requests over HTTP and Redis until
 * its life, between LEAST_US and MOST_US by chance, ends. WAYS is a list of how: `kill` is SIGKILL
 * from here, the others the worker does by itself, on a thread that has nothing to do with the
 * requests. The workers are forks of this program; with `exec` they start it anew, or the program
 * that is given, with HTTP_PORT REDIS_PORT INDEX WAY LIFE_US after its arguments.
 *
 * Says for each: index, process id, way, and how it ended as a shell says it.
 *
 * A request's id is INDEX-THREAD-NUMBER.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

enum { MOST_PARALLEL = 64, MOST_WAYS = 8, HANG_US = 60000000 };

struct work {
    const char *port;
    long index;
    int thread;
    uint64_t random;
};

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- a worker ---- */

static void *request_forever(void *context)
{
    struct work *work = context;
    int fd = wire_connect("127.0.0.1", work->port);
    for (long number = 0;; number++) {
        char id[64];
        char text[256];
        int id_size = snprintf(id, sizeof(id), "%ld-%d-%ld", work->index, work->thread, number);
        if (work->thread == 0) {
            int size = snprintf(text, sizeof(text), "GET /r/%s HTTP/1.1\r\nHost: peer\r\n\r\n", id);
            wire_send(fd, text, (size_t)size);
            wire_read_until(fd, "ok\n");
        } else {
            int size =
                snprintf(text, sizeof(text), "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", id_size, id);
            wire_send(fd, text, (size_t)size);
            wire_read_until(fd, "+OK\r\n");
        }
        usleep((useconds_t)(next(&work->random) % 400));
    }
    return NULL;
}

static void end_by(const char *way)
{
    if (strcmp(way, "segv") == 0) {
        volatile int *unmapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *unmapped = 1;
    } else if (strcmp(way, "abort") == 0) {
        abort();
    } else if (strcmp(way, "_exit") == 0) {
        _exit(7);
    } else if (strcmp(way, "exit") == 0) {
        exit(7);
    } else if (strcmp(way, "exec") == 0) {
        execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
    }
    pause();
}

static int be_worker(const char *http, const char *redis, long index, const char *way, long life_us)
{
    const struct rlimit no_core = {0, 0};
    struct work works[2] = {
        {.port = http, .index = index, .thread = 0, .random = (uint64_t)index * 2},
        {.port = redis, .index = index, .thread = 1, .random = (uint64_t)index * 2 + 1},
    };
    int64_t end = now_us() + life_us;
    setrlimit(RLIMIT_CORE, &no_core);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, request_forever, &works[i]) != 0)
            return 4;
    }
    if (strcmp(way, "kill") == 0)
        for (;;)
            pause();
    int64_t left = end - now_us();
    if (left > 0)
        usleep((useconds_t)left);
    end_by(way);
    return 5;
}

/* ---- the workers ---- */

struct worker {
    pid_t process; /* 0: none */
    long index;
    char *way;
    int64_t end_us;
};

static char *program[32];
static size_t program_size;
static char **arguments;

static void start(struct worker *worker, bool is_fork, long life_us)
{
    static char index[32];
    static char life[32];
    fflush(stdout);
    worker->process = fork();
    if (worker->process != 0) {
        int64_t now = now_us();
        worker->end_us = now + (strcmp(worker->way, "kill") == 0 ? life_us : HANG_US);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (is_fork)
        _exit(be_worker(arguments[8], arguments[9], worker->index, worker->way, life_us));
    snprintf(index, sizeof(index), "%ld", worker->index);
    snprintf(life, sizeof(life), "%ld", life_us);
    static char own_name[] = "worker";
    char *all[64] = {arguments[0], own_name};
    size_t count = 2;
    if (program_size > 0) {
        memcpy(all, program, program_size * sizeof(program[0]));
        count = program_size;
    }
    all[count++] = arguments[8];
    all[count++] = arguments[9];
    all[count++] = index;
    all[count++] = worker->way;
    all[count++] = life;
    execv(all[0], all);
    _exit(6);
}

static void tell(const struct worker *worker, int status)
{
    printf("%ld %d %s %d\n", worker->index, (int)worker->process, worker->way,
           WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void reap(struct worker *workers, long parallel, long *running)
{
    int status;
    pid_t ended;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
        for (long i = 0; i < parallel; i++) {
            if (workers[i].process == ended) {
                tell(&workers[i], status);
                workers[i].process = 0;
                --*running;
            }
        }
    }
}

int main(int argc, char **argv)
{
    static struct worker workers[MOST_PARALLEL];
    char *ways[MOST_WAYS];
    size_t way_count = 0;
    arguments = argv;
    if (argc == 7 && strcmp(argv[1], "worker") == 0)
        return be_worker(argv[2], argv[3], atol(argv[4]), argv[5], atol(argv[6]));
    if (argc < 10)
        return 2;
    uint64_t random = strtoull(argv[2], NULL, 10);
    long count = atol(argv[3]);
    long parallel = atol(argv[4]);
    int64_t least = atol(argv[5]);
    int64_t most = atol(argv[6]);
    for (char *way = strtok(argv[7], ","); way != NULL && way_count < MOST_WAYS;
         way = strtok(NULL, ","))
        ways[way_count++] = way;
    for (int i = 11; i < argc && program_size < 32; i++)
        program[program_size++] = argv[i];
    if (parallel > MOST_PARALLEL || way_count == 0)
        return 2;
    long begun = 0;
    long running = 0;
    while (begun < count || running > 0) {
        int64_t now = now_us();
        for (long i = 0; i < parallel; i++) {
            struct worker *worker = &workers[i];
            if (worker->process != 0 && now >= worker->end_us) {
                kill(worker->process, SIGKILL);
                worker->end_us = now + HANG_US;
            } else if (worker->process == 0 && begun < count) {
                worker->index = begun;
                worker->way = ways[(size_t)begun % way_count];
                begun++;
                running++;
                start(worker, strcmp(argv[1], "fork") == 0,
                      least + (int64_t)(next(&random) % (uint64_t)(most - least + 1)));
            }
        }
        reap(workers, parallel, &running);
        usleep(200);
    }
    return 0;
}
