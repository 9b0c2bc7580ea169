/* A growing list of strings that it owns. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct text_list {
    char **items;
    size_t count;
};

/* Appends a copy. False, and the list as it was, without memory. */
bool text_list_add(struct text_list *list, const char *text, size_t size);

/* Whether `text` is in it. */
bool text_list_has(const struct text_list *list, const char *text);

/* The entries of `text` that `separators` separate; empty ones are left out. */
bool text_list_split(struct text_list *list, const char *text, const char *separators);

/* Releases what it holds; it may be used again. */
void text_list_finish(struct text_list *list);
