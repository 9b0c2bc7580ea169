#include "app_thread/hooks/tls.h"

#include <errno.h>
#include <string.h>

#include "app_thread/exchange.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/readable.h"

bool tls_is_observed(void)
{
    return hook_is_on() && !hook_is_aside(&thread_state);
}

static bool touch_session(const struct tls_call *call, struct touch *touch)
{
    return tls_session_touch(&thread_state, call->session, call->library, call->identify, touch);
}

void tls_send_begin(struct tls_sending *sending, const struct tls_call *call, const void *bytes,
                    size_t size)
{
    sending->insertion = NULL;
    sending->copy = NULL;
    sending->has_begun = false;
    sending->is_observed = size > 0 && tls_is_observed();
    if (!sending->is_observed) {
        return;
    }
    struct touch touch;
    int error = errno;
    sending->iov = iovec_of(bytes, size);
    if (likely(touch_session(call, &touch))) {
        sending->has_begun =
            observe_plaintext_send_begin(&sending->seen, &touch, call->session, &sending->iov, 1);
        sending->is_observed = sending->has_begun;
    }
    errno = error;
}

void tls_send_end(struct tls_sending *sending, const struct tls_call *call, ssize_t result,
                  int error)
{
    if (!sending->is_observed) {
        return;
    }
    struct touch touch;
    int kept = errno;
    if (likely(sending->has_begun)) {
        observe_send_end(&sending->seen, &sending->iov, 1, result, error);
    } else if (result > 0 && touch_session(call, &touch)) {
        /* This call made the handshake, too. */
        observe_plaintext_sent(&touch, call->session, &sending->iov, 1, result);
    }
    errno = kept;
}

/* ---- inserting ---- */

/* The random bytes tell a session from another one that had its address. */
static bool ask_random(const struct tls_writer *writer, uint8_t random[TLS_RANDOM_BYTES])
{
    struct tls_identity identity;
    if (!writer->writing->identify(writer->call.library, writer->call.session, &identity) ||
        !identity.has_random) {
        return false;
    }
    memcpy(random, identity.random, TLS_RANDOM_BYTES);
    return true;
}

static void count_lost_span(struct tls_insertion *insertion)
{
    if (insertion->names_span) {
        insertion->names_span = false;
        exchange_count_loss(LOSS_ABANDONED);
    }
}

/* What an earlier call left. The library must not be called with other bytes than it has a part of:
   where the program calls it so, it is to judge that itself. False then: with those bytes. */
static SLOW bool take_kept(struct tls_sending *sending, const struct tls_writer *writer,
                           const void *bytes, size_t size)
{
    uint8_t random[TLS_RANDOM_BYTES];
    if (!tls_insertion_is_kept(writer->call.session) || !ask_random(writer, random)) {
        return true;
    }
    struct tls_insertion *kept = tls_insertion_take(writer->call.session, random);
    if (kept == NULL) {
        return true;
    }
    if (kept->is_copy) {
        sending->copy = kept;
        return false;
    }
    sending->ways = (uint8_t)writer->writing->ask_ways(writer);
    bool may_move = (sending->ways & TLS_MAY_MOVE) != 0;
    if (bytes == NULL || (size >= kept->own && (may_move || bytes == kept->given))) {
        sending->insertion = kept;
        sending->copy = bytes == NULL ? tls_insertion_copy_own(kept) : NULL;
        return true;
    }
    count_lost_span(kept);
    tls_insertion_end(kept);
    return false;
}

static SLOW void begin_insertion(struct tls_sending *sending, const struct tls_writer *writer)
{
    uint8_t random[TLS_RANDOM_BYTES];
    struct injection *injection = &sending->seen.injection;
    struct slice bytes = slice_of(sending->iov.iov_base, sending->iov.iov_len);
    sending->ways = (uint8_t)writer->writing->ask_ways(writer);
    if (!(sending->ways & TLS_HAS_NO_ROOM) && ask_random(writer, random)) {
        sending->insertion = tls_insertion_begin(&sending->seen.touch, random, injection, bytes,
                                                 (sending->ways & TLS_TAKES_RECORDS) != 0);
    }
    if (sending->insertion == NULL) {
        /* With ids of its own then, or, framed by now, with those that nobody was told. */
        exchange_drop_plan(&injection->preview.plan);
        injection->preview.is_planned = false;
        sending->seen.step = SEND_LOOKED_AT;
    }
}

