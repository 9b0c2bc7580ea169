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

/* All of them or none. */
enum inline_patch_result inline_patch(struct inline_patch *patches, size_t count);

/* ---- by processor: inline_patch_<cpu>.c ---- */

/* Room in which a function's beginning goes on, for each. */
#define INLINE_PATCH_CELL_BYTES 64u
/* The most that is overwritten at a function's beginning. */
#define INLINE_PATCH_ENTRY_BYTES 16u

struct inline_patch_cpu {
    size_t entry_bytes; /* overwritten at a function's beginning */
    uintptr_t reach;    /* how far from the function the cell may lie; UINTPTR_MAX: anywhere */
};

extern const struct inline_patch_cpu inline_patch_cpu;

/* The size of the whole instructions at `code` that make up at least `wanted` bytes; 0 if one of
   them is not known to be movable. Looks at no more than `wanted` + 6 bytes. */
size_t inline_patch_prologue(const uint8_t *code, size_t wanted);

/* Makes the cell, which runs the first `size` bytes of the function and then the rest, and what is
   to be written over its beginning. Both are written for where `cell` and `function` lie. */
void inline_patch_make(uint8_t cell[INLINE_PATCH_CELL_BYTES], const uint8_t *function, size_t size,
                       const void *replacement, uint8_t entry[INLINE_PATCH_ENTRY_BYTES]);

/* Code at these addresses is new. */
void inline_patch_made(uint8_t *code, size_t size);
