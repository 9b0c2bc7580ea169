/* The plaintext of OpenSSL's sessions. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include <dlfcn.h>
#include <sys/auxv.h>

#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/inline_patch.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/hooks/tls.h"
#include "base/symbol_versions.h"

struct ssl_st;
struct bio_st;

/* What else is asked of the library. */
#define HELPERS(HELPER)                                                                            \
    HELPER(int, SSL_get_rfd, (const struct ssl_st *))                                              \
    HELPER(int, SSL_get_wfd, (const struct ssl_st *))                                              \
    HELPER(int, SSL_get_error, (const struct ssl_st *, int))                                       \
    HELPER(int, SSL_is_init_finished, (const struct ssl_st *))                                     \
    HELPER(int, SSL_is_server, (const struct ssl_st *))                                            \
    HELPER(long, SSL_ctrl, (struct ssl_st *, int, long, void *))                                   \
    HELPER(size_t, SSL_get_client_random, (const struct ssl_st *, unsigned char *, size_t))

#define HOOK(family, type, name, parameters)
#define STUB(family, type, name, parameters)
#define LIBRARY(family, type, name, parameters) LIBRARY_##family(type, name, parameters)
#define LIBRARY_gnutls(type, name, parameters)
#define LIBRARY_libcurl(type, name, parameters)
#define LIBRARY_hiredis(type, name, parameters)

#define LIBRARY_openssl(type, name, parameters) type(*name) parameters;
struct openssl {
#include "app_thread/hooks/hooks.def"
    HELPERS(LIBRARY_openssl)
};
#undef LIBRARY_openssl

#define LIBRARY_openssl(type, name, parameters) #name,
static const char openssl_names[][SCOPE_NAME_BYTES] = {
#include "app_thread/hooks/hooks.def"
    HELPERS(LIBRARY_openssl)};
#undef LIBRARY_openssl
#undef LIBRARY_gnutls
#undef LIBRARY_libcurl
#undef LIBRARY_hiredis
#undef LIBRARY
#undef HOOK
#undef STUB

#define FUNCTIONS (sizeof(struct openssl) / sizeof(scope_function *))
_Static_assert(FUNCTIONS == sizeof(openssl_names) / sizeof(openssl_names[0]), "a name for each");
_Static_assert(FUNCTIONS <= SCOPE_FUNCTIONS, "room for each");

struct scope_family tls_openssl = {
    .names = openssl_names, .count = FUNCTIONS, .shows_itself = true};

/* What the caller means by the name of the function that this stands in, as `library`. */
#define LIBRARY_OF_CALLER                                                                          \
    SCOPE_OF_CALLER(&tls_openssl, session);                                                        \
    const struct openssl *library = (const void *)scope->functions

static bool is_observed(const struct openssl *library)
{
    return tls_is_observed() && library->SSL_get_rfd != NULL && library->SSL_get_wfd != NULL &&
           library->SSL_get_error != NULL && library->SSL_get_client_random != NULL &&
           library->SSL_is_init_finished != NULL && library->SSL_is_server != NULL &&
           library->SSL_ctrl != NULL;
}

