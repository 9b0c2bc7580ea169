/*
 * The exporter inside the process: a thread that loads libwirespan-worker.so and steps it.
 *
 * The thread is created on leaving socket, connect or accept, or when the process ends, never from
 * a data call and never at load. One lock is held while the worker loads, initialises and steps,
 * and by the prepare handler of fork: a child is never born in the middle of a step. Between steps
 * the thread only sleeps or polls.
 *
 *     lock rank: the only lock of libwirespan.so; nests in nothing; held across fork by design
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Remembers where the worker object lies and what the environment said. Both must stay valid. */
void background_configure(const char *worker_path, const char *const *environment);

/* Starts the thread if there is none in this process yet. Not in signal handlers. */
void background_start(void);

/* Has everything exported that was finished before the call, within `timeout_ms`. Starts the thread
   if there is something to export and none is running. `final`: the worker is also told to stop,
   and reports. Callable in signal handlers if the thread runs already. */
void background_flush(uint32_t timeout_ms, bool final);

/* Registered with the C library's fork. */
void background_before_fork(void);
void background_after_fork_in_parent(void);
void background_after_fork_in_child(void);
