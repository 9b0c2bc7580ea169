/* The file that a command would execute: found as execvp finds it, and followed through scripts,
   and env(1), to the program that runs them. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "command/doctor/place.h"
#include "command/doctor/text_list.h"

enum program_state {
    PROGRAM_IS_FILE,        /* the last step is the file to look into */
    PROGRAM_NOT_FOUND,      /* there is no file of that name */
    PROGRAM_NOT_EXECUTABLE, /* it may not be executed by this user, or is no regular file */
    PROGRAM_UNREADABLE,     /* it may be executed, but not read */
    PROGRAM_TOO_DEEP,       /* scripts that interpret scripts, beyond what the kernel follows */
};

struct program {
    enum program_state state;
    struct text_list steps; /* paths: the command, and the interpreter of each script before */
    char *missing;          /* the name that was not found, when it is not the command's */
    bool is_script;
    bool is_by_shell;   /* text without "#!": execvp gives it to /bin/sh, execve refuses it */
    struct stat status; /* of the last step, when it was found */
    bool has_capabilities;
};

/* `path` is the search path: PATH. False without memory; to be finished in any case. */
bool program_find(struct program *program, const struct place *place, const char *command,
                  const char *path);

void program_finish(struct program *program);
