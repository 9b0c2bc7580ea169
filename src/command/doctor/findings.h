/* What was found out about a program, each as a sentence, with what it means for its being seen. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum finding_level {
    FINDING_GOOD,   /* as it should be */
    FINDING_NOTE,   /* worth knowing */
    FINDING_PARTLY, /* something that the program does is not seen */
    FINDING_UNSEEN, /* nothing is seen, or nothing comes out */
};

struct finding {
    enum finding_level level;
    const char *id; /* for machines; never changes: static text */
    char *text;
};

struct findings {
    struct finding *items;
    size_t count;
    bool has_no_memory; /* one could not be kept */
};

void findings_add(struct findings *findings, enum finding_level level, const char *id,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The worst level there is: the verdict. */
enum finding_level findings_worst(const struct findings *findings);

void findings_finish(struct findings *findings);
