/* The plaintext of OpenSSL's sessions. */
#include <errno.h>
#include <limits.h>

#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/hooks/tls.h"
#include "app_thread/observe.h"
#include "app_thread/tls_session.h"

struct ssl_st;
struct bio_st;

/* What else is asked of the library. */
#define HELPERS(HELPER)                                                                            \
    HELPER(int, SSL_get_rfd, (const struct ssl_st *))                                              \
    HELPER(int, SSL_get_wfd, (const struct ssl_st *))                                              \
    HELPER(int, SSL_get_error, (const struct ssl_st *, int))                                       \
    HELPER(int, SSL_is_init_finished, (const struct ssl_st *))                                     \
    HELPER(size_t, SSL_get_client_random, (const struct ssl_st *, unsigned char *, size_t))

struct openssl {
#define HOOK(family, type, name, parameters)
#define STUB(family, type, name, parameters)
#define LIBRARY(family, type, name, parameters) type(*name) parameters;
#define HELPER(type, name, parameters)          type(*name) parameters;
#include "app_thread/hooks/hooks.def"
    HELPERS(HELPER)
#undef LIBRARY
#undef HELPER
};

static const char openssl_names[][32] = {
#define LIBRARY(family, type, name, parameters) #name,
#define HELPER(type, name, parameters)          #name,
#include "app_thread/hooks/hooks.def"
    HELPERS(HELPER)
#undef LIBRARY
#undef HELPER
#undef HOOK
#undef STUB
};

#define FUNCTIONS (sizeof(struct openssl) / sizeof(scope_function *))
_Static_assert(FUNCTIONS == sizeof(openssl_names) / sizeof(openssl_names[0]), "a name for each");
_Static_assert(FUNCTIONS <= SCOPE_FUNCTIONS, "room for each");

struct scope_family tls_openssl = {.names = openssl_names, .count = FUNCTIONS};

/* What the caller means by the name of the function that this stands in. */
#define LIBRARY_OF_CALLER(spare)                                                                   \
    ((const struct openssl *)(const void *)caller_scope_find(&tls_openssl,                         \
                                                             __builtin_return_address(0), (spare)) \
         ->functions)

/* SSL_get_error's answers (ssl.h): the call is to be made again, the peer ended properly, the
   system refused. */
enum { ERROR_SSL = 1, ERROR_SYSCALL = 5, ERROR_ZERO_RETURN = 6 };

static bool is_observed(const struct openssl *library)
{
    return hook_is_on() && !hook_is_aside(&thread_state) && library->SSL_get_rfd != NULL &&
           library->SSL_get_wfd != NULL && library->SSL_get_error != NULL &&
           library->SSL_get_client_random != NULL && library->SSL_is_init_finished != NULL;
}

static bool identify_early(const void *context, void *session, struct tls_identity *identity)
{
    const struct openssl *library = context;
    static const uint8_t none[TLS_RANDOM_BYTES];
    identity->descriptors[0] = library->SSL_get_rfd(session);
    identity->descriptors[1] = library->SSL_get_wfd(session);
    identity->is_certain = true;
    identity->has_random = library->SSL_get_client_random(session, identity->random,
                                                          TLS_RANDOM_BYTES) == TLS_RANDOM_BYTES &&
                           memcmp(identity->random, none, sizeof(none)) != 0;
    return true;
}

static bool identify(const void *context, void *session, struct tls_identity *identity)
{
    const struct openssl *library = context;
    return library->SSL_is_init_finished(session) && identify_early(context, session, identity);
}

static bool touch_session(const struct openssl *library, struct ssl_st *session,
                          struct touch *touch)
{
    return tls_session_touch(&thread_state, session, library, identify, touch);
}

/* Why a call gave nothing: an errno as a call on the socket would have given it, 0 for the end of
   the stream, EAGAIN for "again". */
static int error_of(const struct openssl *library, const struct ssl_st *session, int result,
                    int error)
{
    switch (library->SSL_get_error(session, result)) {
    case ERROR_SYSCALL:
        return result < 0 ? error : 0;
    case ERROR_ZERO_RETURN:
    case ERROR_SSL:
        return 0;
    default:
        return EAGAIN;
    }
}

/* ---- receiving ---- */

static void received(const struct openssl *library, struct ssl_st *session, void *buffer,
                     int result, size_t size)
{
    struct touch touch;
    int error = errno;
    struct iovec iov = {.iov_base = buffer, .iov_len = size};
    if (likely(result > 0)) {
        if (size > 0 && touch_session(library, session, &touch)) {
            observe_plaintext_received(&touch, session, &iov, 1, (ssize_t)size, 0);
        }
    } else if (tls_session_find(session, &touch)) {
        int why = error_of(library, session, result, error);
        iov.iov_len = 1;
        observe_plaintext_received(&touch, session, &iov, 1, why == 0 ? 0 : -1, why);
    }
    errno = error;
}

