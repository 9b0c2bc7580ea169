/*
 * What a thread of Node's was told that it will send: HTTP requests by method and target, commands
 * of Redis by name and first argument, each as a key. It is found again in the bytes, in the order
 * in which it was told where several look the same.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

/* What somebody has asked to be sent, and was not seen yet. */
struct announcement {
    uint64_t key;
    uint32_t number;     /* of whose work it is; 0: nobody's, or not known any more */
    bool trusts_storage; /* it will be written with the storage that it was announced with */
};

/* A ring, and how many of the entries may be alike by a part of their keys. All zero: empty. */
struct announcements {
    uint32_t from; /* entries[from % its size] is the oldest */
    uint32_t count;
    uint32_t forgotten_count; /* that were too many, and are not sent yet */
    uint16_t alike[LIMIT_WITNESS_ALIKE];
    struct announcement entries[LIMIT_WITNESS_ANNOUNCED];
    uint64_t forgotten[LIMIT_WITNESS_FORGOTTEN / 64];
};

/* Those with one key. */
struct alike {
    uint32_t count;
    uint32_t first; /* place of the oldest; places count from the oldest of all */
    uint32_t number;
    bool is_one; /* all have that number */
    bool trusts_storage;
};

/* Where there is no room the oldest is forgotten. */
void announced_add(struct announcements *all, struct announcement announcement);

struct alike announced_look(const struct announcements *all, uint64_t key);

/* The oldest with that key and number; `all->count`: there is none. */
uint32_t announced_find(const struct announcements *all, uint64_t key, uint32_t number);

/* What has that key cannot be told from another any more. */
void announced_disown(struct announcements *all, uint64_t key);

/* Takes it out. */
struct announcement announced_take(struct announcements *all, uint32_t place);

/* It was taken out, and was not sent: it is the oldest again. */
void announced_put_back(struct announcements *all, struct announcement announcement);

/* Of the last `count` before those `after` that were added last, what is the work of `from` is that
   of `number` instead. */
void announced_give(struct announcements *all, uint32_t after, uint32_t count, uint32_t from,
                    uint32_t number);

/* Whether what has that key may be one that was forgotten. `is_sent`: it is asked about once. */
bool announced_is_forgotten(struct announcements *all, uint64_t key, bool is_sent);
