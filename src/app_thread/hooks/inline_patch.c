#include "app_thread/hooks/inline_patch.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/system_call.h"

#define PATCHES_MAX 16u
/* Where room for the cells is looked for, in steps from the function. */
#define TRIES      64
#define STEP_BYTES (UINT32_C(1) << 21)

static uintptr_t page_bytes(void)
{
    return getauxval(AT_PAGESZ);
}

static bool protect(const void *start, size_t size, int protection)
{
    uintptr_t first = (uintptr_t)start & ~(page_bytes() - 1);
    uintptr_t end = ((uintptr_t)start + size + page_bytes() - 1) & ~(page_bytes() - 1);
    return raw_system_call(SYS_mprotect, (long)first, (long)(end - first), protection, 0, 0, 0) ==
           0;
}

static bool reaches(uintptr_t cells, const struct inline_patch *patches, size_t count)
{
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        uintptr_t function = (uintptr_t)patches[i].function;
        uintptr_t distance = cells > function ? cells - function : function - cells;
        all = all && distance <= inline_patch_cpu.reach;
    }
    return all;
}

/* A page that branches from all the functions reach; NULL: none is to be had. */
static uint8_t *map_cells(const struct inline_patch *patches, size_t count)
{
    uintptr_t nearby = (uintptr_t)patches[0].function & ~(uintptr_t)(STEP_BYTES - 1);
    for (int i = 0; i < TRIES; i++) {
        uintptr_t step = (uintptr_t)(i / 2 + 1) * STEP_BYTES;
        uintptr_t hint = i % 2 == 0 ? nearby + step : nearby > step ? nearby - step : 0;
        hint = inline_patch_cpu.reach == UINTPTR_MAX ? 0 : hint;
        long page = raw_system_call(SYS_mmap, (long)hint, (long)page_bytes(),
                                    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page < 0 && page > -4096) {
            return NULL;
        }
        if (reaches((uintptr_t)page, patches, count)) {
            return (uint8_t *)page;
        }
        raw_system_call(SYS_munmap, page, (long)page_bytes(), 0, 0, 0, 0);
    }
    return NULL;
}

/* Nothing of the functions is changed yet. */
static bool make_cells(struct inline_patch *patches, size_t count, const size_t *sizes,
                       uint8_t *cells, uint8_t (*entries)[INLINE_PATCH_ENTRY_BYTES])
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *cell = cells + i * INLINE_PATCH_CELL_BYTES;
        inline_patch_make(cell, patches[i].function, sizes[i], patches[i].replacement, entries[i]);
        patches[i].original = cell;
    }
    inline_patch_made(cells, count * INLINE_PATCH_CELL_BYTES);
    return protect(cells, page_bytes(), PROT_READ | PROT_EXEC);
}

enum inline_patch_result inline_patch(struct inline_patch *patches, size_t count)
{
    size_t sizes[PATCHES_MAX];
    uint8_t entries[PATCHES_MAX][INLINE_PATCH_ENTRY_BYTES];
    size_t entry_bytes = inline_patch_cpu.entry_bytes;
    if (count > PATCHES_MAX) {
        return INLINE_PATCH_FORBIDDEN;
    }
    for (size_t i = 0; i < count; i++) {
        sizes[i] = inline_patch_prologue(patches[i].function, entry_bytes);
        if (sizes[i] == 0) {
            return INLINE_PATCH_PROLOGUE;
        }
    }
    uint8_t *cells = map_cells(patches, count);
    if (cells == NULL) {
        return INLINE_PATCH_FORBIDDEN;
    }
    bool allowed = make_cells(patches, count, sizes, cells, entries);
    size_t open = 0;
    while (allowed && open < count) {
        allowed = protect(patches[open].function, entry_bytes, PROT_READ | PROT_WRITE | PROT_EXEC);
        open += allowed;
    }
    for (size_t i = 0; allowed && i < count; i++) {
        memcpy(patches[i].function, entries[i], entry_bytes);
        inline_patch_made(patches[i].function, entry_bytes);
    }
    for (size_t i = 0; i < open; i++) {
        protect(patches[i].function, entry_bytes, PROT_READ | PROT_EXEC);
    }
    if (!allowed) {
        raw_system_call(SYS_munmap, (long)cells, (long)page_bytes(), 0, 0, 0, 0);
        return INLINE_PATCH_FORBIDDEN;
    }
    return INLINE_PATCH_DONE;
}
