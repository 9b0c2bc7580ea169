#include "runtime/node_announced.h"

#include <string.h>

static struct announcement *at(struct announcements *all, uint32_t place)
{
    return &all->entries[(all->from + place) % LIMIT_WITNESS_ANNOUNCED];
}

static const struct announcement *look_at(const struct announcements *all, uint32_t place)
{
    return &all->entries[(all->from + place) % LIMIT_WITNESS_ANNOUNCED];
}

static uint32_t folded(uint64_t key)
{
    return (uint32_t)(key ^ key >> 32);
}

static uint32_t alike_as(uint64_t key)
{
    return folded(key) % LIMIT_WITNESS_ALIKE;
}

static uint32_t forgotten_bit(uint64_t key)
{
    return folded(key) % LIMIT_WITNESS_FORGOTTEN;
}

static void forget(struct announcements *all, uint64_t key)
{
    uint32_t bit = forgotten_bit(key);
    all->forgotten[bit / 64] |= 1ull << bit % 64;
    all->forgotten_count++;
}

void announced_add(struct announcements *all, struct announcement announcement)
{
    if (all->count == LIMIT_WITNESS_ANNOUNCED) {
        forget(all, announced_take(all, 0).key);
    }
    *at(all, all->count++) = announcement;
    all->alike[alike_as(announcement.key)]++;
}

struct alike announced_look(const struct announcements *all, uint64_t key)
{
    struct alike found = {.is_one = true, .trusts_storage = true};
    uint32_t left = all->alike[alike_as(key)];
    for (uint32_t i = 0; i < all->count && left > 0; i++) {
        const struct announcement *entry = look_at(all, i);
        left -= alike_as(entry->key) == alike_as(key);
        if (entry->key != key) {
            continue;
        }
        if (found.count++ == 0) {
            found.first = i;
            found.number = entry->number;
        }
        found.is_one = found.is_one && entry->number == found.number;
        found.trusts_storage = found.trusts_storage && entry->trusts_storage;
    }
    return found;
}

uint32_t announced_find(const struct announcements *all, uint64_t key, uint32_t number)
{
    uint32_t place = 0;
    while (place < all->count &&
           (look_at(all, place)->key != key || look_at(all, place)->number != number)) {
        place++;
    }
    return place;
}

void announced_disown(struct announcements *all, uint64_t key)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (at(all, i)->key == key) {
            at(all, i)->number = 0;
            at(all, i)->trusts_storage = false;
        }
    }
}

struct announcement announced_take(struct announcements *all, uint32_t place)
{
    struct announcement taken = *at(all, place);
    for (; place > 0; place--) {
        *at(all, place) = *at(all, place - 1);
    }
    all->count--;
    all->from = all->count == 0 ? 0 : (all->from + 1) % LIMIT_WITNESS_ANNOUNCED;
    all->alike[alike_as(taken.key)]--;
    return taken;
}

void announced_put_back(struct announcements *all, struct announcement announcement)
{
    if (all->count == LIMIT_WITNESS_ANNOUNCED) {
        forget(all, announcement.key);
        return;
    }
    all->from = (all->from + LIMIT_WITNESS_ANNOUNCED - 1) % LIMIT_WITNESS_ANNOUNCED;
    all->count++;
    *at(all, 0) = announcement;
    all->alike[alike_as(announcement.key)]++;
}

void announced_give(struct announcements *all, uint32_t after, uint32_t count, uint32_t from,
                    uint32_t number)
{
    uint32_t end = all->count - (after < all->count ? after : all->count);
    for (uint32_t i = end - (count < end ? count : end); i < end; i++) {
        if (at(all, i)->number == from) {
            at(all, i)->number = number;
        }
    }
}

bool announced_is_forgotten(struct announcements *all, uint64_t key, bool is_sent)
{
    uint32_t bit = forgotten_bit(key);
    if (all->forgotten_count == 0 || (all->forgotten[bit / 64] >> bit % 64 & 1) == 0) {
        return false;
    }
    /* The forgotten are older than all that are known: each is sent before what looks like it. */
    all->forgotten_count -= is_sent;
    if (all->forgotten_count == 0) {
        memset(all->forgotten, 0, sizeof(all->forgotten));
    }
    return true;
}
