#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/subcommands.h"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct subcommand subcommands[] = {
    {"run", run_main, "run a command, observed; this program exports for it"},
    {"entrypoint", entrypoint_main, "the same as the first process of a container"},
    {"agent", agent_main, "export for all observed programs of this machine"},
    {"doctor", doctor_main, "tell whether a program can be seen, and why if not"},
    {"rules", rules_main, "explain rule files of job queues, and what is wrong with them"},
    {"view", view_main, "receive or read traces and draw them in the terminal"},
};

static const struct subcommand *find_subcommand(const char *name)
{
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (strcmp(subcommands[i].name, name) == 0) {
            return &subcommands[i];
        }
    }
    return NULL;
}

/* The list of subcommands for --help. */
static char *filter_help(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC) {
        return (char *)(size_t)text;
    }
    char *list = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&list, &size);
    if (out == NULL) {
        return NULL;
    }
    fputs("Commands:\n", out);
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        fprintf(out, "  %-12s %s\n", subcommands[i].name, subcommands[i].summary);
    }
    fputs("\n'wirespan COMMAND --help' tells more about one of them.", out);
    return fclose(out) == 0 ? list : NULL;
}

struct choice {
    int first; /* index of the subcommand's name */
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct choice *choice = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_ARG:
        choice->first = state->next - 1;
        state->next = state->argc; /* the rest is the subcommand's */
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a command is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int run_subcommand(int argc, char **argv)
{
    char name[64];
    const char *wanted = argv[0];
    char help[] = "--help";
    char *help_arguments[] = {name, help, NULL};
    bool is_help = strcmp(wanted, "help") == 0 && argc > 1;
    if (is_help) {
        wanted = argv[1];
    }
    const struct subcommand *subcommand = find_subcommand(wanted);
    if (subcommand == NULL) {
        fprintf(stderr, "wirespan: '%s' is no command; 'wirespan --help' lists them\n", wanted);
        return EXIT_USAGE;
    }
    snprintf(name, sizeof(name), "wirespan %s", subcommand->name);
    if (is_help) {
        return subcommand->run(2, help_arguments);
    }
    argv[0] = name;
    return subcommand->run(argc, argv);
}

int main(int argc, char **argv)
{
    static const struct argp parser = {
        .parser = parse_option,
        .args_doc = "COMMAND [ARGUMENT...]",
        .doc = "OpenTelemetry traces of unmodified programs, from the bytes of their sockets."
               "\v" /* what follows is replaced by the list of commands */
               "Commands",
        .help_filter = filter_help,
    };
    struct choice choice = {0};
    argp_program_version = "wirespan " WIRESPAN_VERSION;
    argp_err_exit_status = EXIT_USAGE;
    if (argc == 2 && strcmp(argv[1], "help") == 0) {
        argp_help(&parser, stdout, ARGP_HELP_STD_HELP & ~(unsigned)ARGP_HELP_EXIT_OK, argv[0]);
        return EXIT_DONE;
    }
    if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &choice) != 0) {
        return EXIT_FAILED;
    }
    return run_subcommand(argc - choice.first, argv + choice.first);
}
