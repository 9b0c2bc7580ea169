/*
 * What hiredis knows of a connection that it has given up.
 *
 * The bytes show the commands and their replies. What they do not show is a reply that was waited
 * for too long: the kernel ends the wait by EAGAIN, as it does where nothing was to be waited for,
 * and the program closes. All synchronous calls wait in redisGetReply, which the library itself
 * calls by that name, too.
 */
#include "app_thread/hooks/hiredis.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "app_thread/connection.h"
#include "app_thread/hooks/hook.h"

struct redisContext;
struct redisAsyncContext;

/* What else is asked of the library: whether it has this one tells how its context looks. */
#define HELPERS(HELPER) HELPER(void, redisSetPushCallback, (struct redisContext *, void *))

#define HOOK(family, type, name, parameters)
#define STUB(family, type, name, parameters)
#define LIBRARY(family, type, name, parameters) LIBRARY_##family(type, name, parameters)
#define LIBRARY_openssl(type, name, parameters)
#define LIBRARY_gnutls(type, name, parameters)
#define LIBRARY_libcurl(type, name, parameters)

#define LIBRARY_hiredis(type, name, parameters) type(*name) parameters;
struct hiredis {
#include "app_thread/hooks/hooks.def"
    HELPERS(LIBRARY_hiredis)
};
#undef LIBRARY_hiredis

#define LIBRARY_hiredis(type, name, parameters) #name,
static const char hiredis_names[][SCOPE_NAME_BYTES] = {
#include "app_thread/hooks/hooks.def"
    HELPERS(LIBRARY_hiredis)};
#undef LIBRARY_hiredis
#undef LIBRARY_openssl
#undef LIBRARY_gnutls
#undef LIBRARY_libcurl
#undef LIBRARY
#undef HOOK
#undef STUB

#define FUNCTIONS (sizeof(struct hiredis) / sizeof(scope_function *))
_Static_assert(FUNCTIONS == sizeof(hiredis_names) / sizeof(hiredis_names[0]), "a name for each");
_Static_assert(FUNCTIONS <= SCOPE_FUNCTIONS, "room for each");

struct scope_family hiredis_family = {.names = hiredis_names, .count = FUNCTIONS};

#define LIBRARY_OF_CALLER                                                                          \
    SCOPE_OF_CALLER(&hiredis_family, NULL);                                                        \
    const struct hiredis *library = (const void *)scope->functions

/* hiredis.h, read.h */
enum { FAILED = -1, INPUT_OUTPUT = 1, TIMED_OUT = 6 };

/* The beginning of a context. From 1.0 on a pointer stands before it. */
struct context {
    int error;
    char text[128];
    int descriptor;
};

static struct context look_at(const struct hiredis *library, const void *from)
{
    struct context context;
    size_t offset = library->redisSetPushCallback != NULL ? sizeof(void *) : 0;
    memcpy(&context, (const char *)from + offset, sizeof(context));
    return context;
}

/* What is open on that connection has waited for too long. */
static void fail(int descriptor)
{
    struct touch touch;
    if (hook_is_on() && !hook_is_aside(&thread_state) && descriptor >= 0 &&
        connection_find(descriptor, &touch)) {
        connection_fail(touch.connection, RECORD_ERROR_TIMEOUT, ETIMEDOUT);
    }
}

EXPORTED int redisGetReply(struct redisContext *context, void **reply)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->redisGetReply == NULL)) {
        return FAILED;
    }
    int result = library->redisGetReply(context, reply);
    if (unlikely(result == FAILED) && context != NULL) {
        int error = errno;
        struct context seen = look_at(library, context);
        if (seen.error == TIMED_OUT ||
            (seen.error == INPUT_OUTPUT && (error == EAGAIN || error == ETIMEDOUT))) {
            fail(seen.descriptor);
        }
        errno = error;
    }
    return result;
}

/* The program's loop says that the time is over: the library closes the connection. */
EXPORTED void redisAsyncHandleTimeout(struct redisAsyncContext *context)
{
    LIBRARY_OF_CALLER;
    if (likely(library->redisAsyncHandleTimeout != NULL)) {
        int error = errno;
        if (context != NULL) {
            fail(look_at(library, context).descriptor);
        }
        errno = error;
        library->redisAsyncHandleTimeout(context);
    }
}
