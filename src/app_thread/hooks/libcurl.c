/* What libcurl knows of the transfers whose bytes pass below it: a handle is asked when its
   transfer has ended, on the thread that has it at hand. While it runs, the handle's list of header
   fields may be ours (app_thread/announcement.h); nothing else is set on the program's handles. */
#include "app_thread/hooks/libcurl.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "app_thread/announcement.h"
#include "app_thread/clock.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/inject.h"
#include "app_thread/transfer.h"
#include "app_thread/witness.h"

struct Curl_easy;
struct Curl_multi;

/* What else is asked of the library. */
#define HELPERS(HELPER) HELPER(int, curl_easy_getinfo, (struct Curl_easy *, int, ...))

#define HOOK(family, type, name, parameters)
#define STUB(family, type, name, parameters)
#define LIBRARY(family, type, name, parameters) LIBRARY_##family(type, name, parameters)
#define LIBRARY_openssl(type, name, parameters)
#define LIBRARY_gnutls(type, name, parameters)
#define LIBRARY_hiredis(type, name, parameters)

#define LIBRARY_libcurl(type, name, parameters) type(*name) parameters;
struct libcurl {
#include "app_thread/hooks/hooks.def"
    HELPERS(LIBRARY_libcurl)
};
#undef LIBRARY_libcurl

#define LIBRARY_libcurl(type, name, parameters) #name,
static const char libcurl_names[][SCOPE_NAME_BYTES] = {
#include "app_thread/hooks/hooks.def"
    HELPERS(LIBRARY_libcurl)};
#undef LIBRARY_libcurl
#undef LIBRARY_openssl
#undef LIBRARY_gnutls
#undef LIBRARY_hiredis
#undef LIBRARY
#undef HOOK
#undef STUB

#define FUNCTIONS (sizeof(struct libcurl) / sizeof(scope_function *))
_Static_assert(FUNCTIONS == sizeof(libcurl_names) / sizeof(libcurl_names[0]), "a name for each");
_Static_assert(FUNCTIONS <= SCOPE_FUNCTIONS, "room for each");

struct scope_family libcurl_family = {.names = libcurl_names, .count = FUNCTIONS};

/* What the caller means by the name of the function that this stands in, as `library`. libcurl
   calls its own functions by their names: those calls are parts of the program's. */
#define LIBRARY_OF_CALLER                                                                          \
    SCOPE_OF_CALLER(&libcurl_family, NULL);                                                        \
    const struct libcurl *library = (const void *)scope->functions;                                \
    bool is_observed = !caller_scope_is_inner(scope, return_address) &&                            \
                       library->curl_easy_getinfo != NULL && hook_is_on() &&                       \
                       !hook_is_aside(&thread_state)

/* ---- asking ---- */

static uint64_t ask_number(const struct libcurl *library, struct Curl_easy *easy, int what)
{
    if (what >= CURL_SENT) {
        int64_t large = 0;
        return library->curl_easy_getinfo(easy, what, &large) == 0 && large > 0 ? (uint64_t)large
                                                                                : 0;
    }
    long number = 0;
    return library->curl_easy_getinfo(easy, what, &number) == 0 && number > 0 ? (uint64_t)number
                                                                              : 0;
}

static uint32_t ask_time(const struct libcurl *library, struct Curl_easy *easy, int what)
{
    uint64_t time = ask_number(library, easy, what);
    return time < UINT32_MAX ? (uint32_t)time : UINT32_MAX;
}

static uint8_t ask_count(const struct libcurl *library, struct Curl_easy *easy, int what)
{
    uint64_t count = ask_number(library, easy, what);
    return count < UINT8_MAX ? (uint8_t)count : UINT8_MAX;
}

static uint16_t ask_short(const struct libcurl *library, struct Curl_easy *easy, int what)
{
    uint64_t number = ask_number(library, easy, what);
    return number <= UINT16_MAX ? (uint16_t)number : 0;
}

