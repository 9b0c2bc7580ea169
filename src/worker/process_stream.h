/*
 * The process's own stderr, from a thread that has a file table of its own.
 *
 * In the process the worker's thread keeps its descriptors to itself, so that they neither take
 * numbers that the program counts on nor are closed by it. What it has to say goes to descriptor 2
 * of the program, borrowed for the moment: holding it open would keep a reader of the program's
 * output waiting.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the calling thread's table is another than the program's. Set once, before the exporter
   is created. */
void process_stream_set_private(bool is_private);

/* A descriptor for the program's descriptor `fd` that is the caller's to close; -errno if it cannot
   be had. */
int process_stream_borrow(int fd);

/* Writes whole to the program's stderr; what does not fit into a full pipe is dropped. Touches no
   stdio and no interposed function. */
void process_stream_write_stderr(const char *text, size_t size);
