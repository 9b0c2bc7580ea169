#include "command/doctor/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void findings_add(struct findings *findings, enum finding_level level, const char *id,
                  const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    struct finding *grown =
        reallocarray(findings->items, findings->count + 1, sizeof(*findings->items));
    if (grown == NULL) {
        findings->has_no_memory = true;
        return;
    }
    findings->items = grown;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0) {
        findings->has_no_memory = true;
        return;
    }
    grown[findings->count++] = (struct finding){level, id, text};
}

enum finding_level findings_worst(const struct findings *findings)
{
    enum finding_level worst = FINDING_GOOD;
    for (size_t i = 0; i < findings->count; i++) {
        worst = findings->items[i].level > worst ? findings->items[i].level : worst;
    }
    return worst;
}

void findings_finish(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->items[i].text);
    }
    free(findings->items);
    *findings = (struct findings){0};
}
