#include "app_thread/hooks/environment.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "app_thread/callbacks.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/thread_state.h"
#include "base/symbol_versions.h"

static char *find(const char *const *environment, const char *name)
{
    size_t size = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=') {
            return (char *)(uintptr_t)(*environment + size + 1);
        }
    }
    return NULL;
}

/* ---- the end ---- */

static const void *_Atomic exporters_first;

void environment_note_libraries(const void *first)
{
    Dl_info info;
    if (first != NULL && dladdr(first, &info) != 0) {
        atomic_store_explicit(&exporters_first, info.dli_fbase, memory_order_relaxed);
    }
}

struct order {
    uintptr_t first;
    uintptr_t caller;
};

static uintptr_t base_of(const struct dl_phdr_info *object)
{
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type == PT_LOAD) {
            return object->dlpi_addr + (object->dlpi_phdr[i].p_vaddr & ~(uintptr_t)0xFFF);
        }
    }
    return 0;
}

/* Objects come in the order in which they were loaded. */
static int compare(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size;
    const struct order *order = context;
    uintptr_t base = base_of(object);
    return base == order->caller ? 1 : base == order->first ? 2 : 0;
}

static SLOW bool is_exporters(const void *return_address, const void *first)
{
    Dl_info info;
    if (dladdr(return_address, &info) == 0) {
        return false;
    }
    struct order order = {(uintptr_t)first, (uintptr_t)info.dli_fbase};
    return dl_iterate_phdr(compare, &order) == 2;
}

/* ---- hooks ---- */

/* An allocator that starts before everything must not be asked for memory, as the loader may do
   when it is asked for the original. */
typedef char *get_variable(const char *name);

static char *get(get_variable *original, const char *name, const void *return_address)
{
    const void *first = atomic_load_explicit(&exporters_first, memory_order_relaxed);
    if (unlikely(thread_state.is_ours || (first != NULL && is_exporters(return_address, first)))) {
        return find(callbacks.environment, name);
    }
    return original != NULL ? original(name) : find((const char *const *)environ, name);
}

EXPORTED char *getenv(const char *name)
{
    return get(original_getenv, name, __builtin_return_address(0));
}

EXPORTED char *secure_getenv(const char *name)
{
    if (unlikely(original_secure_getenv == NULL) && getauxval(AT_SECURE) != 0) {
        return NULL;
    }
    return get(original_secure_getenv, name, __builtin_return_address(0));
}
