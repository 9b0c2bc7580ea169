/* Identities of spans, and whose work a thread is doing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/connection.h"
#include "app_thread/thread_state.h"
#include "app_thread/witness.h"
#include "handoff/record.h"
#include "handoff/segment.h"
#include "wire/traceparent.h"

/* Whether its request still waits for its answer: another thread may have given it. */
static inline bool trace_context_is_current(const struct thread_context *context)
{
    return context->is_known &&
           atomic_load_explicit(context->answers, memory_order_relaxed) == context->answered;
}

/* Fills 8 random bytes, never all zero. */
void trace_context_draw(struct thread_state *self, uint8_t bytes[8]);

/* Gives the record its ids: those of a child of the thread's context where it is known (a blocking
   thread between reading a request and answering it), else a fresh trace. */
void trace_context_begin_client(struct thread_state *self, struct record *record, uint64_t now);

/* There is a witness: where the record has no parent yet, it becomes a child of the request for
   which this one is sent, if the witness knows. To be asked once for each request sent, in their
   order. */
void trace_context_ask_for_http(struct record *record, struct slice method, struct slice target);
/* The same for what the call that began at `call_ns` sends on the connection. */
void trace_context_ask_for_bytes(struct record *record, const struct connection *connection,
                                 uint64_t call_ns);
/* The same for a Redis command, when its name and first argument are known; asked after the former.
   In both the record may be NULL: the command has none, and is asked about all the same. */
void trace_context_ask_for_command(struct record *record, const struct connection *connection,
                                   struct slice name, struct slice first, uint64_t call_ns);
/* The same command needs no answer. */
void trace_context_pass_over(uint64_t call_ns);

/* Gives the record the ids of a new root: a request that this process serves. */
void trace_context_begin_server(struct thread_state *self, struct record *record);

/* The ids of a record to be: they go out before it is begun. */
struct trace_identity {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8];
    uint8_t trace_flags;
    uint8_t parent_source; /* enum parent_source */
    uint16_t record_flags;
    uint32_t carried;            /* what goes out beside them (carried.h); 0: nothing */
    struct thread_context *work; /* of which it will be counted as a child; NULL: of none */
};

/* The ids that an HTTP request with this method and target will have if it is sent now; a witness
   is asked, and stays willing to say it again. trace_context_fulfil gives them to a record, instead
   of trace_context_begin_client; trace_context_ask_for_http follows as always. */
void trace_context_plan_http(struct thread_state *self, struct trace_identity *identity,
                             struct slice method, struct slice target, uint64_t now);
void trace_context_fulfil(struct record *record, const struct trace_identity *identity);
/* The same for a record that has begun with other ids. */
void trace_context_replace(struct record *record, const struct trace_identity *identity);
/* The ids of another request for the same: a sibling, or a root as that one. */
void trace_context_renew(struct thread_state *self, struct trace_identity *identity);
/* What was fulfilled was not sent: it is not counted as anybody's child. */
void trace_context_take_back(const struct trace_identity *identity);

/* The request's head names a parent: of another process for a request that this one serves, of an
   SDK in this process for one that it sends. The record becomes a child of it, in its trace. */
void trace_context_adopt(struct record *record, const struct traceparent *parent, bool is_remote);

/* What was adopted turns out to be void: a root again. */
void trace_context_disown(struct thread_state *self, struct record *record);

/* The parent that a witness told for the record that had this span id turns out not to be proven: a
   root again, with a link to what may have been its parent. By the thread that sent it, before it
   can have been answered. If its ids are out it keeps them. */
void trace_context_withdraw(struct thread_state *self, struct record *record,
                            const uint8_t span_id[8], bool is_out);

/* A child of another span of this process. */
void trace_context_begin_below(struct thread_state *self, struct record *record,
                               const struct record *parent);

/* The thread has read a whole request head: until it is answered, or the thread waits for something
   else, what the thread does belongs to it, and is given what it came with. The connection's count
   of answers, whoever gives them, stays readable for ever. */
void trace_context_enter(struct thread_state *self, const struct record *server,
                         const struct connection *from, uint32_t carried);

