/*
 * The worker side's whole interface: what the process folder, or the wirespan command, may do with
 * it. libwirespan-worker.so exports one symbol, `wirespan_worker`, a `const struct worker_api`.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKER_API_VERSION 3u
#define WORKER_POLL_MAX    8

struct exporter;
struct segment;

struct worker_wait {
    struct pollfd descriptors[WORKER_POLL_MAX];
    size_t descriptor_count; /* 0: nothing is in flight, sleep on the segment's doorbell */
    uint64_t timeout_ns;     /* the latest moment of the next step, from now */
    bool idle;               /* nothing is buffered: the next completion should wake the worker */
    bool stalled;            /* what is left waits to be sent again: the receiver is in trouble */
};

/* What the worker side has to know of the process that it lives in. */
struct worker_host {
    /* The calling thread has a file table of its own; stderr is borrowed from the program. */
    bool has_private_descriptors;
    /* Held while a fork must not happen (fork_guard.h); NULL where nothing forks. */
    void (*enter_fork_guard)(void);
    void (*leave_fork_guard)(void);
};

/* Whose segment it is, where that is another process than ours. */
struct worker_process {
    int32_t process_id; /* as our /proc has it; 0: not known */
    /* Another process of the same program, which describes it where it has ended itself; 0: none */
    int32_t program_id;
    /* Its environment's snapshot, which names its service; NULL: ours. Only read during the call.
     */
    const char *const *environment;
    const char *program; /* the path of its executable, by its own word; NULL: ask /proc */
};

struct worker_api {
    uint32_t version;
    /* Reads the configuration from the environment's snapshot, complains on stderr about what is
       wrong with it, loads what the exporters need. NULL if nothing can be exported (said on
       stderr). The calling thread must be the one that steps. `host` may be
       NULL: a program of our own. */
    struct exporter *(*create)(const char *const *environment, const struct worker_host *host);
    /* Adds a segment to drain; it must stay mapped until removed. `process` may be NULL: ours.
       Returns 0 or a negative errno. */
    int (*add_segment)(struct exporter *exporter, struct segment *segment, size_t mapped_size,
                       const struct worker_process *process);
    /* The segment's process ended as `cause` (record_abort_cause) says: takes what remains (open
       exchanges as aborted), then forgets it. */
    void (*remove_segment)(struct exporter *exporter, struct segment *segment, int32_t cause);
    /* Drains, builds, batches, moves transfers on. Never blocks. `flush`: send everything now
       rather than by the schedule. */
    void (*step)(struct exporter *exporter, uint64_t monotonic_ns, bool flush,
                 struct worker_wait *wait);
    /* No more will come: what waits for the rest of its trace (tail.h) is judged by the next step.
       A flush says the same where the exporter serves its own process alone. */
    void (*conclude)(struct exporter *exporter);
    /* Whether completed records wait in the segments. To be asked between the announcement that
       the drainer sleeps and its sleep. */
    bool (*has_backlog)(const struct exporter *exporter);
    /* Whether everything taken from the segments so far has been delivered or dropped. */
    bool (*is_drained)(const struct exporter *exporter);
    /* Drops what is left (counted), says the losses if asked to (WIRESPAN_LOG_LEVEL=info), frees
       everything. */
    void (*destroy)(struct exporter *exporter);
};

extern const struct worker_api wirespan_worker;
