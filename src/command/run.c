/*
 * `wirespan run`: this process becomes the command, so that its exit status, signals, terminal,
 * parent and everything else are its own. The drainer is a process beside it.
 */
#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/launch.h"
#include "command/subcommands.h"

/* A receiver that comes back within this time still gets everything. */
#define FINISH_MS 30000

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct launch *launch = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = launch;
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

int run_main(int argc, char **argv)
{
    static const struct argp_child children[] = {{&launch_argp, 0, NULL, 0}, {0}};
    static const struct argp parser = {
        .parser = parse,
        .args_doc = "[--] COMMAND [ARGUMENT...]",
        .doc = "Runs COMMAND, and exports the traces of it and of all programs that it starts."
               "\vThe exit status is COMMAND's; 126 if it cannot be run, 127 if there is none of "
               "that name. Where spans go is said by the variables of OpenTelemetry: see "
               "wirespan(1).",
        .children = children,
    };
    if (getpid() == 1) {
        /* There is nobody else to look after what the command leaves behind. */
        return entrypoint_main(argc, argv);
    }
    struct launch launch = {.name = "run", .finish_ms = FINISH_MS};
    if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &launch) != 0) {
        return EXIT_FAILED;
    }
    launch_prepare(&launch);
    if (launch.is_observed && !launch_drainer(&launch, getpid(), true, NULL, NULL)) {
        launch_undo();
    }
    return launch_exec(&launch);
}
