/*
 * The context in a job that the program stores: two fields more in its hash (wire/resp_edit.h),
 * where the user asked for it.
 *
 * The command's beginning, from the line with the number of its arguments to its key, is sent from
 * a buffer of ours, with the fields behind it. If the kernel takes a part of that, the program is
 * told that the beginning went, and the rest is owed (inject.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "app_thread/connection.h"
#include "base/limits.h"

struct job_context {
    uint32_t block; /* slab buffer: what goes instead of the beginning */
    uint32_t spare; /* another one, for what may be owed of it */
    uint16_t size;  /* of that */
    size_t at;      /* where the beginning begins and ends in the first buffer */
    size_t ends;
};

/* Set once at start. */
extern bool job_context_is_on;

/* Whether the call's first buffer, which begins at the boundary of a command, stores a job, and for
   whom the thread works is known. */
bool job_context_plan(struct thread_state *self, const struct connection *connection,
                      const struct iovec *iov, size_t count, uint64_t start_ns,
                      struct job_context *plan);

/* The parts of what is to be sent: their number, count + 2 at most. */
size_t job_context_build(const struct job_context *plan, const struct iovec *iov, size_t count,
                         struct iovec longer[LIMIT_CARRYING_PARTS + 2]);

/* The kernel's answer to that call as the program is to see it. `block` stays as it is until
   job_context_end. */
ssize_t job_context_settle(struct connection *connection, struct job_context *plan, ssize_t sent);
void job_context_end(struct job_context *plan);
