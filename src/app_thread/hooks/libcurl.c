/* What libcurl knows of the transfers whose bytes pass below it. Nothing is set on the program's
   handles; a handle is asked when its transfer has ended, on the thread that has it at hand. */
#include "app_thread/hooks/libcurl.h"

#include <errno.h>
#include <string.h>

#include "app_thread/clock.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/transfer.h"

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
    uint64_t total_ns = UINT64_C(1000) * facts.numbers.total_us;
    facts.start_ns = total_ns < end_ns ? end_ns - total_ns : end_ns;
    transfer_tell(&thread_state, &facts);
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
    int result = library->curl_easy_perform(easy);
    int error = errno;
    if (result != CURL_BAD_ARGUMENT && result != CURL_FAILED_INIT) {
        tell(library, easy, result, clock_now_ns());
    }
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
