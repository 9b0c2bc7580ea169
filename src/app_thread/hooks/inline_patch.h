/*
 * Functions that a program calls inside itself, where no name leads to them: their first
 * instructions are replaced by a jump, and run in a copy before the rest.
 *
 * Only before the program has a second thread, and only where every instruction that is moved is
 * one of a short list that means the same at any address (pushes, moves between registers, room on
 * the stack): otherwise nothing is changed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inline_patch_result {
    INLINE_PATCH_DONE,
    INLINE_PATCH_PROLOGUE, /* a function begins in a way that is not known */
    INLINE_PATCH_FORBIDDEN /* the system does not allow code to be changed */
};

struct inline_patch {
    void *function;
    const void *replacement;
    void *original; /* set: calls the function as it was */
};

/* The size of the whole instructions at `code` that make up at least `wanted` bytes; 0 if one of
   them is not known to be movable. Looks at no more than `wanted` + 6 bytes. */
size_t inline_patch_prologue(const uint8_t *code, size_t wanted);

/* All of them or none. */
enum inline_patch_result inline_patch(struct inline_patch *patches, size_t count);
