/*
 * Paths into JSON documents, joined to a tree that wire/json follows while it reads.
 *
 * A path is a row of steps: `model`, `usage.prompt_tokens`, `data[].url`, `prompt.*.class_type`.
 * `[]` is any element of an array, `*` any member of an object that has no step of its own there.
 * The tree holds no pointers, so that it can be made while the project is built.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"

enum json_step { JSON_STEP_KEY, JSON_STEP_ANY_KEY, JSON_STEP_ELEMENT };

/* No number of a path. */
#define JSON_NO_PATH UINT8_MAX

/* Number 0 is the document itself; no node is its own child, so 0 means none. */
struct json_node {
    uint8_t step; /* enum json_step */
    uint8_t path; /* the number of the path that ends here, or JSON_NO_PATH */
    uint8_t child;
    uint8_t sibling;
    uint8_t size;
    char key[LIMIT_JSON_KEY - 1];
};

/* Empties a tree: `nodes[0]` is the document. */
void json_tree_init(struct json_node nodes[1]);

/* Adds a path under a number. `*count` of at most `capacity` nodes are in use, at first 1. False if
   the path is malformed, there already, too deep, or does not fit. */
bool json_tree_add(struct json_node *nodes, size_t capacity, size_t *count, struct slice path,
                   uint8_t number);

/* The node of a member or element below `parent`; 0: none. */
uint8_t json_tree_member(const struct json_node *nodes, uint8_t parent, struct slice key);
uint8_t json_tree_element(const struct json_node *nodes, uint8_t parent);
