#include "app_thread/announcement.h"

#include <string.h>

#include "app_thread/slab.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "base/slice.h"

#define WAYS   8u
#define SETS   (LIMIT_CURL_HANDLES / WAYS)
#define GOLDEN UINT64_C(0x9E3779B97F4A7C15)

/* With the value behind it, and a zero. */
#define LINE_BEGIN "traceparent: "
#define LINE_BYTES (sizeof(LINE_BEGIN) + TRACEPARENT_BYTES)

struct announcement {
    struct trace_identity identity; /* that the line has */
    struct trace_identity sent;     /* that the last request had which was seen */
    bool was_seen;
    struct header_list list;
    char line[LINE_BYTES];
};

_Static_assert(sizeof(struct announcement) <= SLAB_BLOCK_BYTES, "a buffer");

static struct curl_handle announcement_handles[SETS][WAYS];
/* A handle found no room: of those that come later it is not known what they were told. */
static _Atomic bool announcement_handles_lost;
static _Atomic uint32_t announcement_blocks[LIMIT_ANNOUNCEMENTS];
_Atomic uint32_t announcements;

/* ---- handles ---- */

static SLOW struct curl_handle *make_handle(struct curl_handle *set, uintptr_t easy)
{
    if (atomic_load_explicit(&announcement_handles_lost, memory_order_relaxed)) {
        return NULL;
    }
    for (uint32_t i = 0; i < WAYS; i++) {
        uintptr_t none = 0;
        if (atomic_compare_exchange_strong_explicit(&set[i].easy, &none, easy, memory_order_acquire,
                                                    memory_order_relaxed)) {
            announcement_reset_handle(&set[i]);
            return &set[i];
        }
    }
    atomic_store_explicit(&announcement_handles_lost, true, memory_order_relaxed);
    return NULL;
}

struct curl_handle *announcement_handle(const void *easy, bool may_begin)
{
    uintptr_t name = (uintptr_t)easy;
    struct curl_handle *set = announcement_handles[((uint64_t)name * GOLDEN >> 32) % SETS];
    if (name == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < WAYS; i++) {
        if (atomic_load_explicit(&set[i].easy, memory_order_relaxed) == name) {
            return &set[i];
        }
    }
    return may_begin ? make_handle(set, name) : NULL;
}

uint32_t announcement_forget_handle(struct curl_handle *handle)
{
    uint32_t block = atomic_load_explicit(&handle->block, memory_order_relaxed);
    atomic_store_explicit(&handle->easy, 0, memory_order_release);
    return block;
}

void announcement_reset_handle(struct curl_handle *handle)
{
    handle->program = NULL;
    handle->version = 0;
    handle->is_unified = false;
    handle->follows = false;
    atomic_store_explicit(&handle->block, 0, memory_order_relaxed);
}

/* ---- the line ---- */

static void write_line(struct announcement *announcement)
{
    const struct trace_identity *identity = &announcement->identity;
    uint8_t value[TRACEPARENT_BYTES];
    traceparent_write(value, identity->trace_id, identity->span_id, identity->trace_flags);
    memcpy(announcement->line, LINE_BEGIN, sizeof(LINE_BEGIN) - 1);
    memcpy(announcement->line + sizeof(LINE_BEGIN) - 1, value, sizeof(value));
    announcement->line[LINE_BYTES - 1] = '\0';
}

/* A line of a list, be it `name: value`, `name;` or `name:`. */
static bool is_field(const char *text, struct slice name)
{
    return slice_equals_ignoring_case(slice_of(text, strnlen(text, name.size)), name);
}

static bool has_context(const struct header_list *list)
{
    for (uint32_t i = 0; list != NULL; list = list->next) {
        if (++i > LIMIT_HEADER_LIST || is_field(list->text, SLICE("traceparent")) ||
            is_field(list->text, SLICE("tracestate"))) {
            return true;
        }
    }
    return false;
}

/* ---- announcing ---- */

static struct announcement *announcement_of(uint32_t block)
{
    return block == 0 ? NULL : slab_address(block);
}

