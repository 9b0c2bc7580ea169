#include "command/view/tree.h"

#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX

/* A span on its way to a row. Relations are indices into the array of nodes. */
struct node {
    const struct store_span *span;
    size_t parent;
    size_t first_child;
    size_t last_child;
    size_t next_sibling;
    size_t walk; /* the walk that came by last, plus one */
    enum tree_place place;
};

/* A trace below a span of another. */
struct joint {
    const struct store_span *above;
    const struct store_span *root;
};

struct layout {
    struct tree *tree;
    struct node *nodes; /* in order of start */
    size_t node_count;
    size_t first_root;
    size_t last_root;
    struct joint joints[LIMIT_VIEW_JOINED];
    size_t joint_count;
};

struct tree *tree_destroy(struct tree *tree)
{
    if (tree != NULL) {
        free(tree->rows);
        free(tree);
    }
    return NULL;
}

bool tree_contains_trace(const struct tree *tree, const struct store_trace *trace)
{
    for (size_t i = 0; i < tree->trace_count; i++) {
        if (tree->traces[i] == trace) {
            return true;
        }
    }
    return false;
}

/* ---- which traces ---- */

static bool links_to(const struct store_trace *trace, const uint8_t trace_id[16])
{
    for (const struct store_span *span = trace->first; span != NULL; span = span->next) {
        for (size_t i = 0; i < span->link_count; i++) {
            if (memcmp(span->links[i].trace_id, trace_id, 16) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void add_linked_traces(const struct store *store, struct tree *tree,
                              const struct store_trace *trace)
{
    for (const struct store_span *span = trace->first; span != NULL; span = span->next) {
        for (size_t i = 0; i < span->link_count; i++) {
            if (tree->trace_count == LIMIT_VIEW_JOINED) {
                return;
            }
            const struct store_trace *other = store_find_trace(store, span->links[i].trace_id);
            if (other != NULL && !tree_contains_trace(tree, other) &&
                links_to(other, trace->trace_id)) {
                tree->traces[tree->trace_count++] = other;
            }
        }
    }
}

static uint64_t start_of(const struct store_trace *trace)
{
    uint64_t start = UINT64_MAX;
    for (const struct store_span *span = trace->first; span != NULL; span = span->next) {
        start = span->start_ns < start ? span->start_ns : start;
    }
    return start;
}

/* A workflow stands above the jobs that are its steps, and those above nothing else. */
static bool is_workflow(const struct store_trace *trace)
{
    for (const struct store_span *span = trace->first; span != NULL; span = span->next) {
        if (strcmp(span->name, "workflow.start") == 0) {
            return true;
        }
    }
    return false;
}

static int compare_traces(const void *left, const void *right)
{
    const struct store_trace *a = *(const struct store_trace *const *)left;
    const struct store_trace *b = *(const struct store_trace *const *)right;
    if (is_workflow(a) != is_workflow(b)) {
        return is_workflow(a) ? -1 : 1;
    }
    uint64_t a_start = start_of(a);
    uint64_t b_start = start_of(b);
    if (a_start != b_start) {
        return a_start < b_start ? -1 : 1;
    }
    return memcmp(a->trace_id, b->trace_id, sizeof(a->trace_id));
}

static void collect_traces(const struct store *store, struct tree *tree,
                           const struct store_trace *trace)
{
    tree->traces[tree->trace_count++] = trace;
    for (size_t i = 0; i < tree->trace_count; i++) {
        add_linked_traces(store, tree, tree->traces[i]);
    }
    qsort(tree->traces, tree->trace_count, sizeof(tree->traces[0]), compare_traces);
}

/* ---- where a joined trace hangs ---- */

/* The topmost span that is here above `span`. Bounded by the trace's size: parents may be a ring.
 */
static const struct store_span *top_of(const struct store *store, const struct store_span *span)
{
    for (size_t i = 0; i < span->trace->span_count; i++) {
        const struct store_span *parent =
            store_find_span(store, span->trace_id, span->parent_span_id);
        if (parent == NULL) {
            break;
        }
        span = parent;
    }
    return span;
}

/* A span of `above` that links to `below`'s trace, or is linked from there. */
static bool find_joint(const struct store *store, const struct store_trace *above,
                       const struct store_trace *below, struct joint *joint)
{
    for (const struct store_span *span = below->first; span != NULL; span = span->next) {
        for (size_t i = 0; i < span->link_count; i++) {
            const struct store_span *linked = NULL;
            if (memcmp(span->links[i].trace_id, above->trace_id, 16) == 0) {
                linked = store_find_span(store, above->trace_id, span->links[i].span_id);
            }
            if (linked != NULL && links_to(above, below->trace_id)) {
                *joint = (struct joint){linked, top_of(store, span)};
                return true;
            }
        }
    }
    return false;
}

static void find_joints(const struct store *store, struct layout *layout)
{
    const struct tree *tree = layout->tree;
    for (size_t below = 1; below < tree->trace_count; below++) {
        for (size_t above = 0; above < below; above++) {
            if (find_joint(store, tree->traces[above], tree->traces[below],
                           &layout->joints[layout->joint_count])) {
                layout->joint_count++;
                break;
            }
        }
    }
}

/* ---- relations ---- */

static int compare_spans(const struct store_span *a, const struct store_span *b)
{
    if (a->start_ns != b->start_ns) {
        return a->start_ns < b->start_ns ? -1 : 1;
    }
    /* What began at the same moment and lasted longer is the outer one. */
    if (a->end_ns != b->end_ns) {
        return a->end_ns > b->end_ns ? -1 : 1;
    }
    return memcmp(a->span_id, b->span_id, sizeof(a->span_id));
}

static int compare_nodes(const void *left, const void *right)
{
    return compare_spans(((const struct node *)left)->span, ((const struct node *)right)->span);
}

static int compare_index(const void *key, const void *entry)
{
    const struct node *const *node = entry;
    return memcmp(key, (*node)->span->span_id, 8);
}

static int compare_index_entries(const void *left, const void *right)
{
    const struct node *const *b = right;
    const struct node *const *a = left;
    int order = memcmp((*a)->span->span_id, (*b)->span->span_id, 8);
    return order != 0 ? order : memcmp((*a)->span->trace_id, (*b)->span->trace_id, 16);
}

/* The node of `span` in `index`, which is in order of span ids. The same span id may stand in two
   joined traces. */
static size_t find_node(const struct layout *layout, struct node *const *index,
                        const struct store_span *span)
{
    struct node *const *found =
        bsearch(span->span_id, index, layout->node_count, sizeof(*index), compare_index);
    if (found == NULL) {
        return NONE;
    }
    while (found > index && memcmp(found[-1]->span->span_id, span->span_id, 8) == 0) {
        found--;
    }
    while (found < index + layout->node_count && (*found)->span != span) {
        found++;
    }
    return found < index + layout->node_count ? (size_t)(*found - layout->nodes) : NONE;
}

static const struct store_span *joined_above(const struct layout *layout,
                                             const struct store_span *span)
{
    for (size_t i = 0; i < layout->joint_count; i++) {
        if (layout->joints[i].root == span) {
            return layout->joints[i].above;
        }
    }
    return NULL;
}

static bool is_root(const struct store_span *span)
{
    static const uint8_t none[8];
    return memcmp(span->parent_span_id, none, sizeof(none)) == 0;
}

static void find_parent(const struct store *store, struct layout *layout, struct node *const *index,
                        struct node *node)
{
    const struct store_span *span = node->span;
    node->place = is_root(span) ? TREE_ROOT : TREE_ORPHAN;
    const struct store_span *parent = store_find_span(store, span->trace_id, span->parent_span_id);
    if (parent != NULL) {
        node->place = TREE_CHILD;
    } else {
        parent = joined_above(layout, span);
        node->place = parent != NULL ? TREE_JOINED : node->place;
    }
    node->parent = parent != NULL ? find_node(layout, index, parent) : NONE;
}

/* Cuts every ring of parents at the span that a walk upwards meets twice. */
static void cut_rings(struct layout *layout)
{
    for (size_t start = 0; start < layout->node_count; start++) {
        size_t at = start;
        while (at != NONE && layout->nodes[at].walk == 0) {
            layout->nodes[at].walk = start + 1;
            at = layout->nodes[at].parent;
        }
        if (at != NONE && layout->nodes[at].walk == start + 1) {
            layout->nodes[at].parent = NONE;
            layout->nodes[at].place = TREE_CYCLE;
        }
    }
}

/* Nodes are in order of start, so that appending keeps siblings in order. */
static void append_children(struct layout *layout)
{
    for (size_t i = 0; i < layout->node_count; i++) {
        size_t parent = layout->nodes[i].parent;
        size_t *first = parent == NONE ? &layout->first_root : &layout->nodes[parent].first_child;
        size_t *last = parent == NONE ? &layout->last_root : &layout->nodes[parent].last_child;
        *(*first == NONE ? first : &layout->nodes[*last].next_sibling) = i;
        *last = i;
    }
}

static bool relate(const struct store *store, struct layout *layout)
{
    struct node **index = calloc(layout->node_count, sizeof(struct node *));
    if (index == NULL) {
        return false;
    }
    for (size_t i = 0; i < layout->node_count; i++) {
        index[i] = &layout->nodes[i];
    }
    qsort(index, layout->node_count, sizeof(struct node *), compare_index_entries);
    for (size_t i = 0; i < layout->node_count; i++) {
        find_parent(store, layout, index, &layout->nodes[i]);
    }
    free(index);
    cut_rings(layout);
    append_children(layout);
    return true;
}

/* ---- rows ---- */

static void write_rows(struct layout *layout)
{
    struct tree *tree = layout->tree;
    size_t at = layout->first_root;
    uint32_t depth = 0;
    while (at != NONE) {
        const struct node *node = &layout->nodes[at];
        tree->rows[tree->row_count++] = (struct tree_row){
            .span = node->span,
            .depth = depth,
            .place = node->place,
            .is_last = node->next_sibling == NONE,
        };
        if (node->first_child != NONE) {
            at = node->first_child;
            depth++;
            continue;
        }
        while (layout->nodes[at].next_sibling == NONE && layout->nodes[at].parent != NONE) {
            at = layout->nodes[at].parent;
            depth--;
        }
        at = layout->nodes[at].next_sibling;
    }
}

static void take_times(struct tree *tree, const struct store_span *span)
{
    tree->start_ns = span->start_ns < tree->start_ns ? span->start_ns : tree->start_ns;
    tree->end_ns = span->end_ns > tree->end_ns ? span->end_ns : tree->end_ns;
    tree->error_count += span->is_error;
}

static bool collect_nodes(struct layout *layout)
{
    struct tree *tree = layout->tree;
    for (size_t i = 0; i < tree->trace_count; i++) {
        layout->node_count += tree->traces[i]->span_count;
    }
    layout->nodes = calloc(layout->node_count, sizeof(*layout->nodes));
    tree->rows = calloc(layout->node_count, sizeof(*tree->rows));
    if (layout->nodes == NULL || tree->rows == NULL) {
        return false;
    }
    size_t count = 0;
    tree->start_ns = UINT64_MAX;
    for (size_t i = 0; i < tree->trace_count; i++) {
        for (const struct store_span *span = tree->traces[i]->first; span != NULL;
             span = span->next) {
            layout->nodes[count++] = (struct node){
                .span = span,
                .parent = NONE,
                .first_child = NONE,
                .last_child = NONE,
                .next_sibling = NONE,
            };
            take_times(tree, span);
        }
    }
    qsort(layout->nodes, layout->node_count, sizeof(*layout->nodes), compare_nodes);
    return true;
}

struct tree *tree_create(const struct store *store, const struct store_trace *trace)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    if (tree == NULL) {
        return NULL;
    }
    struct layout layout = {.tree = tree, .first_root = NONE, .last_root = NONE};
    collect_traces(store, tree, trace);
    find_joints(store, &layout);
    if (collect_nodes(&layout) && relate(store, &layout)) {
        write_rows(&layout);
    } else {
        tree = tree_destroy(tree);
    }
    free(layout.nodes);
    return tree;
}

/* ---- spans that are traces by themselves ---- */

static int compare_rows(const void *left, const void *right)
{
    return compare_spans(((const struct tree_row *)left)->span,
                         ((const struct tree_row *)right)->span);
}

struct tree *tree_create_list(const struct store_trace *const *traces, size_t count)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    struct tree_row *rows = calloc(count, sizeof(*rows));
    if (tree == NULL || rows == NULL) {
        free(rows);
        return tree_destroy(tree);
    }
    *tree = (struct tree){.rows = rows, .row_count = count, .start_ns = UINT64_MAX};
    for (size_t i = 0; i < count; i++) {
        const struct store_span *span = traces[i]->first;
        rows[i] = (struct tree_row){
            .span = span, .place = is_root(span) ? TREE_ROOT : TREE_ORPHAN, .is_last = true};
        take_times(tree, span);
    }
    qsort(rows, count, sizeof(*rows), compare_rows);
    return tree;
}
