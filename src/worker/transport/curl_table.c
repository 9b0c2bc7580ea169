#include "worker/transport/curl_table.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sanitizers' runtimes refuse RTLD_DEEPBIND. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DEEP_BINDING 0
#else
#define DEEP_BINDING RTLD_DEEPBIND
#endif

const char *const curl_table_names[] = {
    "libcurl.so.4",
    "libcurl-gnutls.so.4", /* Debian's other builds, same interface */
    "libcurl-nss.so.4",
    NULL,
};

#define ENTRY(name)                                                                                \
    {                                                                                              \
        "curl_" #name, offsetof(struct curl_table, name)                                           \
    }

static const struct {
    const char *symbol;
    size_t offset;
} entries[] = {
    ENTRY(global_init_mem),  ENTRY(version_info),        ENTRY(easy_init),
    ENTRY(easy_setopt),      ENTRY(easy_getinfo),        ENTRY(easy_strerror),
    ENTRY(easy_cleanup),     ENTRY(multi_init),          ENTRY(multi_setopt),
    ENTRY(multi_add_handle), ENTRY(multi_remove_handle), ENTRY(multi_socket_action),
    ENTRY(multi_info_read),  ENTRY(multi_cleanup),       ENTRY(slist_append),
    ENTRY(slist_free_all),
};

/* A program that exports a TLS library of its own (official builds of Node: hundreds of SSL_*)
   would capture the calls of libcurl to its own. A libssl does not: its symbols have versions. */
static bool program_is_tls_library(void)
{
    Dl_info found;
    void *symbol = dlsym(RTLD_DEFAULT, "SSL_CTX_new");
    if (symbol == NULL || dladdr(symbol, &found) == 0 || found.dli_fname == NULL) {
        return false;
    }
    const char *slash = strrchr(found.dli_fname, '/');
    const char *name = slash != NULL ? slash + 1 : found.dli_fname;
    return strncmp(name, "libssl", strlen("libssl")) != 0;
}

/* Bound deeply, libcurl finds its own libraries before the program's symbols. Only where it must:
   should the application use libcurl later, it shares this one, whose calls of send and recv would
   then not be interposed. */
static int load_flags(void)
{
    int flags = RTLD_NOW | RTLD_LOCAL;
    if (program_is_tls_library()) {
        flags |= DEEP_BINDING;
    }
    return flags;
}

static void *open_library(const char *const *names, char *why, size_t why_size)
{
    int flags = load_flags();
    for (size_t i = 0; names[i] != NULL; i++) {
        void *library = dlopen(names[i], flags);
        if (library != NULL) {
            return library;
        }
        if (i == 0) {
            const char *error = dlerror();
            snprintf(why, why_size, "libcurl not found: %s", error != NULL ? error : names[i]);
        }
    }
    return NULL;
}

/* OpenSSL's own constants, since 1.1.1. */
#define OPENSSL_WITHOUT_EXIT_HANDLER UINT64_C(0x00080000)
#define OPENSSL_BASE_ONLY            UINT64_C(0x00040000)

/* OpenSSL would take itself apart in an exit handler that it registers in the middle of its start:
   a program that ends at that moment would do so under the feet of the thread that starts it
   (measured: SIGSEGV in one short program of ten). What is left at the end of a process needs no
   taking apart. */
static bool keep_openssl_from_exit_handlers(void *library)
{
    void *address = dlsym(library, "OPENSSL_init_crypto");
    int (*init)(uint64_t options, const void *settings) = NULL;
    if (address == NULL) {
        return true;
    }
    memcpy((void *)&init, &address, sizeof(address));
    /* The program's own use of it may have registered the handler, which has run: from then on
       every use is a crash. */
    return init(OPENSSL_BASE_ONLY, NULL) != 0 && init(OPENSSL_WITHOUT_EXIT_HANDLER, NULL) != 0;
}

bool curl_table_load(struct curl_table *table, const char *const *names, char *why, size_t why_size)
{
    void *library = open_library(names, why, why_size);
    if (library == NULL) {
        return false;
    }
    struct curl_table found;
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        void *address = dlsym(library, entries[i].symbol);
        if (address == NULL) {
            snprintf(why, why_size, "libcurl is too old: it has no %s", entries[i].symbol);
            dlclose(library);
            return false;
        }
        memcpy((char *)&found + entries[i].offset, &address, sizeof(address));
    }
    if (!keep_openssl_from_exit_handlers(library)) {
        snprintf(why, why_size, "the program has ended its use of OpenSSL already");
        return false; /* and libcurl is not to be unloaded: that would use OpenSSL, too */
    }
    /* Bound deeply, its free would be the C library's while strdup inside the C library still
       calls an interposed malloc (measured with jemalloc: abort). These are all the program's. */
    CURLcode code =
        found.global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free, realloc, strdup, calloc);
    if (code != CURLE_OK) {
        snprintf(why, why_size, "libcurl cannot start: %s", found.easy_strerror(code));
        return false;
    }
    *table = found;
    return true;
}
