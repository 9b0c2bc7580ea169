#include "app_thread/hooks/inline_patch.h"

#include <string.h>

/*
 * Two instructions are overwritten: `bti c`, so that the function may be called through a pointer
 * where the system checks that, and a branch to the cell. Branches with an offset are not checked,
 * and need no register; so the cell lies where they reach.
 *
 *     cell:  the two instructions as they were
 *            b      function + 8
 *     + 16:  ldr    x16, + 8
 *            br     x16
 *            the replacement's address
 */
#define INSTRUCTION  4u
#define ENTRY_BYTES  (2 * INSTRUCTION)
#define VENEER       16u
#define BRANCH_REACH (UINT32_C(1) << 27)

const struct inline_patch_cpu inline_patch_cpu = {
    .entry_bytes = ENTRY_BYTES,
    .reach = BRANCH_REACH - (UINT32_C(1) << 20), /* from anywhere in the function and the cell */
};

static bool is_movable(uint32_t code)
{
    static const struct {
        uint32_t mask;
        uint32_t code;
    } known[] = {
        {0xFFFFFFFF, 0xD503233F}, /* paciasp */
        {0xFFFFFFFF, 0xD503237F}, /* pacibsp */
        {0xFFFFFF3F, 0xD503241F}, /* bti, with any target */
        {0xFFC003E0, 0xA98003E0}, /* stp x, x, [sp, #n]! */
        {0xFFC003E0, 0xA90003E0}, /* stp x, x, [sp, #n] */
        {0xFF8003FF, 0xD10003FF}, /* sub sp, sp, #n */
        {0xFF8003E0, 0x910003E0}, /* add x, sp, #n: mov x, sp */
        {0x7FE0FFE0, 0x2A0003E0}, /* mov r, r */
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if ((code & known[i].mask) == known[i].code) {
            return true;
        }
    }
    return false;
}

static uint32_t instruction_at(const uint8_t *code)
{
    return (uint32_t)code[0] | (uint32_t)code[1] << 8 | (uint32_t)code[2] << 16 |
           (uint32_t)code[3] << 24;
}

static void put_instruction(uint8_t *code, uint32_t instruction)
{
    for (unsigned i = 0; i < INSTRUCTION; i++) {
        code[i] = (uint8_t)(instruction >> 8 * i);
    }
}

size_t inline_patch_prologue(const uint8_t *code, size_t wanted)
{
    size_t size = 0;
    for (; size < wanted; size += INSTRUCTION) {
        if (!is_movable(instruction_at(code + size))) {
            return 0;
        }
    }
    return size;
}

static uint32_t branch(const uint8_t *from, const uint8_t *to)
{
    uintptr_t offset = (uintptr_t)to - (uintptr_t)from;
    return UINT32_C(0x14000000) | ((uint32_t)(offset >> 2) & UINT32_C(0x03FFFFFF));
}

void inline_patch_make(uint8_t cell[INLINE_PATCH_CELL_BYTES], const uint8_t *function, size_t size,
                       const void *replacement, uint8_t entry[INLINE_PATCH_ENTRY_BYTES])
{
    uint64_t target = (uint64_t)(uintptr_t)replacement;
    memcpy(cell, function, size);
    put_instruction(cell + size, branch(cell + size, function + size));
    put_instruction(cell + VENEER, UINT32_C(0x58000050));
    put_instruction(cell + VENEER + INSTRUCTION, UINT32_C(0xD61F0200));
    memcpy(cell + VENEER + 2 * INSTRUCTION, &target, sizeof(target));
    put_instruction(entry, UINT32_C(0xD503245F));
    put_instruction(entry + INSTRUCTION, branch(function + INSTRUCTION, cell + VENEER));
}

void inline_patch_made(uint8_t *code, size_t size)
{
    __builtin___clear_cache((char *)code, (char *)code + size);
}
