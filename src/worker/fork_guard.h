/*
 * What must not be cut in two by a fork: loading libcurl and every call into it. Its TLS library
 * keeps state that a child would inherit half-done. Everything else of the worker side may be.
 *
 * Who hosts the worker in a process that forks lends the two functions; elsewhere nothing is
 * needed.
 */
#pragma once

/* NULL for both: no guard. Set once, before the exporter is created. */
void fork_guard_set(void (*enter)(void), void (*leave)(void));

/* Do not nest. */
void fork_guard_enter(void);
void fork_guard_leave(void);
