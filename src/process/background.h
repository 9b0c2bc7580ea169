/*
 * The exporter inside the process: a thread that loads libwirespan-worker.so and steps it.
 *
 * The thread is created on leaving socket, connect or accept, or when the process ends, never from
 * a data call and never at load. One lock is held while objects are loaded and during every call
 * into libcurl, and by the prepare handler of fork: a child is never born in the middle of one.
 *
 *     lock rank: the only lock of libwirespan.so; nests in nothing; held across fork by design
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Remembers where the worker object lies, what the environment said, and what is to run at exit.
   All must stay valid. `at_exit` is registered once more after the worker has loaded its libraries,
   so that it runs before their own exit handlers take them apart. */
void background_configure(const char *worker_path, const char *const *environment,
                          void (*at_exit)(void));

/* An address in the worker's object; NULL: it was not loaded. */
const void *background_library(void);

/* Starts the thread if there is none in this process yet. Not in signal handlers. */
void background_start(void);

/* Has everything exported that was finished before the call, within `timeout_ms`. Starts the thread
   if there is something to export and none is running. Callable in signal handlers if the thread
   runs already. */
void background_flush(uint32_t timeout_ms);

/* The same for the last time: the worker reports its losses and stops; what could not be delivered
   in time is dropped. When this returns the thread runs no code but its sleep. */
void background_finish(uint32_t timeout_ms);

/* The program's first thread ends: the thread goes, too, so that it is not the one that keeps the
   process alive. If it is needed again it comes back for as long as there is something to export.
 */
void background_retire(uint32_t timeout_ms);

/* The program's first thread has set its capabilities (callbacks.h): our thread sets the same, and
   this waits for it, shortly. A thread that may more than the others is a hole, and where the C
   library asks all for a new identity (setgroups, setuid), different answers abort the program. */
void background_set_capabilities(uint32_t version, const void *data, size_t size);

/* Registered with the C library's fork. */
void background_before_fork(void);
void background_after_fork_in_parent(void);
void background_after_fork_in_child(void);
