/* What `run` and `entrypoint` have in common: their options, the command's environment, and the
   drainer beside it. */
#pragma once

#include <argp.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "command/service/listener.h"

/* Exit statuses of a shell, and of env(1): the command cannot be run, or is not there. */
enum launch_status { LAUNCH_CANNOT_RUN = 126, LAUNCH_NOT_FOUND = 127 };

struct launch {
    const char *name; /* "run" or "entrypoint" */
    char **command;   /* NULL-terminated; argv's own */
    bool has_status;
    bool forwards_to_group;
    unsigned finish_ms;
    struct listener listener;
    bool is_observed; /* false: nothing is to be exported; the command runs as it is */
};

/* The options that both take; a child parser of argp, whose input is the struct launch. Options
   that are nothing but another name for a variable set it in this process's environment. */
extern const struct argp launch_argp;

/* Where libwirespan.so is, seen from this command. False, and `path` undefined, without one. */
bool launch_find_library(char path[PATH_MAX]);

/* Opens the socket and sets the command's environment. Without the library or the socket it says so
   and leaves is_observed false. */
void launch_prepare(struct launch *launch);

/* Starts the drainer, waits until it serves, and says whether the command is to be observed.
   Detached: it is nobody's child, and in a session of its own. Otherwise its process id is in
   `*drainer` and the control socket's end in `*control`. */
bool launch_drainer(struct launch *launch, pid_t command, bool is_detached, pid_t *drainer,
                    int *control);

/* The command is not to be observed after all: its environment as it was. */
void launch_undo(void);

/* Becomes the command. Returns only if that fails: the exit status, after having said why. */
int launch_exec(const struct launch *launch);