static struct slice ask_text(const struct libcurl *library, struct Curl_easy *easy, int what)
{
    const char *text = NULL;
    if (library->curl_easy_getinfo(easy, what, &text) != 0 || text == NULL) {
        return (struct slice){NULL, 0};
    }
    return slice_of(text, strlen(text));
}

static int ask_socket(const struct libcurl *library, struct Curl_easy *easy)
{
    int descriptor = -1;
    return library->curl_easy_getinfo(easy, CURL_SOCKET, &descriptor) == 0 ? descriptor : -1;
}

static enum transfer_version ask_version(const struct libcurl *library, struct Curl_easy *easy)
{
    switch (ask_number(library, easy, CURL_VERSION)) {
    case CURL_HTTP10:
    case CURL_HTTP11:
        return TRANSFER_HTTP1;
    case CURL_HTTP2:
        return TRANSFER_HTTP2;
    case CURL_HTTP3:
        return TRANSFER_HTTP3;
    default:
        return TRANSFER_UNKNOWN;
    }
}

static enum record_error error_of(int result)
{
    switch (result) {
    case 0:
        return RECORD_OK;
    case CURL_NO_RESOLVE:
        return RECORD_ERROR_HOST_NOT_FOUND;
    case CURL_NO_CONNECT:
        return RECORD_ERROR_REFUSED;
    case CURL_HTTP2_ERROR:
    case CURL_STREAM_ERROR:
        return RECORD_ERROR_PROTOCOL;
    case CURL_PARTIAL:
    case CURL_NOTHING:
        return RECORD_ERROR_EOF;
    case CURL_TIMED_OUT:
        return RECORD_ERROR_TIMEOUT;
    case CURL_WRITE_ERROR:
    case CURL_ABORTED:
        return RECORD_ERROR_CANCELLED;
    case CURL_SEND_ERROR:
    case CURL_RECV_ERROR:
        return RECORD_ERROR_RESET;
    default:
        return RECORD_ERROR_OTHER;
    }
}

/* A transfer that ended before there was an answer: by datagrams, if it was to be made so alone.
   Then no socket that is observed tells of it. A name that was not found has its own span. */
static SLOW bool is_by_datagrams(const struct Curl_easy *easy, int result)
{
    const struct curl_handle *handle = announcement_handle(easy, false);
    return result != CURL_NO_RESOLVE && handle != NULL && handle->version == CURL_WANTS_HTTP3_ALONE;
}

/* A transfer of that handle has ended. */
static SLOW void tell(const struct libcurl *library, struct Curl_easy *easy, int result,
                      uint64_t end_ns)
{
    struct transfer_facts facts = {
        .numbers = {.name_us = ask_time(library, easy, CURL_NAME_US),
                    .connect_us = ask_time(library, easy, CURL_CONNECT_US),
                    .tls_us = ask_time(library, easy, CURL_TLS_US),
                    .ready_us = ask_time(library, easy, CURL_READY_US),
                    .first_byte_us = ask_time(library, easy, CURL_FIRST_BYTE_US),
                    .total_us = ask_time(library, easy, CURL_TOTAL_US),
                    .redirect_us = ask_time(library, easy, CURL_REDIRECT_US),
                    .redirects = ask_count(library, easy, CURL_REDIRECTS),
                    .connects = ask_count(library, easy, CURL_CONNECTS),
                    .version = (uint8_t)ask_version(library, easy),
                    .result = result > 0 && result < UINT8_MAX ? (uint8_t)result : 0},
        .status = ask_short(library, easy, CURL_STATUS),
        .descriptor = ask_socket(library, easy),
        .ports = {ask_short(library, easy, CURL_LOCAL_PORT),
                  ask_short(library, easy, CURL_PEER_PORT)},
        .method = ask_text(library, easy, CURL_METHOD),
        .url = ask_text(library, easy, CURL_URL),
        .sent = ask_number(library, easy, CURL_SENT),
        .received = ask_number(library, easy, CURL_RECEIVED),
        .end_ns = end_ns,
        .error = error_of(result),
    };
    if (unlikely(result != 0 && facts.numbers.version == TRANSFER_UNKNOWN &&
                 is_by_datagrams(easy, result))) {
        facts.numbers.version = TRANSFER_HTTP3;
    }
    struct trace_identity announced;
    bool was_seen;
    if (announcement_ids(easy, &announced, &was_seen)) {
        facts.announced = &announced;
        facts.is_unseen = !was_seen && ask_number(library, easy, CURL_REQUEST_BYTES) > 0;
    }
    uint64_t total_ns = UINT64_C(1000) * facts.numbers.total_us;
    facts.start_ns = total_ns < end_ns ? end_ns - total_ns : end_ns;
    transfer_tell(&thread_state, &facts);
}

