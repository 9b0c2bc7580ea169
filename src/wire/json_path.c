#include "wire/json_path.h"

void json_tree_init(struct json_node nodes[1])
{
    nodes[0] = (struct json_node){.path = JSON_NO_PATH};
}

/* The child of exactly this step. */
static uint8_t find_step(const struct json_node *nodes, uint8_t parent, enum json_step step,
                         struct slice key)
{
    uint8_t child = nodes[parent].child;
    while (child != 0 && (nodes[child].step != step ||
                          !slice_equals(slice_of(nodes[child].key, nodes[child].size), key))) {
        child = nodes[child].sibling;
    }
    return child;
}

static bool is_mark(uint8_t byte)
{
    return byte == '.' || byte == '[' || byte == ']';
}

/* Cuts the next step off a path. False if there is none. */
static bool next_step(struct slice *path, bool is_first, enum json_step *step, struct slice *key)
{
    *key = slice_of(path->data, 0);
    if (slice_starts_with(*path, SLICE("[]"))) {
        slice_take(path, 2);
        *step = JSON_STEP_ELEMENT;
        return true;
    }
    if (!is_first && (path->size == 0 || slice_take(path, 1).data[0] != '.')) {
        return false;
    }
    size_t size = 0;
    while (size < path->size && !is_mark(path->data[size])) {
        size++;
    }
    *key = slice_take(path, size);
    *step = JSON_STEP_KEY;
    if (slice_equals(*key, SLICE("*"))) {
        *step = JSON_STEP_ANY_KEY;
        key->size = 0;
        return true;
    }
    return size > 0 && size < LIMIT_JSON_KEY;
}

bool json_tree_add(struct json_node *nodes, size_t capacity, size_t *count, struct slice path,
                   uint8_t number)
{
    uint8_t at = 0;
    for (uint32_t steps = 0; steps == 0 || path.size > 0; steps++) {
        enum json_step step;
        struct slice key;
        if (steps == LIMIT_JSON_STEPS || !next_step(&path, steps == 0, &step, &key)) {
            return false;
        }
        uint8_t child = find_step(nodes, at, step, key);
        if (child == 0) {
            if (*count >= capacity || *count >= UINT8_MAX) {
                return false;
            }
            child = (uint8_t)(*count)++;
            nodes[child] = (struct json_node){.step = (uint8_t)step,
                                              .path = JSON_NO_PATH,
                                              .sibling = nodes[at].child,
                                              .size = (uint8_t)key.size};
            memcpy(nodes[child].key, key.data, key.size);
            nodes[at].child = child;
        }
        at = child;
    }
    if (number == JSON_NO_PATH || nodes[at].path != JSON_NO_PATH) {
        return false;
    }
    nodes[at].path = number;
    return true;
}

uint8_t json_tree_member(const struct json_node *nodes, uint8_t parent, struct slice key)
{
    uint8_t any = 0;
    for (uint8_t child = nodes[parent].child; child != 0; child = nodes[child].sibling) {
        const struct json_node *node = &nodes[child];
        if (node->step == JSON_STEP_ANY_KEY) {
            any = child;
        } else if (node->step == JSON_STEP_KEY &&
                   slice_equals(slice_of(node->key, node->size), key)) {
            return child;
        }
    }
    return any;
}

uint8_t json_tree_element(const struct json_node *nodes, uint8_t parent)
{
    return find_step(nodes, parent, JSON_STEP_ELEMENT, (struct slice){NULL, 0});
}
