/*
 * Functions of libraries that a program may have, not have, have twice, or load privately.
 *
 * The original of such a function is the one that its caller would have got: looked up in the scope
 * of the object that the call comes from. RTLD_NEXT does not know it where the library came in with
 * an object that was loaded privately (CPython's _ssl.so, Perl's SSLeay.so), and knows the wrong
 * one where there are two.
 *
 * Found are all functions of a family at once, at the first call from an object: this is the one
 * place where a hook asks the loader, which takes the loader's lock and allocates. From then on a
 * call costs one look into a table by the page of the return address. Unloading an object empties
 * that table.
 *
 * A caller may also pass its own return address on (a jump at the end of a function): then the
 * scope is another object's, and maybe that of another copy of the library. What a session belongs
 * to shows in itself: one of its first words points into its library.
 *
 * A library may call functions of its own by their names, and may do so by a jump: then the call
 * seems to come from the wrapper that called the library. Its scope is that wrapper's.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "app_thread/thread_state.h"
#include "base/compiler.h"
#include "base/limits.h"

#define SCOPE_FUNCTIONS  32u
#define SCOPE_NAME_BYTES 32u

typedef void scope_function(void);

/* The functions of a family in one library, in the order of the family's names. NULL: it has none
   of that name. Never changes once it was found. */
struct scope_library {
    _Atomic bool is_ready;
    bool calls_itself; /* the caller is the library */
    uintptr_t base;    /* where the library lies */
    uintptr_t size;    /* 0: its sessions do not show it */
    scope_function *functions[SCOPE_FUNCTIONS];
};

struct scope_family {
    const char (
        *names)[SCOPE_NAME_BYTES]; /* the first one is interposed, and in every such library */
    uint32_t count;
    bool shows_itself;         /* sessions point into their library */
    _Atomic bool has_unloaded; /* some objects are not where they were */
    _Atomic uint32_t claimed;
    _Atomic uint32_t trusted; /* a bit for each library whose sessions point nowhere */
    _Atomic uint64_t callers[LIMIT_TLS_CALLERS]; /* page << 8 | number of the library, from 1 */
    struct scope_library libraries[LIMIT_TLS_LIBRARIES];
};

SLOW const struct scope_library *caller_scope_find_slow(struct scope_family *family,
                                                        const void *return_address,
                                                        struct scope_library *spare);

/* The library that a call with this return address means. `*spare` is filled and returned if there
   is no room to remember it. */
static inline const struct scope_library *caller_scope_find(struct scope_family *family,
                                                            const void *return_address,
                                                            struct scope_library *spare)
{
    uint64_t page = (uint64_t)(uintptr_t)return_address >> 12;
    /* acquire pairs with the release in caller_scope_find_slow: the library is filled */
    uint64_t caller =
        atomic_load_explicit(&family->callers[page % LIMIT_TLS_CALLERS], memory_order_acquire);
    return likely(caller >> 8 == page && caller != 0)
               ? &family->libraries[(caller & 0xFF) - 1]
               : caller_scope_find_slow(family, return_address, spare);
}

/* Set by the linker: where this object begins, and where its code ends. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _etext[] __attribute__((visibility("hidden")));

/* The call comes from one of our own wrappers: it is a part of the call that this wrapper saw. */
static inline bool caller_scope_is_ours(const void *return_address)
{
    return (uintptr_t)return_address - (uintptr_t)__ehdr_start <
           (uintptr_t)_etext - (uintptr_t)__ehdr_start;
}

/* The call is a part of another one of the same library: the library's own, or a wrapper's. */
bool caller_scope_is_inner(const struct scope_library *library, const void *return_address);

/* From here on the thread is in that library; returns what it was in before. Every wrapper does
   this before it calls an original, so that what a jump out of a call left behind does no harm. */
static inline const void *caller_scope_enter(const struct scope_library *library)
{
    const void *outer = thread_state.library;
    thread_state.library = library;
    return outer;
}

/* For the cleanup attribute. */
static inline void caller_scope_leave(const void *const *outer)
{
    thread_state.library = *outer;
}

#define SCOPE_SESSION_WORDS 4u

/* The library that the session belongs to, if it can be told; else `*library`. */
SLOW const struct scope_library *caller_scope_of_session(struct scope_family *family,
                                                         const void *session,
                                                         const struct scope_library *library,
                                                         struct scope_library *spare);

static inline bool caller_scope_owns(const struct scope_library *library, const void *session)
{
    if (library->size == 0 || session == NULL) {
        return true;
    }
    uintptr_t words[SCOPE_SESSION_WORDS];
    memcpy(words, session, sizeof(words));
    bool owns = false;
    for (unsigned i = 0; i < SCOPE_SESSION_WORDS; i++) {
        owns |= words[i] - library->base < library->size;
    }
    return owns;
}

/* In a wrapper: `scope` is the library that its caller means, entered until the wrapper returns. */
#define SCOPE_OF_CALLER(family, session)                                                           \
    const void *return_address = __builtin_return_address(0);                                      \
    struct scope_library spare;                                                                    \
    const struct scope_library *scope = caller_scope_find((family), return_address, &spare);       \
    if (unlikely(!caller_scope_owns(scope, (session)))) {                                          \
        scope = caller_scope_of_session((family), (session), scope, &spare);                       \
    }                                                                                              \
    __attribute__((cleanup(caller_scope_leave))) const void *outer = caller_scope_enter(scope);    \
    (void)outer

/* An object is about to be unloaded. */
void caller_scope_forget_all(void);
