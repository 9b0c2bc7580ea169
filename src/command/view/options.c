#include "command/view/options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum option_key { KEY_COLOUR = 256, KEY_WIDTH, KEY_ASCII };

static const struct argp_option option_table[] = {
    {0, 0, 0, 0, "Where traces come from:", 1},
    {"listen", 'l', "ADDR:PORT", 0,
     "Receive OTLP over HTTP (protobuf or JSON) there; 127.0.0.1:4318 unless there are FILEs. Port "
     "0 takes a free one",
     0},
    {"follow", 'f', 0, 0, "Go on reading the FILEs as they grow", 0},
    {0, 0, 0, 0, "Which traces are shown:", 2},
    {"trace", 't', "ID", 0, "The one whose id begins so", 0},
    {"service", 's', "NAME", 0, "Those with a span of that service", 0},
    {"errors", 'e', 0, 0, "Those with a span that failed", 0},
    {"min-duration", 'm', "TIME", 0, "Those that lasted at least so long: 250us, 20ms, 1.5s, 2m",
     0},
    {0, 0, 0, 0, "How they are shown:", 3},
    {"all", 'a', 0, 0, "Every attribute, event and link below its span", 0},
    {"summary", 'S', 0, 0, "At the end, what each service sent", 0},
    {"json", 'j', 0, 0, "Write what arrives as lines of OTLP JSON instead, to be read again", 0},
    {"color", KEY_COLOUR, "WHEN", 0, "auto (on a terminal, unless NO_COLOR is set), always, never",
     0},
    {"width", KEY_WIDTH, "CELLS", 0, "Instead of the terminal's", 0},
    {"ascii", KEY_ASCII, 0, 0, "No characters beyond ASCII, whatever the locale", 0},
    {0, 0, 0, 0, "When to end (else by SIGINT or SIGTERM); then all is drawn at the end:", 4},
    {"count", 'n', "N", 0, "Once N spans have arrived", 0},
    {"idle", 'i', "SECONDS", 0, "When nothing has arrived for so long", 0},
    {0},
};

/* A non-negative number at the beginning of `text`; `*rest` is what follows. */
static bool parse_number(const char *text, double *number, const char **rest)
{
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    *rest = end;
    return end != text && errno == 0 && isfinite(*number) && *number >= 0 && text[0] != '-' &&
           *number < 1e9;
}

static bool parse_duration(const char *text, uint64_t *ns)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1},  {"us", 1e3}, {"µs", 1e3},  {"ms", 1e6},
                 {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}};
    double number;
    const char *unit;
    if (!parse_number(text, &number, &unit)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].name) == 0 && number * units[i].ns < 9e18) {
            *ns = (uint64_t)(number * units[i].ns);
            return true;
        }
    }
    return false;
}

bool options_parse_count(const char *text, uint64_t most, uint64_t *count)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value == 0 ||
        value > most) {
        return false;
    }
    *count = value;
    return true;
}

static bool parse_colour(const char *text, enum colour_choice *choice)
{
    static const char *const words[] = {"auto", "always", "never"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *choice = (enum colour_choice)i;
            return true;
        }
    }
    return false;
}

static bool is_hex(const char *text)
{
    return text[0] != '\0' && strlen(text) <= 32 &&
           text[strspn(text, "0123456789abcdefABCDEF")] == '\0';
}

/* Options with a value; false if it is a bad one. */
static bool take_value(struct options *options, int key, const char *text)
{
    uint64_t number = 0;
    double seconds = 0;
    const char *rest = "";
    switch (key) {
    case 't':
        options->trace = text;
        return is_hex(text);
    case 'm':
        return parse_duration(text, &options->min_duration_ns);
    case 'n':
        return options_parse_count(text, UINT64_MAX, &options->count);
    case 'i':
        if (!parse_number(text, &seconds, &rest) || *rest != '\0' || seconds < 1e-3) {
            return false;
        }
        options->idle_ns = (uint64_t)(seconds * 1e9);
        return true;
    case KEY_COLOUR:
        return parse_colour(text, &options->colour);
    case KEY_WIDTH:
        if (!options_parse_count(text, 10000, &number)) {
            return false;
        }
        options->width = (size_t)number;
        return true;
    default:
        return false;
    }
}

static void check_options(struct argp_state *state, const struct options *options)
{
    bool has_filter = options->trace != NULL || options->service != NULL || options->errors ||
                      options->min_duration_ns > 0;
    if (options->follow && options->file_count == 0) {
        argp_error(state, "--follow needs a FILE");
    }
    if (options->json && (has_filter || options->all)) {
        argp_error(state,
                   "--json writes everything as it arrives: it goes with no choice of traces");
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'l':
        options->listen = argument;
        return 0;
    case 'f':
        options->follow = true;
        return 0;
    case 's':
        options->service = argument;
        return 0;
    case 'e':
        options->errors = true;
        return 0;
    case 'a':
        options->all = true;
        return 0;
    case 'S':
        options->summary = true;
        return 0;
    case 'j':
        options->json = true;
        return 0;
    case KEY_ASCII:
        options->ascii = true;
        return 0;
    case 't':
    case 'm':
    case 'n':
    case 'i':
    case KEY_COLOUR:
    case KEY_WIDTH:
        if (!take_value(options, key, argument)) {
            argp_error(state, "'%s' is no value for that option", argument);
        }
        return 0;
    case ARGP_KEY_ARGS:
        options->files = state->argv + state->next;
        options->file_count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_SUCCESS:
        check_options(state, options);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = option_table,
    .parser = parse_option,
    .args_doc = "[FILE...]",
    .doc = "Receives traces as an OpenTelemetry Collector would, or reads them from FILEs of OTLP "
           "JSON, one object a line ('-' is standard input), and draws each as a tree."
           "\v"
           "Marks before a span's name: < server, > client, ^ producer, v consumer, . internal "
           "(arrows in a UTF-8 locale); '~' where its parent has not arrived, '=' where a trace "
           "hangs below another that it is linked with; '!' a failed one.\n\n"
           "Exit status: 0, or 1 if an input could not be read or held bad lines, 2 for wrong "
           "usage.",
};

int options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){0};
    int error = argp_parse(&parser, argc, argv, 0, NULL, options);
    if (error == 0 && options->file_count == 0 && options->listen == NULL) {
        options->listen = "127.0.0.1:4318";
    }
    return error;
}
