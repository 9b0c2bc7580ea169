/* A run of bytes that grows; what does not fit into memory makes it `failed` and stay so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *bytes;
    size_t used;
    size_t capacity;
    bool failed;
};

void buffer_finish(struct buffer *buffer);

/* Room for `size` more bytes at `bytes + used`, or NULL. */
char *buffer_reserve(struct buffer *buffer, size_t size);

void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
void buffer_append_text(struct buffer *buffer, const char *text);
__attribute__((format(printf, 2, 3))) void buffer_print(struct buffer *buffer, const char *format,
                                                        ...);
