#include "app_thread/hooks/tls.h"

#include <errno.h>

#include "app_thread/hooks/hook.h"

bool tls_is_observed(void)
{
    return hook_is_on() && !hook_is_aside(&thread_state);
}

static bool touch_session(const struct tls_call *call, struct touch *touch)
{
    return tls_session_touch(&thread_state, call->session, call->library, call->identify, touch);
}

static struct iovec iovec_of(const void *bytes, size_t size)
{
    union {
        const void *borrowed;
        void *base;
    } pointer = {.borrowed = bytes};
    return (struct iovec){.iov_base = pointer.base, .iov_len = size};
}

void tls_send_begin(struct tls_sending *sending, const struct tls_call *call, const void *bytes,
                    size_t size)
{
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
