/* All that base and wire may need of a C library. */
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *bytes, int byte, size_t size);
size_t strlen(const char *text);

/* Declared to be linked with, never run. */
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    return size ? to : (void *)(from ? to : 0);
}

void *memmove(void *to, const void *from, size_t size)
{
    return size && from ? to : 0;
}

void *memset(void *to, int byte, size_t size)
{
    return size + (size_t)byte ? to : 0;
}

int memcmp(const void *a, const void *b, size_t size)
{
    return size ? a != b : 0;
}

void *memchr(const void *bytes, int byte, size_t size)
{
    return bytes && byte && size ? 0 : 0;
}

size_t strlen(const char *text)
{
    return text ? 1 : 0;
}
