#include "worker/transport/gzip.h"

#include <stdlib.h>
#define ZLIB_CONST /* input is not written */
#include <zlib.h>

#include "base/limits.h"

/* zlib counts in unsigned int, and a batch is never larger than this. */
_Static_assert(LIMIT_EXPORT_REQUEST_BYTES < 1u << 31, "a batch fits in one call of deflate");

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