/* ---- announcing a context ---- */

static bool has_scheme(struct slice url, struct slice scheme)
{
    return url.size > scheme.size &&
           slice_equals_ignoring_case(slice_of(url.data, scheme.size), scheme);
}

/* What is sent cannot be read, or it may be so: HTTP/2 and 3 are agreed upon over TLS. Takes the
   scheme away. */
static bool may_be_opaque(const struct curl_handle *handle, struct slice *url)
{
    if (has_scheme(*url, SLICE("https://"))) {
        slice_take(url, sizeof("https://") - 1);
        return handle->version != CURL_WANTS_HTTP10 && handle->version != CURL_WANTS_HTTP11;
    }
    bool is_plain = has_scheme(*url, SLICE("http://"));
    slice_take(url, is_plain ? sizeof("http://") - 1 : 0);
    return is_plain && handle->version == CURL_WANTS_HTTP2_AT_ONCE;
}

/* Of `user:password@host:port/...`. */
static struct slice host_of(struct slice url)
{
    size_t size = 0;
    while (size < url.size && memchr("/?#", url.data[size], 3) == NULL) {
        size++;
    }
    url.size = size;
    for (size_t i = size; i > 0; i--) {
        if (url.data[i - 1] == '@') {
            slice_take(&url, i);
            break;
        }
    }
    return url;
}

static void set_list(const struct libcurl *library, struct Curl_easy *easy,
                     struct header_list *list)
{
    library->curl_easy_setopt(easy, CURL_OPTION_HEADERS, list);
}

/* The program's list again. */
static void end_announcement(const struct libcurl *library, struct Curl_easy *easy,
                             struct curl_handle *handle)
{
    if (atomic_load_explicit(&handle->block, memory_order_relaxed) != 0) {
        set_list(library, easy, handle->program);
        announcement_end(handle);
    }
}

static SLOW void begin_announcement(const struct libcurl *library, struct Curl_easy *easy)
{
    struct curl_handle *handle = announcement_handle(easy, false);
    if (handle == NULL || library->curl_easy_setopt == NULL) {
        return;
    }
    end_announcement(library, easy, handle);
    struct slice url = ask_text(library, easy, CURL_URL);
    /* A witness is to be asked when a request is sent, and may take back what it said. */
    if (!inject_is_on || witness != NULL || handle->is_unified || !may_be_opaque(handle, &url) ||
        !inject_is_allowed(host_of(url)) || (handle->follows && inject_is_limited())) {
        return;
    }
    struct header_list *list = announcement_begin(&thread_state, handle, clock_now_ns());
    if (list != NULL) {
        set_list(library, easy, list);
    }
}

/* Around a call that sends: errno is the program's. */
static void announce(bool is_observed, const struct libcurl *library, struct Curl_easy *easy)
{
    int error = errno;
    if (is_observed) {
        begin_announcement(library, easy);
    }
    errno = error;
}

static void stop_announcing(const struct libcurl *library, struct Curl_easy *easy)
{
    struct curl_handle *handle = announcement_handle(easy, false);
    if (handle != NULL) {
        int error = errno;
        end_announcement(library, easy, handle);
        errno = error;
    }
}

