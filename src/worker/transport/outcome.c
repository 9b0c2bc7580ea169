#include "worker/transport/outcome.h"

#include <stdarg.h>
#include <stdio.h>

void outcome_say(struct transport_outcome *outcome, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(outcome->message, sizeof(outcome->message), format, arguments);
    va_end(arguments);
}

void outcome_quote(struct slice text, char *into, size_t capacity)
{
    size_t size = 0;
    while (size < text.size && size + 1 < capacity && text.data[size] != '\n') {
        uint8_t byte = text.data[size];
        into[size] = byte < 0x20 || byte == 0x7F ? ' ' : (char)byte;
        size++;
    }
    while (size > 0 && into[size - 1] == ' ') {
        size--;
    }
    into[size] = '\0';
}