static bool identify_early(const void *context, void *session, struct tls_identity *identity)
{
    const struct openssl *library = context;
    static const uint8_t none[TLS_RANDOM_BYTES];
    identity->descriptors[0] = library->SSL_get_rfd(session);
    identity->descriptors[1] = library->SSL_get_wfd(session);
    identity->is_certain = true;
    identity->role = library->SSL_is_server(session) ? ROLE_SERVER : ROLE_CLIENT;
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

static struct tls_call call_of(const struct openssl *library, struct ssl_st *session)
{
    return (struct tls_call){library, session, identify};
}

/* SSL_get_error's answers (ssl.h). The others all mean: again. */
enum { ERROR_SSL = 1, ERROR_SYSCALL = 5, ERROR_ZERO_RETURN = 6 };

/* Why a call gave nothing, as an errno; 0: the end of the stream. */
static int error_of(const struct openssl *library, const struct ssl_st *session, int result)
{
    int error = errno;
    int why = library->SSL_get_error(session, result);
    errno = error;
    switch (why) {
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
    struct tls_call call = call_of(library, session);
    struct touch touch;
    if (likely(result > 0)) {
        if (size > 0) {
            tls_received(&call, buffer, (ssize_t)size, 0);
        }
    } else if (tls_session_find(session, &touch)) {
        int why = error_of(library, session, result);
        tls_received(&call, buffer, why == 0 ? 0 : -1, why);
    }
}

static inline int observed_read(const struct openssl *library, struct ssl_st *session, void *buffer,
                                int size)
{
    int result = library->SSL_read(session, buffer, size);
    if (size > 0 && is_observed(library)) {
        received(library, session, buffer, result, result > 0 ? (size_t)result : 0);
    }
    return result;
}

EXPORTED int SSL_read(struct ssl_st *session, void *buffer, int size)
{
    LIBRARY_OF_CALLER;
    return likely(library->SSL_read != NULL) ? observed_read(library, session, buffer, size)
                                             : tls_not_there();
}

EXPORTED int SSL_read_ex(struct ssl_st *session, void *buffer, size_t size, size_t *count)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->SSL_read_ex == NULL)) {
        return tls_not_there(), 0;
    }
    int result = library->SSL_read_ex(session, buffer, size, count);
    if (size > 0 && is_observed(library)) {
        received(library, session, buffer, result, result > 0 ? *count : 0);
    }
    return result;
}

/* 0-RTT: the session is not established yet. */
EXPORTED int SSL_read_early_data(struct ssl_st *session, void *buffer, size_t size, size_t *count)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->SSL_read_early_data == NULL)) {
        return tls_not_there(), 0;
    }
    int result = library->SSL_read_early_data(session, buffer, size, count);
    if (result != 0 && *count > 0 && is_observed(library)) {
        struct tls_call call = {library, session, identify_early};
        tls_received(&call, buffer, (ssize_t)*count, 0);
    }
    return result;
}

/* ---- sending ---- */

/* SSL_CTRL_MODE, and what it tells (ssl.h). */
enum { CONTROL_MODE = 33, MODE_PARTIAL_WRITE = 1, MODE_MOVING_BUFFER = 2 };

static unsigned ask_ways(const struct tls_writer *writer)
{
    const struct openssl *library = writer->call.library;
    long mode = library->SSL_ctrl(writer->call.session, CONTROL_MODE, 0, NULL);
    return ((mode & MODE_PARTIAL_WRITE) ? TLS_TAKES_RECORDS | TLS_GOES_ON : 0u) |
           ((mode & MODE_MOVING_BUFFER) ? TLS_MAY_MOVE : 0u);
}

static ssize_t write_plain(const struct tls_writer *writer, const void *bytes, size_t size,
                           size_t *count)
{
    const struct openssl *library = writer->call.library;
    int result = library->SSL_write(writer->call.session, bytes, (int)size);
    *count = result > 0 ? (size_t)result : 0;
    return result;
}

static ssize_t write_ex(const struct tls_writer *writer, const void *bytes, size_t size,
                        size_t *count)
{
    const struct openssl *library = writer->call.library;
    return library->SSL_write_ex(writer->call.session, bytes, size, count);
}

static ssize_t write_ex2(const struct tls_writer *writer, const void *bytes, size_t size,
                         size_t *count)
{
    const struct openssl *library = writer->call.library;
    return library->SSL_write_ex2(writer->call.session, bytes, size, writer->flags, count);
}

static const struct tls_writing writing_plain = {write_plain, identify_early, ask_ways};
static const struct tls_writing writing_ex = {write_ex, identify_early, ask_ways};
static const struct tls_writing writing_ex2 = {write_ex2, identify_early, ask_ways};

static void begin_write(struct tls_sending *sending, const struct tls_writer *writer,
                        const void *buffer, size_t size)
{
    bool is_wanted = is_observed(writer->call.library) && size <= SSIZE_MAX;
    tls_send_begin_inserting(sending, writer, buffer, size, is_wanted);
}

