#include "sums.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

/* Reads a message with Content-Length, its first line into `start`; returns the body's sum, or 0 at
   the end. */
static uint32_t read_message(struct sums_end *end, char *start, size_t size)
{
    const char *behind;
    while (!(behind = memmem(end->kept, end->have, "\r\n\r\n", 4))) {
        if (end->have == sizeof end->kept) {
            return 0;
        }
        size_t got = end->receive(end, end->kept + end->have, sizeof end->kept - end->have);
        if (got == 0) {
            return 0;
        }
        end->have += got;
    }
    /* Right behind the first line, if anywhere. */
    const char *line = memmem(end->kept, end->have, "\r\n", 2);
    bool has_context = strncmp(line + 2, "traceparent: 00-", 16) == 0;
    size_t before = (size_t)(line + 2 - end->kept);
    size_t context = has_context ? 70 : 0;
    end->contexts += has_context;
    const char *field = memmem(end->kept, end->have, "Content-Length: ", 16);
    size_t left = field ? strtoul(field + 16, NULL, 10) : 0;
    snprintf(start, size, "%.*s", (int)strcspn(end->kept, "\r"), end->kept);
    size_t used = (size_t)(behind - end->kept) + 4;
    uint32_t sum = checksum(1, end->kept, before);
    sum = checksum(sum, end->kept + before + context, used - before - context);
    for (;;) {
        size_t here = end->have - used < left ? end->have - used : left;
        sum = checksum(sum, end->kept + used, here);
        left -= here;
        used += here;
        if (left == 0) {
            break;
        }
        end->have = end->receive(end, end->kept, sizeof end->kept);
        used = 0;
        if (end->have == 0) {
            return 0;
        }
    }
    memmove(end->kept, end->kept + used, end->have - used);
    end->have -= used;
    return sum;
}

void sums_serve(struct sums_end *end)
{
    char start[256], answer[512];
    uint32_t sum;
    while ((sum = read_message(end, start, sizeof start)) != 0) {
        int size = snprintf(answer, sizeof answer,
                            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n%08x", (unsigned)sum);
        if (!end->send(end, answer, (size_t)size)) {
            break;
        }
    }
}

char *sums_request(unsigned number, const char *body, size_t size, size_t *length)
{
    char head[256];
    int of_head = snprintf(head, sizeof head,
                           "POST /echo?n=%u HTTP/1.1\r\nHost: test\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           number, size);
    char *message = malloc((size_t)of_head + size);
    REQUIRE(message);
    memcpy(message, head, (size_t)of_head);
    memcpy(message + of_head, body, size);
    *length = (size_t)of_head + size;
    return message;
}

bool sums_tell(struct sums_end *end, unsigned number, bool was_sent)
{
    char start[256] = "";
    uint32_t sum = was_sent ? read_message(end, start, sizeof start) : 0;
    say("request %u: %s, sum %08x", number, was_sent ? start : "not sent", (unsigned)sum);
    return sum != 0;
}

bool sums_ask(struct sums_end *end, unsigned number, const char *body, size_t size)
{
    size_t length;
    char *message = sums_request(number, body, size, &length);
    bool was_sent = end->send(end, message, length);
    free(message);
    return sums_tell(end, number, was_sent);
}

bool sums_had_contexts(const struct sums_end *server, unsigned wanted)
{
    const char *preload = getenv("LD_PRELOAD");
    bool is_observed = preload && strstr(preload, "libwirespan.so");
    bool had = server->contexts == (is_observed ? wanted : 0);
    say("contexts: %s", had ? "as wanted" : "not as wanted");
    return had;
}
