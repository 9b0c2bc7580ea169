/*
 * Transfers: what libcurl knows of the exchanges that it makes.
 *
 * The bytes make the exchange, and libcurl tells only when the call is back how long its phases
 * took. So an exchange that completes inside such a call is parked: complete in its slot, not
 * handed over yet. When the library tells of a transfer (transfer_tell), the exchange that it ended
 * with is found among the parked ones and carries the numbers. It is handed over at the latest when
 * the call that makes one transfer is back, or, with many at a time, when the thread waits or calls
 * again.
 *
 * Where the bytes cannot be read (HTTP/2, HTTP/3), what the library tells is the exchange.
 *
 * None of this touches errno, nor the application's handles.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/thread_state.h"
#include "base/compiler.h"
#include "base/slice.h"
#include "handoff/record.h"

struct trace_identity;

/* What a library told of a transfer that has ended. */
struct transfer_facts {
    struct transfer_numbers numbers;
    uint16_t status;   /* of the last answer; 0: none came */
    int descriptor;    /* of its connection; -1: closed */
    uint16_t ports[2]; /* ours and the peer's; 0: not known */
    struct slice method;
    struct slice url;
    uint64_t sent; /* body bytes */
    uint64_t received;
    uint64_t start_ns;
    uint64_t end_ns;
    enum record_error error;
    const struct trace_identity *announced; /* with which it was sent if that was not seen; NULL */
    bool is_unseen;                         /* no request of it was seen, and one was sent */
};

/* Around a call that makes transfers; `is_alone`: one, and the thread does nothing else meanwhile.
   What was parked before is handed over. A call inside such a call keeps its caller's apart.
   `frame`: of the wrapper. */
struct thread_transfers transfer_enter(struct thread_state *self, bool is_alone, uintptr_t frame);
/* With many at a time the parked ones wait for transfer_tell. */
void transfer_leave_many(struct thread_state *self, const struct thread_transfers *outer);
/* Hands over what is parked. */
void transfer_leave_alone(struct thread_state *self, const struct thread_transfers *outer);

/* A transfer has ended. */
void transfer_tell(struct thread_state *self, const struct transfer_facts *facts);

/* Hands over whatever is parked, as it is. */
void transfer_hand_over(struct thread_state *self);

/* The same at the end of the process: nothing is to wait from here on. */
void transfer_end_all(struct thread_state *self);

/* For exchange_complete, inside such a call: false if the exchange is not to wait. */
SLOW bool transfer_park(struct thread_state *self, uint16_t slot, struct record *record);

SLOW void transfer_before_wait_slow(struct thread_state *self);

/* The thread is about to wait: the library may have nothing to tell for long. */
static inline void transfer_before_wait(struct thread_state *self)
{
    if (unlikely(self->transfers.parked > 0 || self->transfers.is_under_way)) {
        transfer_before_wait_slow(self);
    }
}
