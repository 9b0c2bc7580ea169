#include "app_thread/host_names.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

/* Workers talk to a handful of servers; an older name is forgotten first. */
#define NAMES      64u
#define NAME_BYTES 64u

/* A sequence lock: odd while somebody writes. A reader that meets a writer finds no name; a writer
   that meets a writer forgets its own. */
struct host_name {
    _Atomic uint32_t sequence;
    uint8_t family;
    uint8_t address[16];
    char name[NAME_BYTES];
};

static struct host_name names[NAMES];
static _Atomic uint32_t next_name;

static size_t address_size(const struct endpoint *address)
{
    return address->family == ADDRESS_IPV4 ? 4 : 16;
}

static bool is_same(const struct host_name *entry, const struct endpoint *address)
{
    return entry->family == address->family &&
           memcmp(entry->address, address->address, address_size(address)) == 0;
}

void host_names_add(const struct endpoint *address, const char *name)
{
    size_t size = strnlen(name, NAME_BYTES);
    if (size == 0 || size == NAME_BYTES) {
        return;
    }
    uint32_t index = NAMES;
    for (uint32_t i = 0; i < NAMES; i++) {
        if (is_same(&names[i], address)) {
            index = i;
            break;
        }
    }
    if (index == NAMES) {
        index = atomic_fetch_add_explicit(&next_name, 1, memory_order_relaxed) % NAMES;
    }
    struct host_name *entry = &names[index];
    uint32_t sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
    if ((sequence & 1) != 0 ||
        !atomic_compare_exchange_strong_explicit(&entry->sequence, &sequence, sequence + 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return;
    }
    atomic_thread_fence(memory_order_release);
    entry->family = address->family;
    memcpy(entry->address, address->address, sizeof(entry->address));
    memcpy(entry->name, name, size + 1);
    /* pairs with the first load in copy_name */
    atomic_store_explicit(&entry->sequence, sequence + 2, memory_order_release);
}

static bool copy_name(const struct host_name *entry, const struct endpoint *address, char *into,
                      size_t capacity)
{
    uint32_t before = atomic_load_explicit(&entry->sequence, memory_order_acquire);
    if ((before & 1) != 0 || before == 0 || !is_same(entry, address)) {
        return false;
    }
    size_t size = capacity < NAME_BYTES ? capacity : NAME_BYTES;
    memcpy(into, entry->name, size);
    into[size - 1] = '\0';
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&entry->sequence, memory_order_relaxed) == before;
}

void host_names_find(const struct endpoint *address, char *into, size_t capacity)
{
    if (address->family == ADDRESS_IPV4 || address->family == ADDRESS_IPV6) {
        for (uint32_t i = 0; i < NAMES; i++) {
            if (copy_name(&names[i], address, into, capacity)) {
                return;
            }
        }
    }
    into[0] = '\0';
}
