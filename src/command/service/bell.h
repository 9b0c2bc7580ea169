/*
 * The doorbell of all programs that one drainer serves, and a descriptor that it makes readable:
 * the drainer waits for descriptors, and nobody can wait for those and a futex at once. A thread of
 * its own waits on the futex.
 */
#pragma once

#include "handoff/bell_page.h"

struct bell {
    struct bell_page *page;
    int memory; /* of the page, to be handed out */
    int event;  /* readable when the bell rang */
};

/* Returns 0 or -errno. */
int bell_create(struct bell *bell);

/* Takes back that it rang. */
void bell_clear(struct bell *bell);
