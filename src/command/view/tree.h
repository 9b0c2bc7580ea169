/*
 * One trace, or several that are linked both ways, laid out as rows: data, no text.
 *
 * Children stand below their parent, roots and children in the order of their start. A span whose
 * parent is not here is a root and says so. Where a span of one trace and a span of another carry
 * links to each other's trace (a request, and the job that it submitted), the later trace hangs
 * below the linking span of the earlier one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "command/view/store.h"

enum tree_place {
    TREE_ROOT,
    TREE_CHILD,
    TREE_ORPHAN, /* a root whose parent is not here */
    TREE_JOINED, /* the root of a trace that hangs below a span of another by links */
    TREE_CYCLE   /* a root only because its parents form a ring */
};

struct tree_row {
    const struct store_span *span;
    uint32_t depth; /* 0: a root */
    enum tree_place place;
    bool is_last; /* of its siblings */
};

struct tree {
    struct tree_row *rows; /* a parent before its children */
    size_t row_count;
    const struct store_trace *traces[LIMIT_VIEW_JOINED];
    size_t trace_count; /* the earliest first; 0: the rows are traces of one span each */
    uint64_t start_ns;
    uint64_t end_ns;
    size_t error_count;
};

/* Lays out `trace` and what is joined to it. NULL if there is no memory. The tree borrows from the
   store: it is valid until the store changes. */
struct tree *tree_create(const struct store *store, const struct store_trace *trace);

/* A list instead: the only spans of `count` traces, in the order of their start. */
struct tree *tree_create_list(const struct store_trace *const *traces, size_t count);

/* Takes NULL and returns it. */
struct tree *tree_destroy(struct tree *tree);

bool tree_contains_trace(const struct tree *tree, const struct store_trace *trace);
