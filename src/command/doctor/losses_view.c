#include "command/doctor/losses_view.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handoff/arena.h"
#include "handoff/segment.h"

/* A part of the process's memory, as it is at that moment. */
static bool peek(int memory, uint64_t address, void *into, size_t size)
{
    return pread(memory, into, size, (off_t)address) == (ssize_t)size;
}

static bool take_segment(struct losses_view *view, int memory, uint64_t address, pid_t own_id)
{
    struct segment *segment = aligned_alloc(_Alignof(struct segment), sizeof(*segment));
    bool is_its = segment != NULL && peek(memory, address, segment, sizeof(*segment)) &&
                  segment->magic == SEGMENT_MAGIC && segment->version == SEGMENT_VERSION &&
                  segment->process_id == own_id;
    for (int i = 0; is_its && i < LOSS_COUNT; i++) {
        view->counts[i] = atomic_load_explicit(&segment->losses[i], memory_order_relaxed);
    }
    if (is_its) {
        view->witness = atomic_load_explicit(&segment->witness, memory_order_relaxed);
    }
    view->is_known |= is_its;
    free(segment);
    return is_its;
}

/* The place that the process holds. One that ended and had the same number held an older one. */
static void take_arena(struct losses_view *view, int memory, uint64_t start, uint64_t size,
                       pid_t own_id)
{
    struct arena *arena = malloc(sizeof(*arena));
    uint64_t newest = 0;
    if (arena != NULL && peek(memory, start, arena, sizeof(*arena)) &&
        arena_is_valid(arena, size)) {
        for (uint32_t i = 0; i < arena->place_count; i++) {
            const struct arena_place *place = &arena->places[i];
            uint64_t at = arena_header_size() + i * arena_segment_bytes();
            if (atomic_load_explicit(&place->state, memory_order_relaxed) == PLACE_TAKEN &&
                place->process_id == own_id && place->claimed_ns >= newest &&
                take_segment(view, memory, start + at, own_id)) {
                newest = place->claimed_ns;
            }
        }
    }
    free(arena);
}

void losses_view_read(struct losses_view *view, pid_t id, pid_t own_id, const char *maps)
{
    char path[64];
    *view = (struct losses_view){.is_known = false};
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)id);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    while (memory >= 0 && *maps != '\0' && !view->is_known) {
        uint64_t start;
        uint64_t end;
        size_t size = strcspn(maps, "\n");
        char line[256];
        snprintf(line, sizeof(line), "%.*s", (int)size, maps);
        maps += size + (maps[size] == '\n');
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw-s", &start, &end) != 2) {
            continue;
        }
        if (strstr(line, "/memfd:wirespan-arena") != NULL) {
            take_arena(view, memory, start, end - start, own_id);
        } else if (strstr(line, "/dev/zero") != NULL) {
            take_segment(view, memory, start, own_id);
        }
    }
    if (memory >= 0) {
        close(memory);
    }
}
