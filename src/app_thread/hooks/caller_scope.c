#include "app_thread/hooks/caller_scope.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "app_thread/hooks/originals.h"
#include "app_thread/hooks/tls.h"
#include "base/symbol_versions.h"

#define NAME_BYTES 512u

static void *look_up(void *handle, const char *name)
{
    return dlsym(handle, name);
}

static const void *object_of(const void *address)
{
    Dl_info info;
    return address != NULL && dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
}

/* ---- objects one by one ---- */

struct search {
    unsigned skip;
    bool found;
    char name[NAME_BYTES];
};

/* Only copies: whoever looks a symbol up here would take the loader's locks the wrong way round. */
static int copy_name(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    (void)size;
    if (search->skip > 0) {
        search->skip--;
        return 0;
    }
    size_t length = info->dlpi_name == NULL ? 0 : strlen(info->dlpi_name);
    search->found = true;
    if (length >= NAME_BYTES) {
        length = 0;
    }
    memcpy(search->name, info->dlpi_name, length);
    search->name[length] = '\0';
    return 1;
}

/* The handle of any object that has the function. NULL: there is none. */
static SLOW void *open_any(const char *name)
{
    for (unsigned i = 0; i < LIMIT_TLS_OBJECTS; i++) {
        struct search search = {.skip = i};
        dl_iterate_phdr(copy_name, &search);
        if (!search.found) {
            return NULL;
        }
        if (search.name[0] != '/') {
            continue;
        }
        void *handle = original_dlopen(search.name, RTLD_LAZY | RTLD_NOLOAD);
        void *function = handle == NULL ? NULL : look_up(handle, name);
        if (function != NULL && !caller_scope_is_ours(function)) {
            return handle;
        }
        if (handle != NULL) {
            original_dlclose(handle);
        }
    }
    return NULL;
}

/* ---- one caller's scope ---- */

/* Where the caller finds the family; `*to_close` is set if it must be closed. */
static void *scope_of(const struct scope_family *family, const Dl_info *caller, void **to_close)
{
    const char *first = family->names[0];
    /* The program's own scope begins with us. */
    bool is_program = caller->dli_fbase == NULL ||
                      caller->dli_fbase == object_of((const void *)(uintptr_t)getauxval(AT_ENTRY));
    if (!is_program && caller->dli_fname != NULL) {
        *to_close = original_dlopen(caller->dli_fname, RTLD_LAZY | RTLD_NOLOAD);
        void *function = *to_close == NULL ? NULL : look_up(*to_close, first);
        if (function != NULL && !caller_scope_is_ours(function)) {
            return *to_close;
        }
    }
    if (look_up(RTLD_NEXT, first) != NULL) {
        return RTLD_NEXT;
    }
    /* A call that passed its own return address on, or code without an object. */
    if (*to_close != NULL) {
        original_dlclose(*to_close);
    }
    *to_close = open_any(first);
    return *to_close;
}

static void resolve(struct scope_family *family, const void *return_address,
                    struct scope_library *library)
{
    Dl_info caller = {.dli_fname = NULL};
    void *to_close = NULL;
    memset(library, 0, sizeof(*library));
    if (ORIGINAL(dlopen) == NULL || original_dlclose == NULL) {
        return;
    }
    if (dladdr(return_address, &caller) == 0) {
        caller = (Dl_info){.dli_fname = NULL};
    }
    void *scope = scope_of(family, &caller, &to_close);
    if (scope != NULL) {
        for (uint32_t i = 0; i < family->count; i++) {
            void *found = look_up(scope, family->names[i]);
            /* Stored through a copy: ISO C has no such conversion. */
            memcpy(&library->functions[i], &found, sizeof(found));
        }
        void *first = look_up(scope, family->names[0]);
        library->calls_itself = caller.dli_fbase != NULL && object_of(first) == caller.dli_fbase;
    }
    if (to_close != NULL) {
        original_dlclose(to_close);
    }
}

static bool is_same(const struct scope_library *a, const struct scope_library *b)
{
    return a->calls_itself == b->calls_itself &&
           memcmp(a->functions, b->functions, sizeof(a->functions)) == 0;
}

/* The number, from 1, of a library with these functions; 0: no room. */
static uint32_t remember(struct scope_family *family, const struct scope_library *found)
{
    for (uint32_t i = 0; i < LIMIT_TLS_LIBRARIES; i++) {
        const struct scope_library *known = &family->libraries[i];
        if (atomic_load_explicit(&known->is_ready, memory_order_acquire) && is_same(known, found)) {
            return i + 1;
        }
    }
    uint32_t index = atomic_load_explicit(&family->claimed, memory_order_relaxed);
    do {
        if (index >= LIMIT_TLS_LIBRARIES) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak_explicit(&family->claimed, &index, index + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    struct scope_library *library = &family->libraries[index];
    library->calls_itself = found->calls_itself;
    memcpy(library->functions, found->functions, sizeof(found->functions));
    /* release pairs with the acquire above */
    atomic_store_explicit(&library->is_ready, true, memory_order_release);
    return index + 1;
}

SLOW const struct scope_library *caller_scope_find_slow(struct scope_family *family,
                                                        const void *return_address,
                                                        struct scope_library *spare)
{
    if (caller_scope_is_ours(return_address) && thread_state.library != NULL) {
        return thread_state.library;
    }
    int error = errno;
    resolve(family, return_address, spare);
    uint32_t number = spare->functions[0] == NULL ? 0 : remember(family, spare);
    errno = error;
    if (number == 0) {
        return spare;
    }
    uint64_t page = (uint64_t)(uintptr_t)return_address >> 12;
    atomic_store_explicit(&family->callers[page % LIMIT_TLS_CALLERS], page << 8 | number,
                          memory_order_release);
    return &family->libraries[number - 1];
}

static void forget(struct scope_family *family)
{
    if (atomic_load_explicit(&family->claimed, memory_order_relaxed) == 0) {
        return;
    }
    for (uint32_t i = 0; i < LIMIT_TLS_CALLERS; i++) {
        atomic_store_explicit(&family->callers[i], 0, memory_order_relaxed);
    }
}

void caller_scope_forget_all(void)
{
    forget(&tls_openssl);
    forget(&tls_gnutls);
}
