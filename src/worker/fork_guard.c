#include "worker/fork_guard.h"

#include <stddef.h>

static void (*guard_enter)(void);
static void (*guard_leave)(void);

void fork_guard_set(void (*enter)(void), void (*leave)(void))
{
    guard_enter = enter;
    guard_leave = leave;
}

void fork_guard_enter(void)
{
    if (guard_enter != NULL) {
        guard_enter();
    }
}

void fork_guard_leave(void)
{
    if (guard_leave != NULL) {
        guard_leave();
    }
}
