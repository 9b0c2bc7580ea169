/* From what is known of a program to findings: no file is read here, nothing is measured. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "command/doctor/findings.h"
#include "command/doctor/libraries.h"
#include "command/doctor/object.h"
#include "command/doctor/process_view.h"
#include "command/doctor/program.h"
#include "process/config.h"

/* What would be loaded into the program. */
struct preload {
    struct object library;       /* libwirespan.so; its exports are the hooked names */
    const char *worker;          /* the path of libwirespan-worker.so beside it; NULL: none */
    struct text_list missing;    /* what the worker object needs and the program's loader will not
                                    find */
    char *curl;                  /* the libcurl that it will find; NULL: none */
    struct text_list unresolved; /* what the library takes from the C library, and the program's
                                    does not have */
};

/* A look at the clock, on this machine. */
struct clock_cost {
    double read_ns;
    char source[32]; /* the kernel's clock source; empty: unknown */
};

enum probe_result { PROBE_NOT_ASKED, PROBE_ANSWERS, PROBE_FAILED };

struct probe {
    enum probe_result result;
    char why[512];
};

struct subject {
    const struct process_view *process; /* NULL: a command that does not run */
    const struct program *program;      /* NULL: a process */
    const struct object *executable;    /* NULL: there is none to look into */
    const struct libraries *libraries;
    const struct preload *preload;
    const char *const *environment; /* what it was, or would be, started with */
    const struct config *config;    /* the same, understood */
    const char *system_preload;     /* /etc/ld.so.preload's text; NULL: none */
    uid_t user;                     /* who would execute the command */
    gid_t group;
    struct text_list hooked; /* hooked names that it calls: made by examine_hooked */
    struct clock_cost clock;
    struct probe probe;
};

/* The hooked names that the executable and its libraries call. False without memory. */
bool examine_hooked(struct subject *subject);

/* Everything that is to be said, in the order in which it is said. */
void examine(const struct subject *subject, struct findings *findings);