/* `size` is what the library says to have sent if `result` is above 0. */
static void end_write(struct tls_sending *sending, const struct tls_writer *writer, int result,
                      size_t size)
{
    int why = 0;
    if (likely(result > 0)) {
        tls_send_end(sending, &writer->call, (ssize_t)size, 0);
    } else if (sending->has_begun || sending->insertion != NULL) {
        why = error_of(writer->call.library, writer->call.session, result);
        why = why == 0 ? EPROTO : why;
        tls_send_end(sending, &writer->call, -1, why);
    }
    if (unlikely(sending->insertion != NULL)) {
        tls_insertion_settle(sending, writer, result, why);
    }
}

static inline int observed_write(const struct openssl *library, struct ssl_st *session,
                                 const void *buffer, int size)
{
    struct tls_sending sending;
    struct tls_writer writer = {call_of(library, session), &writing_plain, 0};
    begin_write(&sending, &writer, buffer, size > 0 ? (size_t)size : 0);
    size_t count;
    int result;
    if (likely(sending.insertion == NULL)) {
        result = library->SSL_write(session, buffer, size);
        count = result > 0 ? (size_t)result : 0;
    } else {
        result = (int)tls_send_longer(&sending, &writer, buffer, (size_t)size, &count);
        result = result > 0 ? (int)count : result;
    }
    end_write(&sending, &writer, result, count);
    return result;
}

EXPORTED int SSL_write(struct ssl_st *session, const void *buffer, int size)
{
    LIBRARY_OF_CALLER;
    return likely(library->SSL_write != NULL) ? observed_write(library, session, buffer, size)
                                              : tls_not_there();
}

/* The library leaves the count alone where it gave nothing. */
static SLOW int write_longer(struct tls_sending *sending, const struct tls_writer *writer,
                             const void *buffer, size_t size, size_t *count)
{
    size_t taken;
    int result = (int)tls_send_longer(sending, writer, buffer, size, &taken);
    if (result > 0) {
        *count = taken;
    }
    return result;
}

EXPORTED int SSL_write_ex(struct ssl_st *session, const void *buffer, size_t size, size_t *count)
{
    LIBRARY_OF_CALLER;
    struct tls_sending sending;
    if (unlikely(library->SSL_write_ex == NULL)) {
        return tls_not_there(), 0;
    }
    struct tls_writer writer = {call_of(library, session), &writing_ex, 0};
    begin_write(&sending, &writer, buffer, size);
    int result = likely(sending.insertion == NULL)
                     ? library->SSL_write_ex(session, buffer, size, count)
                     : write_longer(&sending, &writer, buffer, size, count);
    end_write(&sending, &writer, result, result > 0 ? *count : 0);
    return result;
}

EXPORTED int SSL_write_ex2(struct ssl_st *session, const void *buffer, size_t size, uint64_t flags,
                           size_t *count)
{
    LIBRARY_OF_CALLER;
    struct tls_sending sending;
    if (unlikely(library->SSL_write_ex2 == NULL)) {
        return tls_not_there(), 0;
    }
    struct tls_writer writer = {call_of(library, session), &writing_ex2, flags};
    begin_write(&sending, &writer, buffer, size);
    int result = likely(sending.insertion == NULL)
                     ? library->SSL_write_ex2(session, buffer, size, flags, count)
                     : write_longer(&sending, &writer, buffer, size, count);
    end_write(&sending, &writer, result, result > 0 ? *count : 0);
    return result;
}

EXPORTED int SSL_write_early_data(struct ssl_st *session, const void *buffer, size_t size,
                                  size_t *count)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->SSL_write_early_data == NULL)) {
        return tls_not_there(), 0;
    }
    struct tls_sending sending;
    struct tls_call call = {library, session, identify_early};
    tls_send_begin(&sending, &call, buffer, is_observed(library) ? size : 0);
    int result = library->SSL_write_early_data(session, buffer, size, count);
    if (result > 0) {
        tls_send_end(&sending, &call, (ssize_t)*count, 0);
    } else if (sending.has_begun) {
        int why = error_of(library, session, result);
        tls_send_end(&sending, &call, -1, why == 0 ? EPROTO : why);
    }
    return result;
}

