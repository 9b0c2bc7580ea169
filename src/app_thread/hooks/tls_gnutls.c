/* The plaintext of GnuTLS's sessions. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/hooks/tls.h"

struct gnutls_session_int;
struct mbuffer_st;
struct datum { /* gnutls_datum_t */
    unsigned char *data;
    unsigned size;
};

/* What else is asked of the library. */
#define HELPERS(HELPER)                                                                            \
    HELPER(void, gnutls_transport_get_ptr2, (struct gnutls_session_int *, void **, void **))       \
    HELPER(void, gnutls_session_get_random,                                                        \
           (struct gnutls_session_int *, struct datum *, struct datum *))                          \
    HELPER(void, gnutls_packet_get, (struct mbuffer_st *, struct datum *, unsigned char *))

#define HOOK(family, type, name, parameters)
#define STUB(family, type, name, parameters)
#define LIBRARY(family, type, name, parameters) LIBRARY_##family(type, name, parameters)
#define LIBRARY_openssl(type, name, parameters)
#define LIBRARY_libcurl(type, name, parameters)
#define LIBRARY_hiredis(type, name, parameters)

#define LIBRARY_gnutls(type, name, parameters) type(*name) parameters;
struct gnutls {
#include "app_thread/hooks/hooks.def"
    HELPERS(LIBRARY_gnutls)
};
#undef LIBRARY_gnutls

#define LIBRARY_gnutls(type, name, parameters) #name,
static const char gnutls_names[][SCOPE_NAME_BYTES] = {
#include "app_thread/hooks/hooks.def"
    HELPERS(LIBRARY_gnutls)};
#undef LIBRARY_gnutls
#undef LIBRARY_openssl
#undef LIBRARY_libcurl
#undef LIBRARY_hiredis
#undef LIBRARY
#undef HOOK
#undef STUB

#define FUNCTIONS (sizeof(struct gnutls) / sizeof(scope_function *))
_Static_assert(FUNCTIONS == sizeof(gnutls_names) / sizeof(gnutls_names[0]), "a name for each");
_Static_assert(FUNCTIONS <= SCOPE_FUNCTIONS, "room for each");

struct scope_family tls_gnutls = {.names = gnutls_names, .count = FUNCTIONS};

/* What the caller means by the name of the function that this stands in, as `library`. */
#define LIBRARY_OF_CALLER                                                                          \
    SCOPE_OF_CALLER(&tls_gnutls, session);                                                         \
    const struct gnutls *library = (const void *)scope->functions;                                 \
    bool is_inner = scope->calls_itself || caller_scope_is_ours(return_address)

/* The library calls its own functions by their names: those calls are parts of the program's. */
static bool is_observed(bool is_inner, const struct gnutls *library)
{
    return !is_inner && tls_is_observed() && library->gnutls_transport_get_ptr2 != NULL &&
           library->gnutls_session_get_random != NULL;
}

/* A transport that is a descriptor is kept as a pointer, and so is any other: a small number is the
   one, but only if the session's ClientHello passed it. */
static int descriptor_of(const void *transport)
{
    return (uintptr_t)transport < LIMIT_DESCRIPTORS ? (int)(uintptr_t)transport : -1;
}

static bool identify(const void *context, void *session, struct tls_identity *identity)
{
    const struct gnutls *library = context;
    void *in = NULL;
    void *out = NULL;
    struct datum client = {NULL, 0};
    struct datum server = {NULL, 0};
    library->gnutls_transport_get_ptr2(session, &in, &out);
    identity->descriptors[0] = descriptor_of(in);
    identity->descriptors[1] = descriptor_of(out);
    identity->is_certain = false;
    library->gnutls_session_get_random(session, &client, &server);
    identity->has_random = client.data != NULL && client.size == TLS_RANDOM_BYTES;
    if (identity->has_random) {
        memcpy(identity->random, client.data, TLS_RANDOM_BYTES);
    }
    return true;
}

static struct tls_call call_of(const struct gnutls *library, struct gnutls_session_int *session)
{
    return (struct tls_call){library, session, identify};
}

/* gnutls.h */
enum {
    WARNING_ALERT_RECEIVED = -16,
    AGAIN = -28,
    REHANDSHAKE = -37,
    INTERRUPTED = -52,
    PUSH_ERROR = -53,
    PULL_ERROR = -54,
    GOT_APPLICATION_DATA = -38,
    REAUTH_REQUEST = -81
};

/* Why a call gave nothing, as an errno; 0: the end of the stream. */
static int error_of(ssize_t result)
{
    switch (result) {
    case WARNING_ALERT_RECEIVED:
    case AGAIN:
    case REHANDSHAKE:
    case INTERRUPTED:
    case GOT_APPLICATION_DATA:
    case REAUTH_REQUEST:
        return EAGAIN;
    case PUSH_ERROR:
    case PULL_ERROR:
        return errno;
    default:
        return 0;
    }
}

