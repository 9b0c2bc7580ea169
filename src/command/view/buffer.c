#include "command/view/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_finish(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

char *buffer_reserve(struct buffer *buffer, size_t size)
{
    if (buffer->failed) {
        return NULL;
    }
    if (buffer->bytes == NULL || size > buffer->capacity - buffer->used) {
        size_t capacity = buffer->capacity > 0 ? buffer->capacity : 256;
        while (capacity - buffer->used < size && capacity <= SIZE_MAX / 2) {
            capacity *= 2;
        }
        char *grown = capacity - buffer->used >= size ? realloc(buffer->bytes, capacity) : NULL;
        if (grown == NULL) {
            buffer->failed = true;
            return NULL;
        }
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->used;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
    char *room = buffer_reserve(buffer, size);
    if (room != NULL && size > 0) {
        memcpy(room, bytes, size);
        buffer->used += size;
    }
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_print(struct buffer *buffer, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size > 0) {
        buffer_append(buffer, text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
    }
}