static struct thread_transfers enter(bool is_alone, uintptr_t frame)
{
    int error = errno;
    struct thread_transfers before = transfer_enter(&thread_state, is_alone, frame);
    errno = error;
    return before;
}

/* ---- one transfer in one call ---- */

EXPORTED int curl_easy_perform(struct Curl_easy *easy)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_easy_perform == NULL)) {
        return CURL_FAILED_INIT;
    }
    if (!is_observed) {
        return library->curl_easy_perform(easy);
    }
    struct thread_transfers before = enter(true, (uintptr_t)__builtin_frame_address(0));
    announce(true, library, easy);
    int result = library->curl_easy_perform(easy);
    int error = errno;
    if (result != CURL_BAD_ARGUMENT && result != CURL_FAILED_INIT) {
        tell(library, easy, result, clock_now_ns());
    }
    stop_announcing(library, easy);
    transfer_leave_alone(&thread_state, &before);
    errno = error;
    return result;
}

/* ---- many at a time ---- */

#define ENTER_MANY(before)                                                                         \
    struct thread_transfers before = {.parked = 0};                                                \
    if (is_observed) {                                                                             \
        before = enter(false, (uintptr_t)__builtin_frame_address(0));                              \
    }

static void leave_many(bool is_observed, const struct thread_transfers *before)
{
    int error = errno;
    if (is_observed) {
        transfer_leave_many(&thread_state, before);
    }
    errno = error;
}

EXPORTED int curl_multi_perform(struct Curl_multi *multi, int *running)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_multi_perform == NULL)) {
        return CURL_MULTI_INTERNAL;
    }
    ENTER_MANY(before)
    int result = library->curl_multi_perform(multi, running);
    leave_many(is_observed, &before);
    return result;
}

EXPORTED int curl_multi_socket(struct Curl_multi *multi, int fd, int *running)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_multi_socket == NULL)) {
        return CURL_MULTI_INTERNAL;
    }
    ENTER_MANY(before)
    int result = library->curl_multi_socket(multi, fd, running);
    leave_many(is_observed, &before);
    return result;
}

EXPORTED int curl_multi_socket_action(struct Curl_multi *multi, int fd, int events, int *running)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_multi_socket_action == NULL)) {
        return CURL_MULTI_INTERNAL;
    }
    ENTER_MANY(before)
    int result = library->curl_multi_socket_action(multi, fd, events, running);
    leave_many(is_observed, &before);
    return result;
}

EXPORTED int curl_multi_socket_all(struct Curl_multi *multi, int *running)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_multi_socket_all == NULL)) {
        return CURL_MULTI_INTERNAL;
    }
    ENTER_MANY(before)
    int result = library->curl_multi_socket_all(multi, running);
    leave_many(is_observed, &before);
    return result;
}

EXPORTED struct curl_message *curl_multi_info_read(struct Curl_multi *multi, int *left)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_multi_info_read == NULL)) {
        return NULL;
    }
    struct curl_message *message = library->curl_multi_info_read(multi, left);
    if (is_observed && message != NULL && message->what == CURL_DONE) {
        int error = errno;
        uint64_t called_ns = thread_state.transfers.called_ns;
        tell(library, message->easy, message->data.result,
             called_ns != 0 ? called_ns : clock_now_ns());
        errno = error;
    }
    return message;
}

/* What ends here without having been told of is handed over as it is. */
static void hand_over(bool is_observed)
{
    int error = errno;
    if (is_observed && !thread_state.transfers.is_under_way) {
        transfer_hand_over(&thread_state);
    }
    errno = error;
}

EXPORTED int curl_multi_remove_handle(struct Curl_multi *multi, struct Curl_easy *easy)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_multi_remove_handle == NULL)) {
        return CURL_MULTI_INTERNAL;
    }
    int result = library->curl_multi_remove_handle(multi, easy);
    if (result == 0 && !caller_scope_is_inner(scope, return_address)) {
        stop_announcing(library, easy);
    }
    hand_over(is_observed);
    return result;
}

