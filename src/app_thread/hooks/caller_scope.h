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
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/limits.h"

#define SCOPE_FUNCTIONS 32u

typedef void scope_function(void);

/* The functions of a family in one library, in the order of the family's names. NULL: it has none
   of that name. Never changes once it was found. */
struct scope_library {
    _Atomic bool is_ready;
    bool calls_itself; /* the caller is the library */
    scope_function *functions[SCOPE_FUNCTIONS];
};

struct scope_family {
    const char (*names)[32]; /* the first one is interposed, and in every such library */
    uint32_t count;
    _Atomic uint32_t claimed;
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

/* An object is about to be unloaded. */
void caller_scope_forget_all(void);