/* This thread gives an answer on that connection. As a rule it has read the request; in a process
   in which another thread did, requests are passed from thread to thread, and who has read one may
   work for another one before it is answered. So a blocking thread's request is its work only while
   it is the only one in the process, or where enough were answered by who read them. A thread that
   serves requests, works for none and calls all the same shows the same. Where there is a witness,
   nothing of this is asked. */
void trace_context_answers(struct thread_state *self, const struct connection *connection);

/* This thread works for one request, and will for no other before that is answered: it is the
   process's only one, or who reads requests serves them. */
bool trace_context_is_undivided(const struct thread_state *self);

/* A blocking thread that works for nobody serves, from here on, a request that another thread has
   read. */
bool trace_context_may_join(const struct thread_state *self);
void trace_context_join(struct thread_state *self, const struct record *server,
                        const struct connection *from);

/* The thread has read a whole message from that WebSocket, which names the span that it was sent
   for: what the thread does is for that span, unless it works for somebody already. Ends when the
   connection's count of answers changes. */
void trace_context_enter_message(struct thread_state *self, const struct traceparent *parent,
                                 const struct connection *from, uint64_t now);

/* The request on that connection is answered. */
void trace_context_leave(struct thread_state *self, uint32_t connection);

/* The flags of a trace whose id is `trace_id`: by the sampler. */
uint8_t trace_context_flags(const uint8_t trace_id[16]);

/* The flags of what is below a parent that was carried to here: by its own, where the sampler
   follows parents. */
uint8_t trace_context_follow(const struct traceparent *parent);

/* A blocking thread has claimed a job: what it does until `*ends` changes belongs to it; or, where
   jobs run in forked children, what its next child does. Nothing where it works for a request. */
void trace_context_enter_job(struct thread_state *self, const struct record *job,
                             const _Atomic uint32_t *ends, bool forks);

/* There is a witness: it hears of a job that this thread has claimed. */
void trace_context_tell_claim(const struct record *job, const struct connection *connection,
                              const _Atomic uint32_t *ends, struct slice system,
                              const struct rule_facts *facts);

/* The one job that this process has in work; NULL: there is none, or more than one. In a process
   that serves no requests, and has no witness of jobs, what an event loop does is for that job. The
   caller alone calls it. */
void trace_context_set_sole(const struct record *job);

/* The program was started on behalf of this one: what has no other cause is its child, within the
   bounds of a context, until the process serves a request. Nothing if it is invalid, whatever
   stands beside it; `is_of_job`: on behalf of a job. Called at start. */
void trace_context_set_ambient(struct slice traceparent, struct slice tracestate,
                               struct slice baggage, bool is_of_job, uint64_t now);

/* On whose behalf the thread starts a program, if that is known; changes nothing, and may be asked
   in the child of vfork. In the child of fork it is what trace_context_before_fork found in the
   parent, until an exchange of the child's begins. */
bool trace_context_of_child(struct thread_state *self, uint64_t now, struct child_cause *cause);
/* On whose behalf the call that began at `call_ns` is made, which stores a job on that connection:
   what is certain before the call. */
bool trace_context_of_bytes(struct thread_state *self, const struct connection *connection,
                            uint64_t call_ns, struct child_cause *cause);
/* The thread is about to fork, and is back from there in the parent. */
void trace_context_before_fork(struct thread_state *self);
void trace_context_after_fork(struct thread_state *self);

/* What this thread hands to another one belongs to the same work: a copy for the other thread,
   which may still have as many spans. False: it is not known. */
bool trace_context_lend(struct thread_state *self, struct thread_context *copy);
/* This thread does what was handed to it, until trace_context_give_back. Nothing if it runs an
   event loop, or works for a request or job of its own. */
void trace_context_borrow(struct thread_state *self, const struct thread_context *work);
static inline void trace_context_give_back(struct thread_state *self)
{
    if (self->context.is_lent) {
        self->context.is_lent = false;
        self->context.is_known = false;
    }
}

/* The thread waits for many things: what it does next may belong to any. */
void trace_context_forget(struct thread_state *self);
