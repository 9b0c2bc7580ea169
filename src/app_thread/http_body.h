/*
 * What the bodies of a service's exchanges say, as far as its rules name it (wire/service.h).
 *
 * Of a connection to no service nothing of this runs. While a body passes, a slab buffer holds what
 * reads it (`body_block` of its direction); only values that a rule names reach the record.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app_thread/connection.h"
#include "base/slice.h"
#include "handoff/record.h"
#include "wire/http1.h"

/* The fields of a reply's head that are to be reported for a service. */
#define HTTP_BODY_REPLY_FIELDS                                                                     \
    (1u << HTTP1_FIELD_OTHER | 1u << HTTP1_FIELD_CONTENT_TYPE |                                    \
     1u << HTTP1_FIELD_CONTENT_ENCODING | 1u << HTTP1_FIELD_X_REQUEST_ID)

/* The request at hand is for an endpoint: reads its body from here on, if anything of it is wanted.
   Without memory for it the body is not read, which is counted. */
void http_body_begin_request(struct direction *requests, struct record *record, uint8_t endpoint);

/* What the endpoint's rules name of the target's query. */
void http_body_take_query(struct record *record, uint8_t endpoint, struct slice target);

/* A field of a reply's head. */
void http_body_reply_field(struct direction *replies, struct record *record, uint8_t endpoint,
                           const struct http1_item *item);

/* The reply's head is complete, and its body is to be read. */
void http_body_begin_reply(struct direction *replies, uint8_t endpoint);

/* Bytes of the body. Nothing if none is read. */
void http_body_pass_slow(struct direction *direction, struct record *record, struct slice bytes,
                         uint64_t now);

static inline void http_body_pass(struct direction *direction, struct record *record,
                                  struct slice bytes, uint64_t now)
{
    if (unlikely(direction->body_block != 0)) {
        http_body_pass_slow(direction, record, bytes, now);
    }
}

/* `record` is NULL if nobody wants to know any more. Also where bytes were missed. */
void http_body_end_slow(struct direction *direction, struct record *record, bool is_whole);

static inline void http_body_end(struct direction *direction, struct record *record, bool is_whole)
{
    if (unlikely(direction->body_block != 0)) {
        http_body_end_slow(direction, record, is_whole);
    }
}