static int not_there(void)
{
    errno = ENOSYS;
    return -1;
}

EXPORTED int SSL_read(struct ssl_st *session, void *buffer, int size)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_read == NULL)) {
        return not_there();
    }
    int result = library->SSL_read(session, buffer, size);
    if (size > 0 && is_observed(library)) {
        received(library, session, buffer, result, result > 0 ? (size_t)result : 0);
    }
    return result;
}

EXPORTED int SSL_read_ex(struct ssl_st *session, void *buffer, size_t size, size_t *count)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_read_ex == NULL)) {
        not_there();
        return 0;
    }
    int result = library->SSL_read_ex(session, buffer, size, count);
    if (size > 0 && is_observed(library)) {
        received(library, session, buffer, result, result > 0 ? *count : 0);
    }
    return result;
}

/* 0-RTT: the session is not established yet, and says so to nobody. */
static void pass_early(const struct openssl *library, struct ssl_st *session, const void *buffer,
                       size_t size, enum direction_name direction)
{
    struct touch touch;
    int error = errno;
    union {
        const void *borrowed;
        void *base;
    } pointer = {.borrowed = buffer};
    struct iovec iov = {.iov_base = pointer.base, .iov_len = size};
    if (tls_session_touch(&thread_state, session, library, identify_early, &touch)) {
        if (direction == DIRECTION_IN) {
            observe_plaintext_received(&touch, session, &iov, 1, (ssize_t)size, 0);
        } else {
            observe_plaintext_sent(&touch, session, &iov, 1, (ssize_t)size);
        }
    }
    errno = error;
}

EXPORTED int SSL_read_early_data(struct ssl_st *session, void *buffer, size_t size, size_t *count)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_read_early_data == NULL)) {
        not_there();
        return 0;
    }
    int result = library->SSL_read_early_data(session, buffer, size, count);
    if (result != 0 && *count > 0 && is_observed(library)) {
        pass_early(library, session, buffer, *count, DIRECTION_IN);
    }
    return result;
}

EXPORTED int SSL_write_early_data(struct ssl_st *session, const void *buffer, size_t size,
                                  size_t *count)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_write_early_data == NULL)) {
        not_there();
        return 0;
    }
    int result = library->SSL_write_early_data(session, buffer, size, count);
    if (result > 0 && *count > 0 && is_observed(library)) {
        pass_early(library, session, buffer, *count, DIRECTION_OUT);
    }
    return result;
}

/* ---- sending ---- */

struct sending {
    bool is_observed;
    bool has_begun;
    struct iovec iov;
    struct observation seen;
};

static void begin_write(struct sending *sending, const struct openssl *library,
                        struct ssl_st *session, const void *buffer, size_t size)
{
    sending->has_begun = false;
    sending->is_observed = size > 0 && is_observed(library);
    if (!sending->is_observed) {
        return;
    }
    struct touch touch;
    int error = errno;
    union {
        const void *borrowed;
        void *base;
    } pointer = {.borrowed = buffer};
    sending->iov = (struct iovec){.iov_base = pointer.base, .iov_len = size};
    if (likely(touch_session(library, session, &touch))) {
        sending->has_begun =
            observe_plaintext_send_begin(&sending->seen, &touch, session, &sending->iov, 1);
        sending->is_observed = sending->has_begun;
    }
    errno = error;
}

/* `result` as the library gave it, `size` what it says to have sent if that is above 0. */
static void end_write(struct sending *sending, const struct openssl *library,
                      struct ssl_st *session, int result, size_t size)
{
    if (!sending->is_observed) {
        return;
    }
    struct touch touch;
    int error = errno;
    if (likely(sending->has_begun && result > 0)) {
        observe_send_end(&sending->seen, &sending->iov, 1, (ssize_t)size, 0);
    } else if (sending->has_begun) {
        int why = error_of(library, session, result, error);
        observe_send_end(&sending->seen, &sending->iov, 1, -1, why == 0 ? EPROTO : why);
    } else if (result > 0 && touch_session(library, session, &touch)) {
        /* This call made the handshake, too. */
        observe_plaintext_sent(&touch, session, &sending->iov, 1, (ssize_t)size);
    }
    errno = error;
}

EXPORTED int SSL_write(struct ssl_st *session, const void *buffer, int size)
{
    struct scope_library spare;
    struct sending sending;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_write == NULL)) {
        return not_there();
    }
    begin_write(&sending, library, session, buffer, size > 0 ? (size_t)size : 0);
    int result = library->SSL_write(session, buffer, size);
    end_write(&sending, library, session, result, result > 0 ? (size_t)result : 0);
    return result;
}

