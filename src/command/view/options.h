/* The arguments of `wirespan view`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum colour_choice { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

struct options {
    const char *listen; /* NULL: do not */
    char **files;
    size_t file_count;
    bool follow;
    const char *trace;
    const char *service;
    bool errors;
    uint64_t min_duration_ns;
    uint64_t count;   /* 0: no limit */
    uint64_t idle_ns; /* 0: no limit */
    bool json;
    bool summary;
    bool all;
    bool ascii;
    enum colour_choice colour;
    size_t width; /* 0: the terminal's */
};

/* Reads the arguments; ends the process on a wrong one (status 2), --help and --version. Returns 0
   or an error number. Strings borrow from `argv`. */
int options_parse(struct options *options, int argc, char **argv);

/* A whole number from 1 to `most`. */
bool options_parse_count(const char *text, uint64_t most, uint64_t *count);
