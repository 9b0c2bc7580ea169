#include "command/doctor/text_list.h"

#include <stdlib.h>
#include <string.h>

bool text_list_add(struct text_list *list, const char *text, size_t size)
{
    char **grown = reallocarray(list->items, list->count + 1, sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    list->items = grown;
    char *copy = strndup(text, size);
    if (copy == NULL) {
        return false;
    }
    list->items[list->count++] = copy;
    return true;
}

bool text_list_has(const struct text_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) == 0) {
            return true;
        }
    }
    return false;
}

bool text_list_split(struct text_list *list, const char *text, const char *separators)
{
    while (*text != '\0') {
        size_t size = strcspn(text, separators);
        if (size > 0 && !text_list_add(list, text, size)) {
            return false;
        }
        text += size + (text[size] != '\0');
    }
    return true;
}

void text_list_finish(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct text_list){0};
}