void tls_send_begin_inserting(struct tls_sending *sending, const struct tls_writer *writer,
                              const void *bytes, size_t size, bool is_observed)
{
    const struct tls_call *call = &writer->call;
    struct touch touch;
    bool may_insert = true;
    int error = errno;
    sending->has_begun = false;
    sending->insertion = NULL;
    sending->copy = NULL;
    if (unlikely(atomic_load_explicit(&tls_insertions_kept, memory_order_relaxed) > 0)) {
        may_insert = take_kept(sending, writer, bytes, size);
    }
    const struct tls_insertion *kept = sending->insertion;
    if (unlikely(sending->copy != NULL)) {
        bytes = sending->copy->bytes;
        size = sending->copy->own;
    }
    sending->is_observed = size > 0 && bytes != NULL && is_observed;
    sending->iov = iovec_of(bytes, size);
    if (!sending->is_observed || unlikely(!touch_session(call, &touch))) {
        /* Nothing to be seen, or not yet. */
    } else if (likely(may_insert && (kept == NULL || kept->names_span))) {
        sending->has_begun = observe_plaintext_send_begin_inserting(
            &sending->seen, &touch, call->session, &sending->iov,
            kept == NULL ? NULL : &kept->identity);
        sending->is_observed = sending->has_begun;
        if (unlikely(sending->seen.step == SEND_INSERTING) && sending->has_begun && kept == NULL) {
            begin_insertion(sending, writer);
        }
    } else {
        sending->has_begun =
            observe_plaintext_send_begin(&sending->seen, &touch, call->session, &sending->iov, 1);
        sending->is_observed = sending->has_begun;
    }
    errno = error;
}

/* Our bytes, as far as the library takes them: its refusal, or above 0. `*goes_on`: so would the
   library with the program's. */
static ssize_t send_inserted(struct tls_insertion *insertion, unsigned ways,
                             const struct tls_writer *writer, bool *goes_on)
{
    bool was_left = insertion->was_kept;
    *goes_on = !(ways & TLS_TAKES_RECORDS) || ((ways & TLS_GOES_ON) && was_left);
    while (insertion->sent < insertion->size) {
        size_t count = 0;
        ssize_t result = writer->writing->write(writer, insertion->bytes + insertion->sent,
                                                insertion->size - insertion->sent, &count);
        if (result <= 0) {
            return result;
        }
        if (insertion->sent == 0 && (ways & TLS_TAKES_RECORDS)) {
            tls_insertion_cut(insertion, count);
        }
        insertion->sent += (uint32_t)count;
        *goes_on = *goes_on && (!(ways & TLS_TAKES_RECORDS) || was_left);
        was_left = false;
    }
    return 1;
}

SLOW ssize_t tls_send_longer(struct tls_sending *sending, const struct tls_writer *writer,
                             const void *bytes, size_t size, size_t *count)
{
    struct tls_insertion *insertion = sending->insertion;
    size_t rest = 0;
    bool goes_on;
    ssize_t result = send_inserted(insertion, sending->ways, writer, &goes_on);
    if (result > 0 && goes_on && size > insertion->own) {
        result = writer->writing->write(writer, (const uint8_t *)bytes + insertion->own,
                                        size - insertion->own, &rest);
    }
    *count = insertion->own + rest;
    return result;
}

SLOW void tls_insertion_settle(struct tls_sending *sending, const struct tls_writer *writer,
                               ssize_t result, int error)
{
    struct tls_insertion *insertion = sending->insertion;
    bool was_planned = sending->has_begun && sending->seen.step == SEND_INSERTING;
    if (was_planned && (result > 0 || error != EAGAIN)) {
        insertion->names_span = false;
    }
    if (result <= 0) {
        tls_insertion_keep(insertion, writer->call.session);
        return;
    }
    count_lost_span(insertion);
    tls_insertion_end(insertion);
}

SLOW void tls_copy_settle(struct tls_sending *sending, const struct tls_writer *writer, int error)
{
    uint8_t random[TLS_RANDOM_BYTES];
    if (sending->copy == NULL && sending->insertion == NULL && sending->has_begun &&
        ask_random(writer, random)) {
        sending->copy = tls_insertion_copy(&sending->seen.touch, random,
                                           slice_of(sending->iov.iov_base, sending->iov.iov_len));
    }
    if (sending->copy == NULL) {
        return;
    }
    /* That of an insertion's is made again. */
    if (error == EAGAIN && sending->insertion == NULL) {
        tls_insertion_keep(sending->copy, writer->call.session);
    } else {
        tls_insertion_end(sending->copy);
    }
}

void tls_unseen(const struct tls_call *call, enum direction_name direction, ssize_t result)
{
    struct touch touch;
    int error = errno;
    if (result > 0 && touch_session(call, &touch)) {
        observe_plaintext_unseen(&touch, call->session, direction, result);
    }
    errno = error;
}

void tls_received(const struct tls_call *call, void *bytes, ssize_t result, int error)
{
    struct touch touch;
    int kept = errno;
    struct iovec iov = {.iov_base = bytes, .iov_len = result > 0 ? (size_t)result : 1};
    if (result > 0 ? touch_session(call, &touch) : tls_session_find(call->session, &touch)) {
        observe_plaintext_received(&touch, call->session, &iov, 1, result, error);
    }
    errno = kept;
}

void tls_shook_hands(const struct tls_call *call)
{
    struct touch touch;
    int error = errno;
    touch_session(call, &touch);
    errno = error;
}

void tls_forget(const void *session)
{
    if (tls_is_observed()) {
        tls_session_forget(session);
    }
}

void tls_forget_if_other(const void *session, const uint8_t random[TLS_RANDOM_BYTES])
{
    struct touch touch;
    if (tls_session_find(session, &touch) && !tls_session_is_hello(touch.connection, random)) {
        tls_session_forget(session);
    }
}

int tls_not_there(void)
{
    errno = ENOSYS;
    return -1;
}
