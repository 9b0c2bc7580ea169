#include "process/endpoint.h"

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* What may stand in a host name or address, brackets and colons apart. */
static bool is_host_byte(uint8_t byte)
{
    return byte > ' ' && byte != 0x7f && byte != '/' && byte != '?' && byte != '#' && byte != '[' &&
           byte != ']' && byte != ':' && byte != '"' && byte != '<' && byte != '>' && byte != '\\';
}

static size_t find_first_of(struct slice text, const char *bytes)
{
    for (size_t i = 0; i < text.size; i++) {
        for (const char *byte = bytes; *byte != '\0'; byte++) {
            if (text.data[i] == (uint8_t)*byte) {
                return i;
            }
        }
    }
    return text.size;
}

static bool split_port(struct slice text, uint16_t *port)
{
    uint32_t number = 0;
    if (text.size == 0 || text.size > 5) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i])) {
            return false;
        }
        number = number * 10 + (uint32_t)(text.data[i] - '0');
    }
    *port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX;
}

static bool split_authority(struct slice authority, struct endpoint_url *url)
{
    struct slice rest = authority;
    if (rest.size > 0 && rest.data[0] == '[') {
        size_t end = find_first_of(rest, "]");
        if (end == rest.size || end == 1) {
            return false;
        }
        url->host = slice_of(rest.data + 1, end - 1);
        slice_take(&rest, end + 1);
    } else {
        url->host = slice_take(&rest, find_first_of(rest, ":"));
        for (size_t i = 0; i < url->host.size; i++) {
            if (!is_host_byte(url->host.data[i])) {
                return false;
            }
        }
    }
    url->port = 0;
    if (rest.size > 0 &&
        (rest.data[0] != ':' || !split_port(slice_of(rest.data + 1, rest.size - 1), &url->port))) {
        return false;
    }
    return url->host.size > 0;
}

/* The bytes before "://", or none. */
static struct slice take_scheme(struct slice *text)
{
    for (size_t i = 0; i + 2 < text->size; i++) {
        if (text->data[i] == ':' && text->data[i + 1] == '/' && text->data[i + 2] == '/') {
            struct slice scheme = slice_take(text, i);
            slice_take(text, 3);
            return scheme;
        }
        if (!(ascii_lower(text->data[i]) >= 'a' && ascii_lower(text->data[i]) <= 'z')) {
            break;
        }
    }
    return (struct slice){NULL, 0};
}

bool endpoint_split(struct slice text, struct endpoint_url *url)
{
    *url = (struct endpoint_url){0};
    url->scheme = take_scheme(&text);
    struct slice authority = slice_take(&text, find_first_of(text, "/?#"));
    size_t user_end = 0;
    for (size_t i = 0; i < authority.size; i++) {
        user_end = authority.data[i] == '@' ? i + 1 : user_end;
    }
    slice_take(&authority, user_end);
    url->authority = authority;
    text.size = find_first_of(text, "#");
    url->path = slice_take(&text, find_first_of(text, "?"));
    url->query = text;
    return split_authority(authority, url);
}

static bool is_http(struct slice scheme)
{
    return slice_equals_ignoring_case(scheme, SLICE("http")) ||
           slice_equals_ignoring_case(scheme, SLICE("https"));
}

static bool is_https(struct slice scheme)
{
    return slice_equals_ignoring_case(scheme, SLICE("https"));
}

/* Measures before it writes, so that nothing is written when it does not fit. */
static bool write_all(const struct slice *parts, size_t count, char *into, size_t capacity)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++) {
        size += parts[i].size;
    }
    if (size > capacity) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size > 0) {
            memcpy(into, parts[i].data, parts[i].size);
            into += parts[i].size;
        }
    }
    *into = '\0';
    return true;
}

bool endpoint_for_http(struct slice text, bool is_base, char *into, size_t capacity)
{
    struct endpoint_url url;
    if (!endpoint_split(text, &url) || !is_http(url.scheme)) {
        return false;
    }
    bool ends_in_slash = url.path.size > 0 && url.path.data[url.path.size - 1] == '/';
    const struct slice parts[] = {
        is_https(url.scheme) ? SLICE("https://") : SLICE("http://"),
        url.authority,
        url.path,
        (is_base && !ends_in_slash) || url.path.size == 0 ? SLICE("/") : SLICE(""),
        is_base ? SLICE("v1/traces") : SLICE(""),
        url.query,
    };
    return write_all(parts, sizeof(parts) / sizeof(parts[0]), into, capacity);
}

bool endpoint_for_grpc(struct slice text, bool insecure, char *into, size_t capacity)
{
    struct endpoint_url url;
    if (!endpoint_split(text, &url) || (url.scheme.size > 0 && !is_http(url.scheme))) {
        return false;
    }
    bool secure = url.scheme.size > 0 ? is_https(url.scheme) : !insecure;
    const struct slice parts[] = {secure ? SLICE("https://") : SLICE("http://"), url.authority};
    return write_all(parts, sizeof(parts) / sizeof(parts[0]), into, capacity);
}
