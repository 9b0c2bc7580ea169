#include "command/doctor/loader_cache.h"

#include <stdint.h>
#include <string.h>

#include "base/limits.h"

/*
 * The format of glibc 2.2 and later; older systems write it behind another one, hence the search
 * for its first bytes. In the machine's byte order: a header with the number of entries, entries
 * of five numbers, strings. Offsets count from the header.
 */
#define MAGIC       "glibc-ld.so.cache1.1"
#define MAGIC_SIZE  (sizeof(MAGIC) - 1)
#define HEADER_SIZE 48u
#define ENTRY_SIZE  24u
#define ENTRY_NAME  4u
#define ENTRY_PATH  8u

static uint32_t number_at(struct slice bytes, uint64_t offset)
{
    uint32_t number = 0;
    if (offset <= bytes.size && bytes.size - offset >= sizeof(number)) {
        memcpy(&number, bytes.data + offset, sizeof(number));
    }
    return number;
}

static struct slice text_at(struct slice bytes, uint64_t offset)
{
    if (offset >= bytes.size) {
        return (struct slice){0};
    }
    size_t room = bytes.size - offset;
    const uint8_t *text = bytes.data + offset;
    const uint8_t *end = memchr(text, '\0', room < LIMIT_DOCTOR_TEXT ? room : LIMIT_DOCTOR_TEXT);
    return end != NULL ? slice_of(text, (size_t)(end - text)) : (struct slice){0};
}

struct slice loader_cache_find(struct slice cache, const char *name, size_t index)
{
    const uint8_t *start = memmem(cache.data, cache.size, MAGIC, MAGIC_SIZE);
    if (start == NULL) {
        return (struct slice){0};
    }
    slice_take(&cache, (size_t)(start - cache.data));
    uint64_t room = cache.size > HEADER_SIZE ? (cache.size - HEADER_SIZE) / ENTRY_SIZE : 0;
    uint64_t count = number_at(cache, MAGIC_SIZE);
    struct slice wanted = slice_of(name, strlen(name));
    for (uint64_t i = 0; i < count && i < room; i++) {
        uint64_t entry = HEADER_SIZE + i * ENTRY_SIZE;
        if (slice_equals(text_at(cache, number_at(cache, entry + ENTRY_NAME)), wanted) &&
            index-- == 0) {
            return text_at(cache, number_at(cache, entry + ENTRY_PATH));
        }
    }
    return (struct slice){0};
}
