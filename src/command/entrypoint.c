/*
 * `wirespan entrypoint`: the first process of a container. It starts the drainer and the command,
 * passes signals on, reaps whoever is left to it, and ends with the command's exit status after the
 * last export. Everything that could go wrong with an export is in the other process.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command/launch.h"
#include "command/service/service.h"
#include "command/subcommands.h"

/* Container runtimes kill after ten seconds, counted from their SIGTERM. */
#define FINISH_MS 5000
/* The drainer ends by itself within the time it was given; this is for one that does not. */
#define PATIENCE_MS  1000
#define OPTION_GROUP 'g'

struct entrypoint {
    struct launch launch;
    pid_t command;
    pid_t drainer;
    int control;
    sigset_t before; /* the signal mask that the command is to have */
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct launch *launch = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = launch;
        return 0;
    case OPTION_GROUP:
        launch->forwards_to_group = true;
        return 0;
    case ARGP_KEY_ARG:
        launch->command = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a command is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the command ---- */

/* In a process group of its own, in the foreground if there is a terminal: keys reach the command,
   and what was meant for it reaches nobody else. */
_Noreturn static void be_command(const struct entrypoint *self)
{
    setpgid(0, 0);
    if (isatty(STDIN_FILENO)) {
        /* SIGTTOU is still blocked. */
        tcsetpgrp(STDIN_FILENO, getpid());
    }
    sigprocmask(SIG_SETMASK, &self->before, NULL);
    _exit(launch_exec(&self->launch));
}

static bool start_command(struct entrypoint *self)
{
    int gate[2];
    if (pipe(gate) != 0) {
        return false;
    }
    self->command = fork();
    if (self->command == 0) {
        char go;
        close(gate[1]);
        if (read(gate[0], &go, 1) == 1 && go == '-') {
            launch_undo();
        }
        close(gate[0]);
        be_command(self);
    }
    close(gate[0]);
    if (self->command < 0) {
        close(gate[1]);
        return false;
    }
    /* The drainer has to know the command's number; the command waits until it serves. */
    bool is_observed =
        self->launch.is_observed &&
        launch_drainer(&self->launch, self->command, false, &self->drainer, &self->control);
    if (!is_observed) {
        self->drainer = 0; /* it has said why, if there is anything to say; its end is no news */
    }
    const char go = is_observed ? '+' : '-';
    ssize_t written = write(gate[1], &go, 1);
    (void)written; /* without it the command starts, too */
    close(gate[1]);
    return true;
}

/* ---- looking after it ---- */

static void forward(const struct entrypoint *self, int signal)
{
    kill(self->launch.forwards_to_group ? -self->command : self->command, signal);
}

/* Reaps all that have ended. Returns whether the command was among them. */
static bool reap(struct entrypoint *self, int *status)
{
    bool has_ended = false;
    int one;
    pid_t process;
    while ((process = waitpid(-1, &one, WNOHANG)) > 0) {
        if (process == self->command) {
            *status = one;
            has_ended = true;
        } else if (process == self->drainer) {
            self->drainer = 0;
            fprintf(stderr, "wirespan entrypoint: the exporter has ended; nothing more is "
                            "exported\n");
        }
    }
    return has_ended;
}

static int look_after_command(struct entrypoint *self)
{
    sigset_t all;
    sigfillset(&all);
    int status = 0;
    for (;;) {
        int signal = sigwaitinfo(&all, NULL);
        if (signal == SIGCHLD) {
            if (reap(self, &status)) {
                return status;
            }
        } else if (signal > 0) {
            forward(self, signal);
        }
    }
}

static void finish_drainer(struct entrypoint *self, int status)
{
    if (self->drainer <= 0) {
        return;
    }
    service_finish(self->control, status);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    unsigned wait_ms = self->launch.finish_ms + PATIENCE_MS;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double deadline = (double)now.tv_sec + (double)now.tv_nsec * 1e-9 + wait_ms * 1e-3;
    while (waitpid(self->drainer, NULL, WNOHANG) == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        double left = deadline - ((double)now.tv_sec + (double)now.tv_nsec * 1e-9);
        if (left <= 0) {
            kill(self->drainer, SIGKILL);
            return;
        }
        const struct timespec timeout = {.tv_sec = (time_t)left,
                                         .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        sigtimedwait(&child, NULL, &timeout);
    }
}

int entrypoint_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"group", OPTION_GROUP, NULL, 0, "pass signals on to COMMAND's whole process group", 0},
        {0},
    };
    static const struct argp_child children[] = {{&launch_argp, 0, NULL, 0}, {0}};
    static const struct argp parser = {
        .options = options,
        .parser = parse,
        .args_doc = "[--] COMMAND [ARGUMENT...]",
        .doc = "Runs COMMAND as the first process of a container: passes signals on, reaps the "
               "processes that are left behind, exports the traces of all, and ends when COMMAND "
               "has ended and the last spans are delivered."
               "\vThe exit status is COMMAND's, 128 and the signal's number if one ended it; 126 "
               "if it cannot be run, 127 if there is none of that name.",
        .children = children,
    };
    struct entrypoint self = {.launch = {.name = "entrypoint", .finish_ms = FINISH_MS},
                              .control = -1};
    if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &self.launch) != 0) {
        return EXIT_FAILED;
    }
    if (getpid() != 1) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    }
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &self.before);
    launch_prepare(&self.launch);
    if (!start_command(&self)) {
        fprintf(stderr, "wirespan entrypoint: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    int status = look_after_command(&self);
    finish_drainer(&self, status);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