EXPORTED int curl_multi_cleanup(struct Curl_multi *multi)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_multi_cleanup == NULL)) {
        return CURL_MULTI_INTERNAL;
    }
    int result = library->curl_multi_cleanup(multi);
    hand_over(is_observed);
    return result;
}

/* A handle that is in use, or is no handle, is refused. */
EXPORTED int curl_multi_add_handle(struct Curl_multi *multi, struct Curl_easy *easy)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->curl_multi_add_handle == NULL)) {
        return CURL_MULTI_INTERNAL;
    }
    int result = library->curl_multi_add_handle(multi, easy);
    announce(is_observed && result == 0, library, easy);
    return result;
}

/* ---- what a handle is told ---- */

static void note_option(struct curl_handle *handle, int option, uintptr_t value)
{
    switch (option) {
    case CURL_OPTION_VERSION:
        handle->version = (uint8_t)value;
        break;
    case CURL_OPTION_HEADERS_FOR:
        handle->is_unified = (value & 1) == 0;
        break;
    case CURL_OPTION_FOLLOW:
        handle->follows = value != 0;
        break;
    default:
        break;
    }
}

/* Whatever is set, it is one word: a number, a pointer. */
EXPORTED int curl_easy_setopt(struct Curl_easy *easy, int option, ...)
{
    LIBRARY_OF_CALLER;
    (void)is_observed;
    va_list more;
    va_start(more, option);
    void *value = va_arg(more, void *);
    va_end(more);
    if (unlikely(library->curl_easy_setopt == NULL)) {
        return CURL_FAILED_INIT;
    }
    /* Calls of the library's own are about handles of its own. */
    bool is_inner = caller_scope_is_inner(scope, return_address);
    struct curl_handle *handle = is_inner ? NULL : announcement_handle(easy, true);
    if (handle == NULL) {
        return library->curl_easy_setopt(easy, option, value);
    }
    if (option == CURL_OPTION_HEADERS) {
        return library->curl_easy_setopt(easy, option, announcement_change_list(handle, value));
    }
    note_option(handle, option, (uintptr_t)value);
    return library->curl_easy_setopt(easy, option, value);
}

EXPORTED void curl_easy_reset(struct Curl_easy *easy)
{
    LIBRARY_OF_CALLER;
    (void)is_observed;
    struct curl_handle *handle = announcement_handle(easy, false);
    if (library->curl_easy_reset != NULL) {
        library->curl_easy_reset(easy);
    }
    if (handle != NULL) {
        announcement_end(handle);
        announcement_reset_handle(handle);
    }
}

EXPORTED struct Curl_easy *curl_easy_duphandle(struct Curl_easy *easy)
{
    LIBRARY_OF_CALLER;
    (void)is_observed;
    if (unlikely(library->curl_easy_duphandle == NULL)) {
        return NULL;
    }
    struct Curl_easy *twin = library->curl_easy_duphandle(easy);
    const struct curl_handle *handle = announcement_handle(easy, false);
    struct curl_handle *other = handle == NULL ? NULL : announcement_handle(twin, true);
    if (other != NULL) {
        other->version = handle->version;
        other->is_unified = handle->is_unified;
        other->follows = handle->follows;
        other->program = handle->program;
    }
    if (handle != NULL && twin != NULL &&
        atomic_load_explicit(&handle->block, memory_order_relaxed) != 0) {
        set_list(library, twin, handle->program);
    }
    return twin;
}

EXPORTED void curl_easy_cleanup(struct Curl_easy *easy)
{
    LIBRARY_OF_CALLER;
    (void)is_observed;
    struct curl_handle *handle = announcement_handle(easy, false);
    /* Its address may be another handle's before this call is back. */
    uint32_t block = handle == NULL ? 0 : announcement_forget_handle(handle);
    if (library->curl_easy_cleanup != NULL) {
        library->curl_easy_cleanup(easy);
    }
    announcement_give(block);
}
