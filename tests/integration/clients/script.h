/* Reading the scripts, for the C clients. */
#pragma once

#include <stddef.h>

#define SCRIPT_WORDS_MAX 16

struct step {
    int count;
    const char *words[SCRIPT_WORDS_MAX];
    size_t lengths[SCRIPT_WORDS_MAX];
};

/* Reads the next line of the script at `path`, which is opened by the first call; `@N` becomes N
   times 'x'. Words live until the process ends. Returns 0 at the end; exits if it cannot read. */
int script_next(const char *path, struct step *step);
