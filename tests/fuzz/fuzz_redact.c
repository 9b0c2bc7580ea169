#include "fuzz.h"

#include <stdlib.h>

#include "wire/redact.h"

#define SECRET "\xF0ZQ"

static bool holds(struct slice text, struct slice wanted)
{
    for (size_t at = 0; at + wanted.size <= text.size; at++) {
        if (memcmp(text.data + at, wanted.data, wanted.size) == 0) {
            return true;
        }
    }
    return false;
}

/* A copy of any capacity is the beginning of a larger copy, and stays within its memory. */
static void check_capacities(struct slice target, bool target_cut, struct slice full)
{
    for (size_t capacity = 0; capacity < full.size; capacity += 1 + capacity / 16) {
        uint8_t *out = malloc(capacity > 0 ? capacity : 1);
        bool cut;
        if (out == NULL) {
            abort();
        }
        size_t size = redact_target(target, target_cut, out, capacity, &cut);
        if (size > capacity || (size > 0 && memcmp(out, full.data, size) != 0) || !cut) {
            fuzz_fail("a small copy is not the beginning of a large one");
        }
        free(out);
    }
}

/* What stands behind "token=", "//" and '@', or in a key's place is chosen by the input; the secret
   in it must not come out. */
static void check_secret(struct slice before, struct slice after)
{
    size_t size = before.size + after.size + 64;
    uint8_t *target = malloc(size);
    uint8_t *out = malloc(size * 10);
    bool cut;
    if (target == NULL || out == NULL) {
        abort();
    }
    struct slice secret = SLICE("&access%5ftoken=" SECRET);
    size_t used = 0;
    target[used++] = '/';
    target[used++] = '?';
    memcpy(target + used, before.data, before.size);
    used += before.size;
    memcpy(target + used, secret.data, secret.size);
    used += secret.size;
    memcpy(target + used, after.data, after.size);
    used += after.size;
    size_t copied = redact_target(slice_of(target, used), false, out, size * 10, &cut);
    if (holds(slice_of(out, copied), SLICE(SECRET))) {
        fuzz_fail("a secret was copied");
    }
    free(target);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096) {
        return 0;
    }
    bool target_cut = (data[0] & 1) != 0;
    size_t split = data[1];
    struct slice target = slice_of(data + 2, size - 2);
    uint8_t *exact = fuzz_exact_copy(target);
    /* Every byte of a target may become the longest word. */
    size_t room = target.size * 20 + 64;
    uint8_t *out = malloc(room);
    bool cut;
    if (out == NULL) {
        abort();
    }
    size_t used = redact_target(slice_of(exact, target.size), target_cut, out, room, &cut);
    check_capacities(target, target_cut, slice_of(out, used));
    struct slice again = slice_of(out, used);
    uint8_t *second = malloc(room);
    if (second == NULL) {
        abort();
    }
    size_t used_again = redact_target(again, false, second, room, &cut);
    if (used_again != used || memcmp(second, out, used) != 0) {
        fuzz_fail("redacting again changes something");
    }
    free(second);
    free(out);
    free(exact);
    if (!holds(target, SLICE(SECRET))) {
        struct slice before = slice_take(&target, split < target.size ? split : target.size);
        check_secret(before, target);
    }
    return 0;
}
