/*
 * wirespan doctor: whether and why a program can be seen, or cannot.
 *
 * The program is not run: its file and those that it would load are read, or what /proc tells of a
 * process.
 */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/doctor/clock_cost.h"
#include "command/doctor/patient.h"
#include "command/doctor/present.h"
#include "command/doctor/probe.h"
#include "command/launch.h"
#include "command/subcommands.h"

enum option_key { KEY_ONLY = 256, KEY_EXCEPT, KEY_PROBE, KEY_COLOUR };

struct options {
    char **command; /* NULL: a process */
    pid_t process;
    bool json;
    bool verbose;
    bool probe;
    const char *colour;
};

static const struct argp_option option_table[] = {
    {"json", 'j', NULL, 0, "Write what was found as JSON", 0},
    {"verbose", 'v', NULL, 0, "List the hooked functions that the program calls", 0},
    {"probe", KEY_PROBE, NULL, 0, "Connect to the endpoint, to see whether it answers", 0},
    {"only", KEY_ONLY, "NAME[,NAME]", 0, "As of run: observe only programs of these names", 0},
    {"except", KEY_EXCEPT, "NAME[,NAME]", 0, "As of run: do not observe programs of these names",
     0},
    {"color", KEY_COLOUR, "WHEN", 0, "auto (on a terminal, unless NO_COLOR is set), always, never",
     0},
    {0},
};

/* ---- options ---- */

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static void take_subject(struct options *options, struct argp_state *state, char *argument)
{
    bool is_behind_dashes = state->quoted > 0 && state->next > state->quoted;
    char **rest = state->argv + state->next - 1;
    if (!is_number(argument) || is_behind_dashes) {
        options->command = rest;
    } else {
        errno = 0;
        long number = strtol(argument, NULL, 10);
        if (errno != 0 || number < 1 || number > INT_MAX || state->next < state->argc) {
            argp_error(state, "'%s' is no process; a command of that name goes behind '--'",
                       argument);
        }
        options->process = (pid_t)number;
    }
    state->next = state->argc;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'j':
        options->json = true;
        return 0;
    case 'v':
        options->verbose = true;
        return 0;
    case KEY_PROBE:
        options->probe = true;
        return 0;
    case KEY_ONLY:
        setenv("WIRESPAN_ONLY", argument, 1);
        return 0;
    case KEY_EXCEPT:
        setenv("WIRESPAN_EXCEPT", argument, 1);
        return 0;
    case KEY_COLOUR:
        options->colour = argument;
        if (strcmp(argument, "auto") != 0 && strcmp(argument, "always") != 0 &&
            strcmp(argument, "never") != 0) {
            argp_error(state, "'%s' is no value for that option", argument);
        }
        return 0;
    case ARGP_KEY_ARG:
        take_subject(options, state, argument);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a command or the number of a process is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool wants_colour(const char *when)
{
    const char *no_colour = getenv("NO_COLOR");
    if (strcmp(when, "auto") != 0) {
        return strcmp(when, "always") == 0;
    }
    return isatty(STDOUT_FILENO) == 1 && (no_colour == NULL || no_colour[0] == '\0');
}

/* ---- the examination ---- */

/* The command as it was written, or the process and its program. */
static char *make_title(const struct options *options, const struct patient *patient)
{
    char *title = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&title, &size);
    if (out == NULL) {
        return NULL;
    }
    if (options->command == NULL) {
        const char *program = patient->process.executable;
        fprintf(out, "process %d%s%s", (int)options->process, program != NULL ? ": " : "",
                program != NULL ? program : "");
    }
    for (char **word = options->command; word != NULL && *word != NULL; word++) {
        fprintf(out, "%s%s", word != options->command ? " " : "", *word);
    }
    return fclose(out) == 0 ? title : NULL;
}

static bool take(struct patient *patient, const struct options *options)
{
    char library[PATH_MAX];
    const char *found = launch_find_library(library) ? library : NULL;
    if (options->command != NULL) {
        return patient_take_command(patient, options->command[0], found,
                                    (const char *const *)environ);
    }
    return patient_take_process(patient, options->process, found);
}

static bool say(const struct options *options, const struct patient *patient,
                const struct findings *findings)
{
    char *title = make_title(options, patient);
    const struct presentation presentation = {
        .title = title != NULL ? title : "",
        .findings = findings,
        .hooked = options->verbose ? &patient->subject.hooked : NULL,
        .has_colour = wants_colour(options->colour),
    };
    bool is_said =
        options->json ? present_json(stdout, &presentation) : present_text(stdout, &presentation);
    free(title);
    return is_said;
}

static int examine_patient(const struct options *options, struct patient *patient)
{
    struct findings findings = {0};
    struct subject *subject = &patient->subject;
    if (!take(patient, options)) {
        fputs("wirespan doctor: no memory\n", stderr);
        return EXIT_USAGE;
    }
    if (subject->process != NULL && subject->process->state == PROCESS_NOT_THERE) {
        fprintf(stderr, "wirespan doctor: there is no process %d\n", (int)options->process);
        return EXIT_USAGE;
    }
    subject->clock = clock_cost_measure();
    bool has_endpoint =
        (patient->config.exporters & EXPORTER_OTLP) != 0 && patient->config.agent.size == 0;
    if (options->probe && has_endpoint) {
        subject->probe = probe_endpoint(patient->config.endpoint);
    }
    examine(subject, &findings);
    bool is_said = !findings.has_no_memory && say(options, patient, &findings);
    bool is_seen = findings_worst(&findings) <= FINDING_NOTE;
    findings_finish(&findings);
    if (!is_said) {
        fputs("wirespan doctor: what was found cannot be written\n", stderr);
        return EXIT_USAGE;
    }
    return is_seen ? EXIT_DONE : EXIT_FAILED;
}

int doctor_main(int argc, char **argv)
{
    static const struct argp parser = {
        .options = option_table,
        .parser = parse,
        .args_doc = "[--] COMMAND [ARGUMENT...]\nPID",
        .doc = "Tells whether a program can be seen by wirespan, and why if not. COMMAND is not "
               "run: its file, and those that it would load, are read."
               "\vThe exit status is 0 if the program can be seen, 1 if it cannot, or only in "
               "part, and 2 if nothing can be told. Marks: '+' as it should be, '-' worth knowing, "
               "'!' something is not seen, 'x' nothing is.",
    };
    struct options options = {.colour = "auto"};
    struct patient patient;
    if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &options) != 0) {
        return EXIT_USAGE;
    }
    int status = examine_patient(&options, &patient);
    patient_finish(&patient);
    return status;
}
