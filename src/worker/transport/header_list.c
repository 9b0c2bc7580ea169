#include "worker/transport/header_list.h"

#include "worker/transport/percent.h"

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct slice trimmed(struct slice text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        slice_take(&text, 1);
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* RFC 9110 5.6.2. */
static bool is_token(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        bool alphanumeric =
            (byte >= '0' && byte <= '9') || (ascii_lower(byte) >= 'a' && ascii_lower(byte) <= 'z');
        if (!alphanumeric && (byte == '\0' || strchr("!#$%&'*+-.^_`|~", byte) == NULL)) {
            return false;
        }
    }
    return text.size > 0;
}

/* A line break in a value would start a header of its own. */
static bool is_field_value(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)text[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7F) {
            return false;
        }
    }
    return true;
}

static struct slice next_entry(struct slice *list)
{
    size_t end = 0;
    while (end < list->size && list->data[end] != ',') {
        end++;
    }
    struct slice entry = slice_take(list, end);
    if (list->size > 0) {
        slice_take(list, 1);
    }
    return trimmed(entry);
}

enum header_result header_list_next(struct slice *list, bool lower, char *line)
{
    struct slice entry = {0};
    while (entry.size == 0) {
        if (list->size == 0) {
            return HEADER_END;
        }
        entry = next_entry(list);
    }
    const uint8_t *equals = memchr(entry.data, '=', entry.size);
    if (equals == NULL) {
        return HEADER_INVALID;
    }
    size_t name_size = (size_t)(equals - entry.data);
    struct slice name = trimmed(slice_take(&entry, name_size));
    slice_take(&entry, 1);
    struct slice value = trimmed(entry);
    if (!is_token(name)) {
        return HEADER_INVALID;
    }
    size_t size = 0;
    for (; size < name.size; size++) {
        line[size] = (char)(lower ? ascii_lower(name.data[size]) : name.data[size]);
    }
    if (value.size == 0) {
        memcpy(line + size, ";", sizeof(";"));
        return HEADER_LINE;
    }
    memcpy(line + size, ": ", 2);
    size += 2;
    bool clean;
    size_t decoded = percent_decode(value, line + size, &clean);
    if (!clean || !is_field_value(line + size, decoded)) {
        return HEADER_INVALID;
    }
    line[size + decoded] = '\0';
    return HEADER_LINE;
}
