#include "app_thread/hooks/caller_scope.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "app_thread/hooks/hiredis.h"
#include "app_thread/hooks/libcurl.h"
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

struct extent {
    uintptr_t address;
    uintptr_t base;
    uintptr_t size;
};

static int find_extent(struct dl_phdr_info *info, size_t size, void *context)
{
    struct extent *extent = context;
    uintptr_t first = UINTPTR_MAX;
    uintptr_t end = 0;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD) {
            first = start < first ? start : first;
            end = start + header->p_memsz > end ? start + header->p_memsz : end;
        }
    }
    if (extent->address < first || extent->address >= end) {
        return 0;
    }
    extent->base = first;
    extent->size = end - first;
    return 1;
}

static void fill(const struct scope_family *family, void *scope, const void *caller,
                 struct scope_library *library)
{
    for (uint32_t i = 0; i < family->count; i++) {
        void *found = look_up(scope, family->names[i]);
        /* Stored through a copy: ISO C has no such conversion. */
        memcpy(&library->functions[i], &found, sizeof(found));
    }
    void *first = look_up(scope, family->names[0]);
    struct extent extent = {.address = (uintptr_t)first};
    library->calls_itself = caller != NULL && object_of(first) == caller;
    if (family->shows_itself) {
        dl_iterate_phdr(find_extent, &extent);
    }
    library->base = extent.base;
    library->size = extent.size;
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
        fill(family, scope, caller.dli_fbase, library);
    }
    if (to_close != NULL) {
        original_dlclose(to_close);
    }
}

static bool is_same(const struct scope_library *a, const struct scope_library *b)
{
    return a->calls_itself == b->calls_itself && a->base == b->base && a->size == b->size &&
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
    library->base = found->base;
    library->size = found->size;
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

/* ---- whose session it is ---- */

/* The object at that address has the family's functions: fills `*library` with them. */
static bool resolve_at(const struct scope_family *family, const void *address,
                       struct scope_library *library)
{
    Dl_info info;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL || info.dli_fname[0] != '/') {
        return false;
    }
    void *handle = original_dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    void *function = handle == NULL ? NULL : look_up(handle, family->names[0]);
    bool found = function != NULL && object_of(function) == info.dli_fbase;
    if (found) {
        memset(library, 0, sizeof(*library));
        fill(family, handle, NULL, library);
    }
    if (handle != NULL) {
        original_dlclose(handle);
    }
    return found;
}

SLOW const struct scope_library *caller_scope_of_session(struct scope_family *family,
                                                         const void *session,
                                                         const struct scope_library *library,
                                                         struct scope_library *spare)
{
    uintptr_t number = (uintptr_t)(library - family->libraries);
    uint32_t bit = number < LIMIT_TLS_LIBRARIES ? 1u << number : 0;
    if (atomic_load_explicit(&family->trusted, memory_order_relaxed) & bit) {
        return library;
    }
    bool is_current = !atomic_load_explicit(&family->has_unloaded, memory_order_relaxed);
    for (uint32_t i = 0; is_current && i < LIMIT_TLS_LIBRARIES; i++) {
        const struct scope_library *known = &family->libraries[i];
        if (atomic_load_explicit(&known->is_ready, memory_order_acquire) && known->size != 0 &&
            !known->calls_itself && caller_scope_owns(known, session)) {
            return known;
        }
    }
    int error = errno;
    uintptr_t words[SCOPE_SESSION_WORDS];
    memcpy(words, session, sizeof(words));
    struct scope_library owner;
    for (unsigned i = 0; i < SCOPE_SESSION_WORDS; i++) {
        if (resolve_at(family, (const void *)words[i], &owner)) {
            uint32_t known = remember(family, &owner);
            if (known == 0) {
                memcpy(spare, &owner, sizeof(*spare));
            }
            errno = error;
            return known == 0 ? spare : &family->libraries[known - 1];
        }
    }
    atomic_fetch_or_explicit(&family->trusted, bit, memory_order_relaxed);
    errno = error;
    return library;
}

bool caller_scope_is_inner(const struct scope_library *library, const void *return_address)
{
    return library->calls_itself || caller_scope_is_ours(return_address);
}

static void forget(struct scope_family *family)
{
    if (atomic_load_explicit(&family->claimed, memory_order_relaxed) == 0) {
        return;
    }
    atomic_store_explicit(&family->has_unloaded, true, memory_order_relaxed);
    for (uint32_t i = 0; i < LIMIT_TLS_CALLERS; i++) {
        atomic_store_explicit(&family->callers[i], 0, memory_order_relaxed);
    }
}

void caller_scope_forget_all(void)
{
    forget(&tls_openssl);
    forget(&tls_gnutls);
    forget(&libcurl_family);
    forget(&hiredis_family);
}
