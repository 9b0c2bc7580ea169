#include "app_thread/hooks/inline_patch.h"

#include <string.h>

/* jmp *0(%rip), and the address behind it. */
#define JUMP_BYTES 14u

const struct inline_patch_cpu inline_patch_cpu = {.entry_bytes = JUMP_BYTES, .reach = UINTPTR_MAX};

/* One instruction; 0: not on the list. */
static size_t movable(const uint8_t *code)
{
    static const uint8_t branch_target[4] = {0xF3, 0x0F, 0x1E, 0xFA}; /* endbr64 */
    if (code[0] == branch_target[0]) {
        return memcmp(code, branch_target, sizeof(branch_target)) == 0 ? sizeof(branch_target) : 0;
    }
    bool has_prefix = (code[0] & 0xF0) == 0x40; /* REX */
    size_t at = has_prefix ? 1 : 0;
    uint8_t operation = code[at];
    if (operation >= 0x50 && operation <= 0x57) { /* push register */
        return at + 1;
    }
    bool between_registers = (code[at + 1] & 0xC0) == 0xC0;
    if ((operation == 0x89 || operation == 0x8B || operation == 0x31 || operation == 0x33) &&
        between_registers) { /* mov, xor */
        return at + 2;
    }
    /* test r, r, of an argument that may be below 0 (js): it is the first thing done, and nothing
       comes back to it. What jumps back behind it leaves the flags alone. */
    if (operation == 0x85 && between_registers &&
        (code[at + 2] == 0x78 || (code[at + 2] == 0x0F && code[at + 3] == 0x88))) {
        return at + 2;
    }
    bool is_sub_rsp = has_prefix && code[0] == 0x48 && code[at + 1] == 0xEC;
    if (operation == 0x83 && is_sub_rsp) {
        return at + 3;
    }
    if (operation == 0x81 && is_sub_rsp) {
        return at + 6;
    }
    return 0;
}

size_t inline_patch_prologue(const uint8_t *code, size_t wanted)
{
    size_t size = 0;
    while (size < wanted) {
        size_t next = movable(code + size);
        if (next == 0) {
            return 0;
        }
        size += next;
    }
    return size;
}

static void write_jump(uint8_t *at, const void *target)
{
    static const uint8_t jump[6] = {0xFF, 0x25, 0, 0, 0, 0};
    memcpy(at, jump, sizeof(jump));
    memcpy(at + sizeof(jump), &target, sizeof(target));
}

void inline_patch_make(uint8_t cell[INLINE_PATCH_CELL_BYTES], const uint8_t *function, size_t size,
                       const void *replacement, uint8_t entry[INLINE_PATCH_ENTRY_BYTES])
{
    memcpy(cell, function, size);
    write_jump(cell + size, function + size);
    write_jump(entry, replacement);
}

void inline_patch_made(uint8_t *code, size_t size)
{
    (void)code;
    (void)size;
}
