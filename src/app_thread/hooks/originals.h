/*
 * The functions that are interposed, as the next object in line defines them.
 *
 * Written once, before `attachment_is_on`; const from then on. Until then a wrapper that is called
 * (by constructors that run before ours, by allocators that start before everything) resolves
 * them itself. A function that the host's libc does not have stays NULL.
 */
#pragma once

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "base/compiler.h"

#define HOOK(family, type, name, parameters) extern type(*original_##name) parameters;
#define STUB(family, type, name, parameters) HOOK(family, type, name, parameters)
#include "app_thread/hooks/hooks.def"
#undef HOOK
#undef STUB

/* Resolves all of them; may be called again, and by several threads at once: each finds the same.
 */
SLOW void originals_resolve(void);

/* The original, resolved now if it was not. For wrappers' slow paths; fast paths are only taken
   after start. NULL if the host has none. */
#define ORIGINAL(name)                                                                             \
    (likely(original_##name != NULL) ? original_##name : (originals_resolve(), original_##name))
