#include "app_thread/hooks/inline_patch.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/system_call.h"

#define PAGE_BYTES 4096u
/* jmp *0(%rip), and the address behind it. */
#define JUMP_BYTES 14u
/* Room for a moved prologue and the jump back. */
#define TRAMPOLINE_BYTES 64u

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

static bool protect(const void *start, size_t size, int protection)
{
    uintptr_t first = (uintptr_t)start & ~(uintptr_t)(PAGE_BYTES - 1);
    uintptr_t end = ((uintptr_t)start + size + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
    return raw_system_call(SYS_mprotect, (long)first, (long)(end - first), protection, 0, 0, 0) ==
           0;
}

enum inline_patch_result inline_patch(struct inline_patch *patches, size_t count)
{
    size_t sizes[PAGE_BYTES / TRAMPOLINE_BYTES];
    if (count > PAGE_BYTES / TRAMPOLINE_BYTES) {
        return INLINE_PATCH_FORBIDDEN;
    }
    for (size_t i = 0; i < count; i++) {
        sizes[i] = inline_patch_prologue(patches[i].function, JUMP_BYTES);
        if (sizes[i] == 0) {
            return INLINE_PATCH_PROLOGUE;
        }
    }
    long page = raw_system_call(SYS_mmap, 0, PAGE_BYTES, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page < 0 && page > -4096) {
        return INLINE_PATCH_FORBIDDEN;
    }
    uint8_t *trampolines = (uint8_t *)page;
    for (size_t i = 0; i < count; i++) {
        uint8_t *trampoline = trampolines + i * TRAMPOLINE_BYTES;
        memcpy(trampoline, patches[i].function, sizes[i]);
        write_jump(trampoline + sizes[i], (const uint8_t *)patches[i].function + sizes[i]);
        patches[i].original = trampoline;
    }
    bool allowed = protect(trampolines, PAGE_BYTES, PROT_READ | PROT_EXEC);
    size_t open = 0;
    while (allowed && open < count) {
        allowed = protect(patches[open].function, JUMP_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
        open += allowed;
    }
    for (size_t i = 0; allowed && i < count; i++) {
        write_jump(patches[i].function, patches[i].replacement);
    }
    for (size_t i = 0; i < open; i++) {
        protect(patches[i].function, JUMP_BYTES, PROT_READ | PROT_EXEC);
    }
    if (!allowed) {
        raw_system_call(SYS_munmap, page, PAGE_BYTES, 0, 0, 0, 0);
        return INLINE_PATCH_FORBIDDEN;
    }
    return INLINE_PATCH_DONE;
}
