/* One program that is looked at, and all that was read of it; examine.h says what it means. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "command/doctor/examine.h"

struct patient {
    struct process_view process;
    struct program program;
    struct object executable;
    struct libraries libraries;
    struct preload preload;
    struct config config;
    char *library_path;
    char *worker_path;
    char *system_preload;
    struct subject subject; /* points to the above */
};

/* Reads a command's file and what it would load, or a running process; a program is not run.
   `library` is where libwirespan.so is for new programs, NULL if it was not found. False without
   memory; to be finished in any case. */
bool patient_take_command(struct patient *patient, const char *command, const char *library,
                          const char *const *environment);
bool patient_take_process(struct patient *patient, pid_t id, const char *library);

void patient_finish(struct patient *patient);