/* The kernel encrypts: the bytes of the file pass through nobody's memory. */
EXPORTED ssize_t SSL_sendfile(struct ssl_st *session, int fd, off_t offset, size_t size, int flags)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->SSL_sendfile == NULL)) {
        return tls_not_there();
    }
    ssize_t result = library->SSL_sendfile(session, fd, offset, size, flags);
    if (result > 0 && is_observed(library)) {
        struct tls_call call = call_of(library, session);
        tls_unseen(&call, DIRECTION_OUT, result);
    }
    return result;
}

/* ---- the life of a session ---- */

static void shook_hands(const struct openssl *library, struct ssl_st *session, int result)
{
    if (result > 0 && is_observed(library)) {
        struct tls_call call = call_of(library, session);
        tls_shook_hands(&call);
    }
}

EXPORTED int SSL_do_handshake(struct ssl_st *session)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->SSL_do_handshake == NULL)) {
        return tls_not_there();
    }
    int result = library->SSL_do_handshake(session);
    shook_hands(library, session, result);
    return result;
}

EXPORTED int SSL_connect(struct ssl_st *session)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->SSL_connect == NULL)) {
        return tls_not_there();
    }
    int result = library->SSL_connect(session);
    shook_hands(library, session, result);
    return result;
}

EXPORTED int SSL_accept(struct ssl_st *session)
{
    LIBRARY_OF_CALLER;
    if (unlikely(library->SSL_accept == NULL)) {
        return tls_not_there();
    }
    int result = library->SSL_accept(session);
    shook_hands(library, session, result);
    return result;
}

EXPORTED int SSL_set_fd(struct ssl_st *session, int fd)
{
    LIBRARY_OF_CALLER;
    tls_forget(session);
    return library->SSL_set_fd != NULL ? library->SSL_set_fd(session, fd) : (tls_not_there(), 0);
}

EXPORTED int SSL_set_rfd(struct ssl_st *session, int fd)
{
    LIBRARY_OF_CALLER;
    tls_forget(session);
    return library->SSL_set_rfd != NULL ? library->SSL_set_rfd(session, fd) : (tls_not_there(), 0);
}

EXPORTED int SSL_set_wfd(struct ssl_st *session, int fd)
{
    LIBRARY_OF_CALLER;
    tls_forget(session);
    return library->SSL_set_wfd != NULL ? library->SSL_set_wfd(session, fd) : (tls_not_there(), 0);
}

EXPORTED void SSL_set_bio(struct ssl_st *session, struct bio_st *in, struct bio_st *out)
{
    LIBRARY_OF_CALLER;
    tls_forget(session);
    if (library->SSL_set_bio != NULL) {
        library->SSL_set_bio(session, in, out);
    }
}

EXPORTED void SSL_set0_rbio(struct ssl_st *session, struct bio_st *bio)
{
    LIBRARY_OF_CALLER;
    tls_forget(session);
    if (library->SSL_set0_rbio != NULL) {
        library->SSL_set0_rbio(session, bio);
    }
}

EXPORTED void SSL_set0_wbio(struct ssl_st *session, struct bio_st *bio)
{
    LIBRARY_OF_CALLER;
    tls_forget(session);
    if (library->SSL_set0_wbio != NULL) {
        library->SSL_set0_wbio(session, bio);
    }
}

EXPORTED int SSL_clear(struct ssl_st *session)
{
    LIBRARY_OF_CALLER;
    tls_forget(session);
    return library->SSL_clear != NULL ? library->SSL_clear(session) : (tls_not_there(), 0);
}

EXPORTED void SSL_free(struct ssl_st *session)
{
    LIBRARY_OF_CALLER;
    tls_forget(session);
    if (library->SSL_free != NULL) {
        library->SSL_free(session);
    }
}

/* ---- a program's own ---- */

/* Its functions, SSL_read and SSL_write as they were; written once, before there are threads. */
static union {
    void *found[FUNCTIONS];
    struct openssl openssl;
} program;

/* The program frees its sessions inside itself, and their memory is used again. */
static void forget_if_other(struct ssl_st *session)
{
    uint8_t random[TLS_RANDOM_BYTES];
    if (is_observed(&program.openssl) &&
        program.openssl.SSL_get_client_random(session, random, sizeof(random)) == sizeof(random)) {
        tls_forget_if_other(session, random);
    }
}