EXPORTED int SSL_write_ex(struct ssl_st *session, const void *buffer, size_t size, size_t *count)
{
    struct scope_library spare;
    struct sending sending;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_write_ex == NULL)) {
        not_there();
        return 0;
    }
    begin_write(&sending, library, session, buffer, size <= SSIZE_MAX ? size : 0);
    int result = library->SSL_write_ex(session, buffer, size, count);
    end_write(&sending, library, session, result, result > 0 ? *count : 0);
    return result;
}

EXPORTED int SSL_write_ex2(struct ssl_st *session, const void *buffer, size_t size, uint64_t flags,
                           size_t *count)
{
    struct scope_library spare;
    struct sending sending;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_write_ex2 == NULL)) {
        not_there();
        return 0;
    }
    begin_write(&sending, library, session, buffer, size <= SSIZE_MAX ? size : 0);
    int result = library->SSL_write_ex2(session, buffer, size, flags, count);
    end_write(&sending, library, session, result, result > 0 ? *count : 0);
    return result;
}

/* The kernel encrypts: the bytes of the file pass through nobody's memory. */
EXPORTED ssize_t SSL_sendfile(struct ssl_st *session, int fd, off_t offset, size_t size, int flags)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_sendfile == NULL)) {
        return not_there();
    }
    ssize_t result = library->SSL_sendfile(session, fd, offset, size, flags);
    struct touch touch;
    if (result > 0 && is_observed(library)) {
        int error = errno;
        if (touch_session(library, session, &touch)) {
            observe_plaintext_unseen(&touch, session, DIRECTION_OUT, result);
        }
        errno = error;
    }
    return result;
}

/* ---- the life of a session ---- */

static void shook_hands(const struct openssl *library, struct ssl_st *session, int result)
{
    struct touch touch;
    if (result > 0 && is_observed(library)) {
        int error = errno;
        touch_session(library, session, &touch);
        errno = error;
    }
}

EXPORTED int SSL_do_handshake(struct ssl_st *session)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_do_handshake == NULL)) {
        return not_there();
    }
    int result = library->SSL_do_handshake(session);
    shook_hands(library, session, result);
    return result;
}

EXPORTED int SSL_connect(struct ssl_st *session)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_connect == NULL)) {
        return not_there();
    }
    int result = library->SSL_connect(session);
    shook_hands(library, session, result);
    return result;
}

EXPORTED int SSL_accept(struct ssl_st *session)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    if (unlikely(library->SSL_accept == NULL)) {
        return not_there();
    }
    int result = library->SSL_accept(session);
    shook_hands(library, session, result);
    return result;
}

/* What is known of a session ends where it gets another transport, begins again, or is freed. */
static void forget(const struct ssl_st *session)
{
    if (hook_is_on() && !hook_is_aside(&thread_state)) {
        tls_session_forget(session);
    }
}

EXPORTED int SSL_set_fd(struct ssl_st *session, int fd)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    forget(session);
    return library->SSL_set_fd != NULL ? library->SSL_set_fd(session, fd) : (not_there(), 0);
}

EXPORTED int SSL_set_rfd(struct ssl_st *session, int fd)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    forget(session);
    return library->SSL_set_rfd != NULL ? library->SSL_set_rfd(session, fd) : (not_there(), 0);
}

EXPORTED int SSL_set_wfd(struct ssl_st *session, int fd)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    forget(session);
    return library->SSL_set_wfd != NULL ? library->SSL_set_wfd(session, fd) : (not_there(), 0);
}

EXPORTED void SSL_set_bio(struct ssl_st *session, struct bio_st *in, struct bio_st *out)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    forget(session);
    if (library->SSL_set_bio != NULL) {
        library->SSL_set_bio(session, in, out);
    }
}

EXPORTED void SSL_set0_rbio(struct ssl_st *session, struct bio_st *bio)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    forget(session);
    if (library->SSL_set0_rbio != NULL) {
        library->SSL_set0_rbio(session, bio);
    }
}

EXPORTED void SSL_set0_wbio(struct ssl_st *session, struct bio_st *bio)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    forget(session);
    if (library->SSL_set0_wbio != NULL) {
        library->SSL_set0_wbio(session, bio);
    }
}

EXPORTED int SSL_clear(struct ssl_st *session)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    forget(session);
    return library->SSL_clear != NULL ? library->SSL_clear(session) : (not_there(), 0);
}

EXPORTED void SSL_free(struct ssl_st *session)
{
    struct scope_library spare;
    const struct openssl *library = LIBRARY_OF_CALLER(&spare);
    forget(session);
    if (library->SSL_free != NULL) {
        library->SSL_free(session);
    }
}
