/* What one application thread remembers between calls. Less than 256 bytes of initial-exec TLS. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The server exchange on whose behalf a blocking thread works; see trace_context.h. */
struct thread_context {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t trace_flags;
    bool is_known;
    bool is_for_child; /* a job that runs in the next forked child, and is its work alone */
    bool is_of_job;
    bool is_lent;        /* another thread's, who handed over what this one does now */
    bool is_ambiguous;   /* more than one request was read since the last wait */
    bool is_of_message;  /* whose bytes name the span, which is another process's */
    uint32_t connection; /* serial of the server connection */
    uint32_t answered;   /* `*answers` when the request was read: another value ends the work */
    uint32_t spans;      /* that were given this parent */
    uint32_t carried;    /* what came with the request (carried.h); 0: nothing */
    uint64_t began_ns;
    const _Atomic uint32_t *answers;
};

/* What reached a thread that waits in epoll; see turn.h. */
enum turn_state { TURN_FOREIGN, TURN_QUIET, TURN_OWN };

#define TURN_EVENTS 6u
/* No connection has this number. */
#define TURN_SESSIONS UINT32_MAX

struct thread_turn {
    uint64_t returned_ns; /* from the last wait */
    uint64_t foreign_ns;  /* from here on a timer may fire that others have set */
    uint32_t begun;       /* the process's requests when the context's was read */
    uint8_t state;        /* enum turn_state */
    uint8_t pending;      /* events that were not found again */
    bool has_descriptors; /* in `events`; else the serials of connections that were counted */
    bool by_message : 1;  /* foreign for a message alone, which was read out of quiet */
    bool is_idle : 1;     /* own, and begun by a wait for ever: no timer is set */
    bool is_first : 1;    /* in which the context's message was read: its own, whatever is open */
    uint32_t session;     /* the only connection that was read from; 0: none yet */
    uint32_t events[TURN_EVENTS];
};

/* Our own threads have a file table of their own, unless the system forbids it. */
enum thread_ownership {
    THREAD_OF_PROGRAM,
    THREAD_OURS,
    THREAD_OURS_SHARING /* its descriptors are the program's, too */
};

/* On whose behalf a program is started. */
struct child_cause {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t trace_flags;
    bool is_known;
    bool is_ambient;
    bool is_of_job;
    uint8_t links;    /* to it, as what may have been the cause (candidates.h) */
    uint32_t carried; /* what came with it (carried.h); 0: nothing */
};

/* Exchanges that wait for what a library knows of them; see transfer.h. */
struct thread_transfers {
    uint32_t epoch;     /* of the process that they belong to */
    uint16_t newest;    /* the rest hangs from its record */
    uint8_t parked;     /* how many */
    bool is_under_way;  /* in a call that makes transfers: what it completes is parked */
    bool is_alone;      /* that call makes one transfer, and waits for nothing else */
    uintptr_t frame;    /* of that call */
    uint64_t called_ns; /* when the last such call came back */
};

struct thread_state {
    uint64_t random_key;     /* 0: not drawn yet */
    uint64_t random_counter; /* advanced at once: a signal handler may draw in between */
    uint32_t random_epoch;   /* of the process that drew the key */
    uint32_t slot_cursor;
    uint32_t ring;
    uint8_t is_ours; /* enum thread_ownership: the worker's thread or one that it made: nothing of
                        it is observed */
    bool
        runs_a_loop; /* has waited in epoll: what it writes was caused by more than its last read */
    bool takes_turns;    /* has waited in poll or select, as one that runs a loop may: its turns are
                            followed, and nothing more */
    bool serves;         /* has read a request, or taken one over, as a thread that blocks */
    const void *library; /* whose function a wrapper is calling now (hooks/caller_scope.h) */
    int32_t inner_epoll; /* that this thread made in the middle of the work of that span; 0: none */
    uint8_t inner_span_id[8];
    bool in_vfork;      /* vfork was called: until proven otherwise this may be the child */
    uint8_t child_area; /* see child_environment.h; 0: none */
    struct thread_context context;
    struct thread_transfers transfers;
    struct thread_turn turn;
    struct child_cause child; /* in the child of a fork */
};

_Static_assert(sizeof(struct thread_state) < 256, "little of a thread's static memory is taken");

extern __thread struct thread_state thread_state __attribute__((tls_model("initial-exec")));
