/*
 * HTTP over whatever carries it, two ends in one process: a server answers with a sum of all that
 * it got but `traceparent`, a client tells by say() what it was answered.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sums_end {
    /* At most `size` bytes, 0 at the end; and all of them, or false. */
    size_t (*receive)(struct sums_end *end, char *bytes, size_t size);
    bool (*send)(struct sums_end *end, const char *bytes, size_t size);
    char kept[4096]; /* what was received and not yet read */
    size_t have;
    unsigned contexts; /* requests that had one */
};

/* Answers until the client ends. */
void sums_serve(struct sums_end *end);

/* A request with a body. The caller frees it. */
char *sums_request(unsigned number, const char *body, size_t size, size_t *length);
/* Tells of the answer to that request, if it was sent. False if there is none. */
bool sums_tell(struct sums_end *end, unsigned number, bool was_sent);
/* Both. */
bool sums_ask(struct sums_end *end, unsigned number, const char *body, size_t size);

/* Tells whether that many of a server's requests had a context, as they have in a process that is
   observed, and none in any other. */
bool sums_had_contexts(const struct sums_end *server, unsigned wanted);