static bool show(uint32_t block)
{
    for (uint32_t i = 0; i < LIMIT_ANNOUNCEMENTS; i++) {
        uint32_t none = 0;
        if (atomic_compare_exchange_strong_explicit(&announcement_blocks[i], &none, block,
                                                    memory_order_release, memory_order_relaxed)) {
            atomic_fetch_add_explicit(&announcements, 1, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

void announcement_give(uint32_t block)
{
    if (block == 0) {
        return;
    }
    for (uint32_t i = 0; i < LIMIT_ANNOUNCEMENTS; i++) {
        uint32_t shown = block;
        if (atomic_compare_exchange_strong_explicit(&announcement_blocks[i], &shown, 0,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            atomic_fetch_sub_explicit(&announcements, 1, memory_order_relaxed);
            break;
        }
    }
    slab_give(SLAB_BUFFER, block);
}

void announcement_end(struct curl_handle *handle)
{
    announcement_give(atomic_exchange_explicit(&handle->block, 0, memory_order_relaxed));
}

struct header_list *announcement_begin(struct thread_state *self, struct curl_handle *handle,
                                       uint64_t now)
{
    uint32_t block = has_context(handle->program) ? 0 : slab_take(SLAB_BUFFER);
    struct announcement *announcement = announcement_of(block);
    if (announcement == NULL) {
        return NULL;
    }
    trace_context_plan_http(self, &announcement->identity, SLICE(""), SLICE(""), now);
    /* The transfer may go on on another thread. */
    announcement->identity.work = NULL;
    announcement->was_seen = false;
    announcement->list = (struct header_list){announcement->line, handle->program};
    write_line(announcement);
    if (!show(block)) {
        slab_give(SLAB_BUFFER, block);
        return NULL;
    }
    atomic_store_explicit(&handle->block, block, memory_order_relaxed);
    return &announcement->list;
}

struct header_list *announcement_change_list(struct curl_handle *handle,
                                             struct header_list *program)
{
    handle->program = program;
    struct announcement *announcement =
        announcement_of(atomic_load_explicit(&handle->block, memory_order_relaxed));
    if (announcement == NULL) {
        return program;
    }
    if (has_context(program)) {
        announcement_end(handle);
        return program;
    }
    announcement->list.next = program;
    return &announcement->list;
}

/* ---- who asks ---- */

static bool has_ids(const struct trace_identity *identity, const struct traceparent *sent)
{
    return memcmp(identity->span_id, sent->parent_id, sizeof(identity->span_id)) == 0 &&
           memcmp(identity->trace_id, sent->trace_id, sizeof(identity->trace_id)) == 0;
}

SLOW bool announcement_take(struct thread_state *self, const struct traceparent *sent,
                            struct trace_identity *identity)
{
    for (uint32_t i = 0; i < LIMIT_ANNOUNCEMENTS; i++) {
        /* acquire pairs with the release in show */
        struct announcement *announcement =
            announcement_of(atomic_load_explicit(&announcement_blocks[i], memory_order_acquire));
        if (announcement == NULL) {
            continue;
        }
        if (has_ids(&announcement->identity, sent)) {
            announcement->sent = announcement->identity;
            announcement->was_seen = true;
            trace_context_renew(self, &announcement->identity);
            write_line(announcement);
        } else if (!announcement->was_seen || !has_ids(&announcement->sent, sent)) {
            continue;
        }
        /* What was framed may be framed once more. */
        *identity = announcement->sent;
        return true;
    }
    return false;
}

bool announcement_ids(const void *easy, struct trace_identity *identity, bool *was_seen)
{
    const struct curl_handle *handle = announcement_handle(easy, false);
    const struct announcement *announcement =
        handle == NULL
            ? NULL
            : announcement_of(atomic_load_explicit(&handle->block, memory_order_relaxed));
    if (announcement == NULL) {
        return false;
    }
    *identity = announcement->identity;
    *was_seen = announcement->was_seen;
    return true;
}
