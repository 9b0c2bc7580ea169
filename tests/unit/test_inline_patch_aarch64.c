/* The other processor's way of patching, on bytes: nothing of it runs here. The encodings are those
   that an assembler gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app_thread/hooks/inline_patch.h"

#define ENTRY_BYTES 8u

static size_t prologue(uint32_t first, uint32_t second)
{
    const uint32_t code[] = {first, second, 0xD65F03C0};
    return inline_patch_prologue((const uint8_t *)code, ENTRY_BYTES);
}

static void takes_what_functions_begin_with(void **state)
{
    (void)state;
    static const uint32_t movable[] = {
        0xD503233F, /* paciasp */
        0xD503237F, /* pacibsp */
        0xD503241F, /* bti */
        0xD503245F, /* bti c */
        0xD50324DF, /* bti jc */
        0xA9BD7BFD, /* stp x29, x30, [sp, #-48]! */
        0xA90153F3, /* stp x19, x20, [sp, #16] */
        0xD10103FF, /* sub sp, sp, #64 */
        0xD14007FF, /* sub sp, sp, #1, lsl #12 */
        0x910003FD, /* mov x29, sp */
        0x910083FD, /* add x29, sp, #32 */
        0xAA0003F3, /* mov x19, x0 */
        0x2A0203F4, /* mov w20, w2 */
    };
    for (size_t i = 0; i < sizeof(movable) / sizeof(movable[0]); i++) {
        assert_int_equal(prologue(movable[i], 0xA9BD7BFD), ENTRY_BYTES);
        assert_int_equal(prologue(0xA9BD7BFD, movable[i]), ENTRY_BYTES);
    }
}

static void leaves_everything_else(void **state)
{
    (void)state;
    static const uint32_t others[] = {
        0x14000002, /* b */
        0x94000002, /* bl */
        0x54000040, /* b.eq */
        0xB4000040, /* cbz x0 */
        0x36000040, /* tbz w0, #0 */
        0x10000000, /* adr x0 */
        0x90000000, /* adrp x0 */
        0x58000040, /* ldr x0, literal */
        0xD65F03C0, /* ret */
        0xD61F0200, /* br x16 */
        0xD503201F, /* nop, which may be there to be patched by somebody else */
        0xA9BD7C1D, /* stp x29, xzr, [x0, #-48]!: not the stack */
        0xA8C37BFD, /* ldp x29, x30, [sp], #48 */
        0xD1010000, /* sub x0, x0, #64 */
        0x00000000, /* udf */
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(prologue(others[i], 0xA9BD7BFD), 0);
        assert_int_equal(prologue(0xA9BD7BFD, others[i]), 0);
    }
}

/* Where a branch at `from` goes. */
static const uint8_t *branch_target(const uint8_t *from)
{
    uint32_t code;
    memcpy(&code, from, sizeof(code));
    assert_int_equal(code >> 26, 5);
    int32_t offset = (int32_t)(code << 6) >> 4;
    return from + offset;
}

static uint8_t room[3][4096] __attribute__((aligned(4096)));

static void check(uint8_t *cell, uint8_t *function)
{
    static const uint32_t begins[] = {0xD503233F, 0xA9BD7BFD, 0x910003FD};
    uint8_t entry[INLINE_PATCH_ENTRY_BYTES];
    uint32_t code[4];
    uint64_t target;
    memcpy(function, begins, sizeof(begins));
    inline_patch_make(cell, function, ENTRY_BYTES, room[1] + 5, entry);
    assert_memory_equal(function, begins, sizeof(begins));
    assert_memory_equal(cell, begins, ENTRY_BYTES);
    assert_ptr_equal(branch_target(cell + ENTRY_BYTES), function + ENTRY_BYTES);
    memcpy(function, entry, inline_patch_cpu.entry_bytes);
    memcpy(code, function, sizeof(code[0]));
    assert_int_equal(code[0], 0xD503245F);
    const uint8_t *veneer = branch_target(function + 4);
    assert_true(veneer >= cell + ENTRY_BYTES + 4 && veneer + 16 <= cell + INLINE_PATCH_CELL_BYTES);
    memcpy(code, veneer, 2 * sizeof(code[0]));
    assert_int_equal(code[0], 0x58000050); /* ldr x16, of what lies 8 bytes further */
    assert_int_equal(code[1], 0xD61F0200); /* br x16 */
    memcpy(&target, veneer + 8, sizeof(target));
    assert_int_equal(target, (uintptr_t)(room[1] + 5));
}

static void jumps_there_and_back(void **state)
{
    (void)state;
    assert_int_equal(inline_patch_cpu.entry_bytes, ENTRY_BYTES);
    assert_true(inline_patch_cpu.reach < UINT32_C(1) << 27);
    check(room[0], room[2]);
    check(room[2] + 64, room[0] + 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_functions_begin_with),
        cmocka_unit_test(leaves_everything_else),
        cmocka_unit_test(jumps_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