static int program_read(struct ssl_st *session, void *buffer, int size)
{
    forget_if_other(session);
    return observed_read(&program.openssl, session, buffer, size);
}

/* The call makes what is left of the handshake, too: Node leaves that to it. What it sends can be
   looked at once the handshake is made, so that goes first. */
static bool makes_handshake(struct ssl_st *session, const uint8_t *buffer, int size)
{
    struct tls_identity identity;
    if (!inject_is_on || size <= 0 || (uint8_t)(buffer[0] - 'A') >= 26 ||
        !is_observed(&program.openssl) || program.openssl.SSL_do_handshake == NULL ||
        program.openssl.SSL_is_init_finished(session)) {
        return false;
    }
    /* One that has not begun is not ours to begin. */
    return identify_early(&program.openssl, session, &identity) && identity.has_random &&
           identity.role == ROLE_CLIENT;
}

static int program_write(struct ssl_st *session, const void *buffer, int size)
{
    if (unlikely(makes_handshake(session, buffer, size)) &&
        program.openssl.SSL_do_handshake(session) <= 0) {
        return -1;
    }
    forget_if_other(session);
    return observed_write(&program.openssl, session, buffer, size);
}

static const void *object_of(const void *address)
{
    Dl_info info;
    return address != NULL && dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
}

/* Our own scope begins with us: the program's is asked. */
static bool find_in_program(void)
{
    void *handle = original_dlopen(NULL, RTLD_LAZY);
    const void *object = object_of((const void *)(uintptr_t)getauxval(AT_ENTRY));
    /* Node carries libuv, too; its dynamic builds call OpenSSL by name. */
    bool is_wanted = handle != NULL && object != NULL &&
                     object_of(dlsym(handle, "SSL_read")) == object &&
                     object_of(dlsym(handle, "uv_fileno")) == object;
    for (size_t i = 0; is_wanted && i < FUNCTIONS; i++) {
        void *found = dlsym(handle, openssl_names[i]);
        program.found[i] = object_of(found) == object ? found : NULL;
    }
    if (handle != NULL) {
        original_dlclose(handle);
    }
    return is_wanted;
}

static bool has_threads(void)
{
    const char *is_single = dlsym(RTLD_DEFAULT, "__libc_single_threaded");
    return is_single != NULL && *is_single == 0;
}

/* The loader has looked for this one already: most programs have no libuv, and nothing more is
   asked in them. */
extern const char uv_fileno[] __attribute__((weak));

SLOW const char *tls_openssl_patch_program(void)
{
    const char *volatile uv = uv_fileno;
    if (uv == NULL || original_dlopen == NULL || original_dlclose == NULL || !find_in_program()) {
        return NULL;
    }
    struct openssl *openssl = &program.openssl;
    if (has_threads()) {
        return "there are threads already";
    }
    if (openssl->SSL_write == NULL || openssl->SSL_get_client_random == NULL ||
        openssl->SSL_is_init_finished == NULL) {
        return "it lacks a function";
    }
    union function {
        int (*read)(struct ssl_st *, void *, int);
        int (*write)(struct ssl_st *, const void *, int);
        void *pointer;
    } reads = {.read = program_read}, writes = {.write = program_write};
    union function the_read = {.read = openssl->SSL_read};
    union function the_write = {.write = openssl->SSL_write};
    struct inline_patch patches[2] = {
        {.function = the_read.pointer, .replacement = reads.pointer},
        {.function = the_write.pointer, .replacement = writes.pointer},
    };
    switch (inline_patch(patches, 2)) {
    case INLINE_PATCH_DONE:
        the_read.pointer = patches[0].original;
        the_write.pointer = patches[1].original;
        openssl->SSL_read = the_read.read;
        openssl->SSL_write = the_write.write;
        return NULL;
    case INLINE_PATCH_PROLOGUE:
        return "its functions begin in a way that is not known";
    case INLINE_PATCH_FORBIDDEN:
        break;
    }
    return "the system does not let code be changed";
}
