/*
 * Which descriptor an event of epoll is of, where the program gave it something else to be known
 * by: the address of its own state, say.
 *
 * Two tables, from the data to the descriptor and back. Only what both agree on is told; data that
 * two descriptors have names neither.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* epoll_ctl added the descriptor with that data, or gave it other data. */
void epoll_names_put(uint64_t data, int fd);

/* The descriptor; below 0: not known. */
int epoll_names_find(uint64_t data);
