/* Which name an address was resolved from: what the program calls its server. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "handoff/record.h"

/* Remembers one answer of a name look-up. Names longer than fit are not kept. */
void host_names_add(const struct endpoint *address, const char *name);

/* Copies the latest name of the address into `into` (NUL-terminated; empty if there is none). */
void host_names_find(const struct endpoint *address, char *into, size_t capacity);
