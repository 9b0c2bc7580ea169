/*
 * Reading JSON (RFC 8259) as it passes, in whatever pieces, in constant memory.
 *
 * Of a document only the values at the paths of a tree (wire/json_path) are told, the rest is
 * checked and skipped. A string comes unescaped and in pieces, a number as it was written, in
 * pieces; true, false and null come whole; of an object or array it is told that it begins. A
 * surrogate without its other half becomes U+FFFD: encoders that cut strings in the middle of a
 * character make them. What breaks the rules, or is nested deeper than LIMIT_JSON_DEPTH, stops the
 * reader for good.
 *
 *     while ((event = json_next(&reader, &in, &item)) == JSON_VALUE) { ... }
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"
#include "wire/json_path.h"

enum json_event {
    JSON_NEED_MORE, /* `in` is used up */
    JSON_VALUE,
    JSON_STOPPED /* this is no JSON, or too deep */
};

enum json_type {
    JSON_VALUE_NULL,
    JSON_VALUE_FALSE,
    JSON_VALUE_TRUE,
    JSON_VALUE_NUMBER,
    JSON_VALUE_STRING,
    JSON_VALUE_ARRAY,
    JSON_VALUE_OBJECT
};

struct json_item {
    uint8_t path; /* as it was given to json_tree_add */
    uint8_t type; /* enum json_type */
    bool begins;  /* the first piece of this value */
    bool ends;    /* the last one; it may be empty */
    /* Strings and numbers. Borrows from the input or from the reader until the next call. */
    struct slice bytes;
};

/* Fields are the reader's own. */
struct json {
    const struct json_node *nodes;
    uint8_t state;
    uint8_t node; /* of the value at hand */
    uint8_t step; /* of a literal: how much of it was seen; of an escape: its digits */
    uint8_t literal;
    bool in_key;
    bool has_begun; /* a piece of the value at hand was told */
    uint8_t key_used;
    bool key_is_long;
    uint8_t continuing; /* bytes of a UTF-8 sequence to come, and what the next one may be */
    uint8_t least;
    uint8_t most;
    uint16_t depth;
    uint16_t unit;                     /* of an escape */
    uint16_t high;                     /* the first half of a surrogate pair; 0: none */
    uint8_t unescaped[8];              /* what is told of an escape */
    uint8_t node_at[LIMIT_JSON_STEPS]; /* of the containers that are open, outermost first */
    uint64_t is_object[LIMIT_JSON_DEPTH / 64]; /* a bit each */
    uint8_t key[LIMIT_JSON_KEY];
};

/* `nodes` must outlive the reader. */
void json_init(struct json *reader, const struct json_node *nodes);

enum json_event json_next(struct json *reader, struct slice *in, struct json_item *item);

/* The document ended here: whether it is one. */
bool json_is_complete(const struct json *reader);
