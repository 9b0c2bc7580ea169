/*
 * The drainer's loop: programs come and go, what they did is exported.
 *
 * Called in a process of its own, which serves until it is told to stop, or until the command that
 * it was started for and everything that the command left behind have ended.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "command/service/listener.h"

struct service_options {
    const char *const *environment; /* the exporter's configuration */
    struct listener *listener;
    pid_t command;      /* ends with it and its children; 0: with a signal only */
    int control;        /* -1, or one end of a socket pair: see service_finish */
    int ready;          /* -1, or where one byte is written: '+' serving, '-' nothing to export */
    bool has_status;    /* a line on the terminal, renewed every second */
    const char *name;   /* "run", "entrypoint" or "agent", for what is said */
    unsigned finish_ms; /* at the end the export may take this long */
};

/* Returns the exit status of the process. SIGTERM and SIGINT end it in order. */
int service_run(const struct service_options *options);

/* From the process that started the command: tells how it ended, and that the drainer is to export
   what there is and end. */
void service_finish(int control, int wait_status);