/* ---- receiving ---- */

static void received(const struct gnutls *library, struct gnutls_session_int *session, void *bytes,
                     ssize_t result)
{
    struct tls_call call = call_of(library, session);
    if (result > 0) {
        tls_received(&call, bytes, result, 0);
    } else {
        int why = error_of(result);
        tls_received(&call, bytes, why == 0 ? 0 : -1, why);
    }
}

EXPORTED ssize_t gnutls_record_recv(struct gnutls_session_int *session, void *bytes, size_t size)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->gnutls_record_recv == NULL)) {
        return tls_not_there();
    }
    ssize_t result = library->gnutls_record_recv(session, bytes, size);
    if (size > 0 && is_observed(is_inner, library)) {
        received(library, session, bytes, result);
    }
    return result;
}

EXPORTED ssize_t gnutls_record_recv_seq(struct gnutls_session_int *session, void *bytes,
                                        size_t size, unsigned char *sequence)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->gnutls_record_recv_seq == NULL)) {
        return tls_not_there();
    }
    ssize_t result = library->gnutls_record_recv_seq(session, bytes, size, sequence);
    if (size > 0 && is_observed(is_inner, library)) {
        received(library, session, bytes, result);
    }
    return result;
}

EXPORTED ssize_t gnutls_record_recv_packet(struct gnutls_session_int *session,
                                           struct mbuffer_st **packet)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->gnutls_record_recv_packet == NULL)) {
        return tls_not_there();
    }
    ssize_t result = library->gnutls_record_recv_packet(session, packet);
    if (library->gnutls_packet_get != NULL && is_observed(is_inner, library)) {
        struct datum datum = {NULL, 0};
        if (result > 0) {
            library->gnutls_packet_get(*packet, &datum, NULL);
            result = (ssize_t)datum.size == result ? result : 0;
        }
        received(library, session, datum.data, result);
    }
    return result;
}

EXPORTED ssize_t gnutls_record_recv_early_data(struct gnutls_session_int *session, void *bytes,
                                               size_t size)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->gnutls_record_recv_early_data == NULL)) {
        return tls_not_there();
    }
    ssize_t result = library->gnutls_record_recv_early_data(session, bytes, size);
    if (result > 0 && is_observed(is_inner, library)) {
        received(library, session, bytes, result);
    }
    return result;
}

/* ---- sending ---- */

/* A part of what it is given, and then what it remembers, wherever that lies by now. */
static unsigned ask_ways(const struct tls_writer *writer)
{
    bool pads = writer->flags >> 32 != 0;
    return TLS_TAKES_RECORDS | TLS_MAY_MOVE | (pads ? TLS_HAS_NO_ROOM : 0u);
}

static ssize_t write_plain(const struct tls_writer *writer, const void *bytes, size_t size,
                           size_t *count)
{
    const struct gnutls *library = writer->call.library;
    ssize_t result = library->gnutls_record_send(writer->call.session, bytes, size);
    *count = result > 0 ? (size_t)result : 0;
    return result;
}

static ssize_t write_padded(const struct tls_writer *writer, const void *bytes, size_t size,
                            size_t *count)
{
    const struct gnutls *library = writer->call.library;
    ssize_t result = library->gnutls_record_send2(
        writer->call.session, bytes, size, (size_t)(writer->flags >> 32), (unsigned)writer->flags);
    *count = result > 0 ? (size_t)result : 0;
    return result;
}

static const struct tls_writing writing_plain = {write_plain, identify, ask_ways};
static const struct tls_writing writing_padded = {write_padded, identify, ask_ways};

static void begin_send(struct tls_sending *sending, const struct tls_writer *writer, bool is_inner,
                       const void *bytes, size_t size)
{
    bool is_wanted = size <= SSIZE_MAX && is_observed(is_inner, writer->call.library);
    if (is_inner) {
        tls_send_begin(sending, &writer->call, bytes, 0);
    } else {
        tls_send_begin_inserting(sending, writer, bytes, size, is_wanted);
    }
}

static void end_send(struct tls_sending *sending, const struct tls_writer *writer, bool is_inner,
                     const void *bytes, ssize_t result)
{
    int why = result > 0 ? 0 : error_of(result);
    why = why == 0 ? EPROTO : why;
    if (likely(bytes != NULL || sending->copy != NULL)) {
        tls_send_end(sending, &writer->call, result > 0 ? result : -1, why);
    } else if (is_observed(is_inner, writer->call.library)) {
        /* What an earlier call could not send, and there was no room for a copy. */
        tls_unseen(&writer->call, DIRECTION_OUT, result);
    }
    if (unlikely(sending->insertion != NULL)) {
        tls_insertion_settle(sending, writer, result, why);
    }
    if (unlikely(sending->copy != NULL || (result <= 0 && why == EAGAIN))) {
        tls_copy_settle(sending, writer, result > 0 ? 0 : why);
    }
}

