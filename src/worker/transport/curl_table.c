#include "worker/transport/curl_table.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The application's own symbols must not capture those of libcurl's TLS library (official builds
   of Node export hundreds of SSL_*), hence RTLD_DEEPBIND; it also keeps libcurl's socket calls
   away from the interposed ones. The sanitizers' runtimes refuse it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL)
#else
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
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
    ENTRY(global_init),      ENTRY(version_info),        ENTRY(easy_init),
    ENTRY(easy_setopt),      ENTRY(easy_getinfo),        ENTRY(easy_strerror),
    ENTRY(easy_cleanup),     ENTRY(multi_init),          ENTRY(multi_setopt),
    ENTRY(multi_add_handle), ENTRY(multi_remove_handle), ENTRY(multi_socket_action),
    ENTRY(multi_info_read),  ENTRY(multi_cleanup),       ENTRY(slist_append),
    ENTRY(slist_free_all),
};

static void *open_library(const char *const *names, char *why, size_t why_size)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        void *library = dlopen(names[i], LOAD_FLAGS);
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
    CURLcode code = found.global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK) {
        snprintf(why, why_size, "libcurl cannot start: %s", found.easy_strerror(code));
        return false;
    }
    *table = found;
    return true;
}
