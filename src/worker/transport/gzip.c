#include "worker/transport/gzip.h"

#include <stdbool.h>
#include <stdlib.h>
#define ZLIB_CONST /* input is not written */
#include <zlib.h>

#include "base/limits.h"

/* zlib counts in unsigned int, and a batch is never larger than this. */
_Static_assert(LIMIT_EXPORT_REQUEST_BYTES < 1u << 31, "a batch fits in one call of deflate");

#define FIRST_EXPANDED   1024u
#define GZIP_WINDOW_BITS (15 + 16) /* zlib's way to ask for a gzip header */
#define GZIP_MEMORY      8         /* zlib's default */

uint8_t *gzip_compress(struct slice plain, size_t reserved, size_t *size)
{
    z_stream stream = {0};
    /* Spans repeat themselves: the fastest level already leaves a tenth. */
    if (plain.size > LIMIT_EXPORT_REQUEST_BYTES ||
        deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return NULL;
    }
    uLong bound = deflateBound(&stream, (uLong)plain.size);
    uint8_t *buffer = malloc(reserved + bound);
    if (buffer != NULL) {
        stream.next_in = plain.data;
        stream.avail_in = (uInt)plain.size;
        stream.next_out = buffer + reserved;
        stream.avail_out = (uInt)bound;
        if (deflate(&stream, Z_FINISH) == Z_STREAM_END) {
            *size = reserved + stream.total_out;
        } else {
            free(buffer);
            buffer = NULL;
        }
    }
    deflateEnd(&stream);
    return buffer;
}

/* Grows `*buffer` until the member is out; true at its end. */
static bool inflate_all(z_stream *stream, uint8_t **buffer, size_t limit)
{
    size_t capacity = 0;
    int result = Z_OK;
    while (result == Z_OK) {
        size_t grown_capacity = capacity == 0 ? FIRST_EXPANDED : 2 * capacity;
        if (capacity > limit) {
            return false;
        }
        uint8_t *grown = realloc(*buffer, grown_capacity);
        if (grown == NULL) {
            return false;
        }
        *buffer = grown;
        stream->next_out = grown + stream->total_out;
        stream->avail_out = (uInt)(grown_capacity - stream->total_out);
        capacity = grown_capacity;
        result = inflate(stream, Z_FINISH);
        /* Z_BUF_ERROR with room left: the input is cut off. */
        if (result == Z_BUF_ERROR && stream->avail_out == 0) {
            result = Z_OK;
        }
    }
    return result == Z_STREAM_END && stream->avail_in == 0 && stream->total_out <= limit;
}

uint8_t *gzip_expand(struct slice packed, size_t limit, size_t *size)
{
    z_stream stream = {.next_in = packed.data, .avail_in = (uInt)packed.size};
    if (packed.size > LIMIT_EXPORT_RESPONSE_BYTES || limit > LIMIT_EXPORT_RESPONSE_BYTES ||
        inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK) {
        return NULL;
    }
    uint8_t *buffer = NULL;
    if (inflate_all(&stream, &buffer, limit)) {
        *size = stream.total_out;
    } else {
        free(buffer);
        buffer = NULL;
    }
    inflateEnd(&stream);
    return buffer;
}