static SLOW ssize_t send_longer(struct tls_sending *sending, const struct tls_writer *writer,
                                const void *bytes, size_t size)
{
    size_t count;
    ssize_t result = tls_send_longer(sending, writer, bytes, size, &count);
    return result > 0 ? (ssize_t)count : result;
}

EXPORTED ssize_t gnutls_record_send(struct gnutls_session_int *session, const void *bytes,
                                    size_t size)
{
    LIBRARY_OF_CALLER;
    struct tls_sending sending;
    if (unlikely(library->gnutls_record_send == NULL)) {
        return tls_not_there();
    }
    struct tls_writer writer = {call_of(library, session), &writing_plain, 0};
    begin_send(&sending, &writer, is_inner, bytes, size);
    ssize_t result = likely(sending.insertion == NULL)
                         ? library->gnutls_record_send(session, bytes, size)
                         : send_longer(&sending, &writer, bytes, size);
    end_send(&sending, &writer, is_inner, bytes, result);
    return result;
}

EXPORTED ssize_t gnutls_record_send2(struct gnutls_session_int *session, const void *bytes,
                                     size_t size, size_t padding, unsigned flags)
{
    LIBRARY_OF_CALLER;
    struct tls_sending sending;
    if (unlikely(library->gnutls_record_send2 == NULL)) {
        return tls_not_there();
    }
    is_inner = is_inner || padding > UINT32_MAX; /* no record has that much: the library says so */
    struct tls_writer writer = {call_of(library, session), &writing_padded,
                                (uint64_t)padding << 32 | flags};
    begin_send(&sending, &writer, is_inner, bytes, size);
    ssize_t result = likely(sending.insertion == NULL)
                         ? library->gnutls_record_send2(session, bytes, size, padding, flags)
                         : send_longer(&sending, &writer, bytes, size);
    end_send(&sending, &writer, is_inner, bytes, result);
    return result;
}

EXPORTED ssize_t gnutls_record_send_range(struct gnutls_session_int *session, const void *bytes,
                                          size_t size, const void *range)
{
    LIBRARY_OF_CALLER;
    struct tls_sending sending;
    if (unlikely(library->gnutls_record_send_range == NULL)) {
        return tls_not_there();
    }
    /* The range is of lengths: nothing may be added. */
    struct tls_writer writer = {call_of(library, session), &writing_plain, 0};
    bool is_wanted = bytes != NULL && size <= SSIZE_MAX && is_observed(is_inner, library);
    tls_send_begin(&sending, &writer.call, bytes, is_wanted ? size : 0);
    ssize_t result = library->gnutls_record_send_range(session, bytes, size, range);
    end_send(&sending, &writer, is_inner, bytes, result);
    return result;
}

EXPORTED ssize_t gnutls_record_send_file(struct gnutls_session_int *session, int fd, off_t *offset,
                                         size_t size)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->gnutls_record_send_file == NULL)) {
        return tls_not_there();
    }
    ssize_t result = library->gnutls_record_send_file(session, fd, offset, size);
    if (is_observed(is_inner, library)) {
        struct tls_call call = call_of(library, session);
        tls_unseen(&call, DIRECTION_OUT, result);
    }
    return result;
}

/* ---- the life of a session ---- */

EXPORTED int gnutls_handshake(struct gnutls_session_int *session)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->gnutls_handshake == NULL)) {
        return tls_not_there();
    }
    int result = library->gnutls_handshake(session);
    if (result == 0 && is_observed(is_inner, library)) {
        struct tls_call call = call_of(library, session);
        tls_shook_hands(&call);
    }
    return result;
}

EXPORTED void gnutls_transport_set_ptr(struct gnutls_session_int *session, void *transport)
{
    LIBRARY_OF_CALLER;
    (void)is_inner;
    tls_forget(session);
    if (library->gnutls_transport_set_ptr != NULL) {
        library->gnutls_transport_set_ptr(session, transport);
    }
}

EXPORTED void gnutls_transport_set_ptr2(struct gnutls_session_int *session, void *in, void *out)
{
    LIBRARY_OF_CALLER;
    (void)is_inner;
    tls_forget(session);
    if (library->gnutls_transport_set_ptr2 != NULL) {
        library->gnutls_transport_set_ptr2(session, in, out);
    }
}

EXPORTED void gnutls_transport_set_int2(struct gnutls_session_int *session, int in, int out)
{
    LIBRARY_OF_CALLER;
    (void)is_inner;
    tls_forget(session);
    if (library->gnutls_transport_set_int2 != NULL) {
        library->gnutls_transport_set_int2(session, in, out);
    }
}

EXPORTED void gnutls_deinit(struct gnutls_session_int *session)
{
    LIBRARY_OF_CALLER;
    (void)is_inner;
    tls_forget(session);
    if (library->gnutls_deinit != NULL) {
        library->gnutls_deinit(session);
    }
}
