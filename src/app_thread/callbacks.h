/*
 * What the process folder lends to the hooks: the moments at which something beyond observing may
 * have to happen. Set once at start, before observation is switched on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct callbacks {
    /* On leaving socket, connect or accept, or before a wait: the worker's thread may be started
       here. */
    void (*after_connection)(void);
    /* Before the process ends in a way that runs no exit handlers, or execs, which may fail:
       `cause` (record_abort_cause) says which. Bounded in time; must be callable in a signal
       handler. */
    void (*before_end)(int32_t cause);
    /* Around a fork that runs no handlers of the C library's. May be NULL. */
    void (*before_fork)(void);
    void (*after_fork_in_parent)(void);
    void (*after_fork_in_child)(void);
    /* The program was told that a child of its has ended. May be NULL. */
    void (*child_ended)(int32_t process_id, int status);
    /* From the process's exit handlers. */
    void (*at_exit)(void);
    /* The program's first thread ends; others may live on. */
    void (*before_first_thread_ends)(void);
    /* The program's first thread has set its capabilities, as capset's second argument says, of
       which there are 12 bytes or 24. May be NULL. */
    void (*capabilities_set)(uint32_t version, const void *data, size_t size);
    /* What threads of ours take for the environment; NULL: none. */
    const char *const *environment;
};

extern struct callbacks callbacks;

/* A thread has ended itself by syscall(SYS_exit): no exit handlers are to run for it. */
extern _Atomic bool lifecycle_raw_exit;
