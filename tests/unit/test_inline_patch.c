/* Which beginnings of functions may be moved, and a function that is patched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "app_thread/hooks/inline_patch.h"

#define JUMP_BYTES 14u

static size_t prologue(const char *bytes, size_t size)
{
    uint8_t code[64];
    memset(code, 0xCC, sizeof(code));
    memcpy(code, bytes, size);
    return inline_patch_prologue(code, JUMP_BYTES);
}

#define PROLOGUE(bytes) prologue(bytes, sizeof(bytes) - 1)

static void takes_what_node_begins_with(void **state)
{
    (void)state;
    /* push rbp; mov rbp, rsp; push r14, r13, r12; sub rsp, 72; test edx, edx */
    assert_int_equal(PROLOGUE("\x55\x48\x89\xe5\x41\x56\x41\x55\x41\x54\x48\x83\xec\x48\x85\xd2"),
                     14);
    /* and with r15 and rbx */
    assert_int_equal(
        PROLOGUE("\x55\x48\x89\xe5\x41\x57\x41\x56\x41\x55\x41\x54\x53\x48\x83\xec\x48\x85\xd2"),
        17);
    /* Node 18 saves fewer registers: ...; sub rsp, 88; test edx, edx; js */
    assert_int_equal(PROLOGUE("\x55\x48\x89\xe5\x41\x55\x41\x54\x53\x48\x83\xec\x58\x85\xd2"
                              "\x0f\x88\x2c\x01\x00\x00"),
                     15);
    /* endbr64; push; mov; sub rsp, 0x1000 */
    assert_int_equal(PROLOGUE("\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x48\x81\xec\x00\x10\x00\x00"), 15);
    /* mov r12, rdi; xor eax, eax; and pushes */
    assert_int_equal(PROLOGUE("\x49\x89\xfc\x31\xc0\x55\x53\x41\x54\x41\x55\x41\x56\x41\x57"), 15);
}

static void leaves_what_depends_on_its_place(void **state)
{
    (void)state;
    static const char rip[] = "\x55\x48\x8b\x05\x00\x00\x00\x00\x55\x55\x55\x55\x55\x55\x55";
    static const char call[] = "\x55\xe8\x00\x00\x00\x00\x55\x55\x55\x55\x55\x55\x55\x55\x55";
    static const char branch[] = "\x55\x55\x85\xd2\x0f\x88\x00\x01\x00\x00\x55\x55\x55\x55\x55";
    static const char ret[] = "\x55\x5d\xc3\x55\x55\x55\x55\x55\x55\x55\x55\x55\x55\x55\x55";
    static const char jump[] = "\xff\x25\x00\x00\x00\x00\x55\x55\x55\x55\x55\x55\x55\x55\x55";
    static const char repeated[] = "\xf3\xa4\x55\x55\x55\x55\x55\x55\x55\x55\x55\x55\x55\x55\x55";
    /* A test that decides something else than whether an argument is below 0 may begin a loop. */
    static const char loop[] = "\x55\x48\x89\xe5\x41\x55\x41\x54\x53\x48\x83\xec\x58\x85\xd2"
                               "\x0f\x84\x2c\x01\x00\x00";
    static const char memory[] = "\x55\x48\x89\xe5\x41\x55\x41\x54\x53\x48\x83\xec\x58\x85\x12"
                                 "\x0f\x88\x2c\x01\x00\x00";
    assert_int_equal(PROLOGUE(loop), 0);
    assert_int_equal(PROLOGUE(memory), 0);
    assert_int_equal(PROLOGUE(rip), 0);
    assert_int_equal(PROLOGUE(call), 0);
    assert_int_equal(PROLOGUE(branch), 0);
    assert_int_equal(PROLOGUE(ret), 0);
    assert_int_equal(PROLOGUE(jump), 0);
    assert_int_equal(PROLOGUE(repeated), 0);
}

/* int f(int a): push rbp; mov rbp, rsp; push r14, r13, r12, rbx; sub rsp, 16; lea eax, [rdi + 1];
   and all of it back. */
static const uint8_t add_one[] = {0x55, 0x48, 0x89, 0xE5, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0x53,
                                  0x48, 0x83, 0xEC, 0x10, 0x8D, 0x47, 0x01, 0x48, 0x83, 0xC4, 0x10,
                                  0x5B, 0x41, 0x5C, 0x41, 0x5D, 0x41, 0x5E, 0x5D, 0xC3};

typedef int function(int);

static union {
    void *pointer;
    function *call;
} original;

static int replacement(int argument)
{
    return original.call(argument) * 100;
}

static void calls_the_replacement_and_the_original(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *code =
        mmap(NULL, page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(code != MAP_FAILED);
    /* Over the edge of a page, too. */
    const size_t places[] = {0, page - 7};
    for (size_t i = 0; i < 2; i++) {
        memcpy(code + places[i], add_one, sizeof(add_one));
    }
    assert_int_equal(mprotect(code, page * 2, PROT_READ | PROT_EXEC), 0);
    for (size_t i = 0; i < 2; i++) {
        union {
            void *pointer;
            function *call;
        } patched = {.pointer = code + places[i]}, other = {.call = replacement};
        assert_int_equal(patched.call(4), 5);
        struct inline_patch patch = {.function = patched.pointer, .replacement = other.pointer};
        assert_int_equal(inline_patch(&patch, 1), INLINE_PATCH_DONE);
        original.pointer = patch.original;
        assert_int_equal(patched.call(4), 500);
        assert_int_equal(original.call(4), 5);
    }
    munmap(code, page * 2);
}

static void changes_all_or_nothing(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *code = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(code != MAP_FAILED);
    memcpy(code, add_one, sizeof(add_one));
    memset(code + 64, 0xC3, 32);
    struct inline_patch patches[2] = {
        {.function = code, .replacement = code},
        {.function = code + 64, .replacement = code},
    };
    assert_int_equal(inline_patch(patches, 2), INLINE_PATCH_PROLOGUE);
    assert_memory_equal(code, add_one, sizeof(add_one));
    munmap(code, page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_node_begins_with),
        cmocka_unit_test(leaves_what_depends_on_its_place),
        cmocka_unit_test(calls_the_replacement_and_the_original),
        cmocka_unit_test(changes_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
