#include "command/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command/service/service.h"
#include "command/subcommands.h"

#define LIBRARY "libwirespan.so"
/* A drainer is there in a few hundredths of a second; libcurl and TLS take most of it. */
#define READY_SECONDS 10

/* ---- options ---- */

enum {
    OPTION_ONLY = 256,
    OPTION_EXCEPT,
    OPTION_STATUS,
    OPTION_ENDPOINT,
    OPTION_CONSOLE,
    OPTION_FILE,
    OPTION_SERVICE,
    OPTION_FINISH
};

static const struct argp_option options[] = {
    {"only", OPTION_ONLY, "NAME[,NAME]", 0, "observe only programs of these names", 0},
    {"except", OPTION_EXCEPT, "NAME[,NAME]", 0, "do not observe programs of these names", 0},
    {"endpoint", OPTION_ENDPOINT, "URL", 0, "OTEL_EXPORTER_OTLP_ENDPOINT", 0},
    {"service-name", OPTION_SERVICE, "NAME", 0, "OTEL_SERVICE_NAME", 0},
    {"console", OPTION_CONSOLE, NULL, 0, "write spans to stderr; OTEL_TRACES_EXPORTER=console", 0},
    {"file", OPTION_FILE, "FILE", 0,
     "append spans to FILE as JSON lines; OTEL_TRACES_EXPORTER=file and WIRESPAN_FILE", 0},
    {"finish-timeout", OPTION_FINISH, "SECONDS", 0,
     "how long the last export may take after the end", 0},
    {"status", OPTION_STATUS, NULL, 0,
     "a line that tells how many spans were exported, if stderr is a terminal", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct launch *launch = state->input;
    switch (key) {
    case OPTION_ONLY:
        setenv("WIRESPAN_ONLY", argument, 1);
        return 0;
    case OPTION_EXCEPT:
        setenv("WIRESPAN_EXCEPT", argument, 1);
        return 0;
    case OPTION_ENDPOINT:
        setenv("OTEL_EXPORTER_OTLP_ENDPOINT", argument, 1);
        return 0;
    case OPTION_SERVICE:
        setenv("OTEL_SERVICE_NAME", argument, 1);
        return 0;
    case OPTION_CONSOLE:
        setenv("OTEL_TRACES_EXPORTER", "console", 1);
        return 0;
    case OPTION_FILE:
        setenv("OTEL_TRACES_EXPORTER", "file", 1);
        setenv("WIRESPAN_FILE", argument, 1);
        return 0;
    case OPTION_FINISH: {
        char *end;
        double seconds = strtod(argument, &end);
        if (end == argument || *end != '\0' || !(seconds >= 0 && seconds <= 3600)) {
            argp_error(state, "--finish-timeout: '%s' is no number of seconds up to 3600",
                       argument);
            return EINVAL;
        }
        launch->finish_ms = (unsigned)(seconds * 1000);
        return 0;
    }
    case OPTION_STATUS:
        launch->has_status = isatty(STDERR_FILENO) != 0;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp launch_argp = {.options = options, .parser = parse};

/* ---- the environment ---- */

static char *old_preload; /* what LD_PRELOAD was; NULL: not set */

bool launch_find_library(char path[PATH_MAX])
{
    /* as in the build's folder, beside the command, or where it is installed */
    static const char *const places[] = {"/../", "/", "/" WIRESPAN_LIBRARY_FROM_COMMAND "/"};
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (size <= 0) {
        return false;
    }
    self[size] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char candidate[2 * PATH_MAX];
        snprintf(candidate, sizeof(candidate), "%s%s" LIBRARY, self, places[i]);
        if (realpath(candidate, path) != NULL) {
            return true;
        }
    }
    return false;
}

static bool set_preload(const char *library)
{
    const char *before = getenv("LD_PRELOAD");
    char *value = NULL;
    bool has_others = before != NULL && before[0] != '\0';
    if (before != NULL) {
        old_preload = strdup(before);
    }
    if (has_others && strstr(before, library) != NULL) {
        return true; /* already observed by the one who started us: the nearest drainer takes it */
    }
    if (asprintf(&value, "%s%s%s", library, has_others ? ":" : "", has_others ? before : "") < 0) {
        return false;
    }
    setenv("LD_PRELOAD", value, 1);
    free(value);
    return true;
}

void launch_prepare(struct launch *launch)
{
    char library[PATH_MAX];
    char address[REGISTRATION_PATH + 2 * REGISTRATION_TOKEN];
    launch->is_observed = false;
    if (!launch_find_library(library)) {
        fprintf(stderr, "wirespan %s: %s is not where it was installed; nothing is observed\n",
                launch->name, LIBRARY);
        return;
    }
    if (strpbrk(library, " :") != NULL) {
        fprintf(stderr, "wirespan %s: LD_PRELOAD cannot hold the path '%s'; nothing is observed\n",
                launch->name, library);
        return;
    }
    int result = listener_open_abstract(&launch->listener, address, sizeof(address));
    if (result < 0) {
        fprintf(stderr, "wirespan %s: no socket: %s; nothing is observed\n", launch->name,
                strerror(-result));
        return;
    }
    launch->is_observed = set_preload(library);
    setenv("WIRESPAN_AGENT", address, 1);
}

void launch_undo(void)
{
    unsetenv("WIRESPAN_AGENT");
    if (old_preload != NULL) {
        setenv("LD_PRELOAD", old_preload, 1);
    } else {
        unsetenv("LD_PRELOAD");
    }
}

/* ---- the drainer ---- */

/* What the shell has opened for the command is the command's. */
static void keep_descriptors(const int *kept, size_t count)
{
    unsigned from = STDERR_FILENO + 1;
    for (size_t i = 0; i < count; i++) {
        /* in rising order */
        if (kept[i] > (int)from) {
            close_range(from, (unsigned)kept[i] - 1, 0);
        }
        from = (unsigned)kept[i] + 1;
    }
    close_range(from, UINT_MAX, 0);
}

static int compare_numbers(const void *left, const void *right)
{
    const int *a = left;
    const int *b = right;
    return (*a > *b) - (*a < *b);
}

static void keep_only(int a, int b, int c, int d)
{
    int kept[4] = {a, b, c, d};
    int open[4];
    size_t count = 0;
    qsort(kept, 4, sizeof(kept[0]), compare_numbers);
    for (size_t i = 0; i < 4; i++) {
        if (kept[i] > STDERR_FILENO) {
            open[count++] = kept[i];
        }
    }
    keep_descriptors(open, count);
}

static void take_nothing_from_the_streams(void)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing >= 0) {
        dup2(nothing, STDIN_FILENO);
        dup2(nothing, STDOUT_FILENO);
        if (nothing > STDERR_FILENO) {
            close(nothing);
        }
    }
}

_Noreturn static void be_drainer(struct launch *launch, pid_t command, int control, int ready)
{
    take_nothing_from_the_streams();
    keep_only(launch->listener.socket, launch->listener.events, control, ready);
    launch_undo();
    const struct service_options service = {
        .environment = (const char *const *)environ,
        .listener = &launch->listener,
        .command = command,
        .control = control,
        .ready = ready,
        .has_status = launch->has_status,
        .name = launch->name,
        .finish_ms = launch->finish_ms,
    };
    _exit(service_run(&service));
}

/* The answer of the drainer; silence is no. */
static bool await_ready(int ready)
{
    struct timeval patience = {.tv_sec = READY_SECONDS};
    char answer = '-';
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ready, &set);
    int result;
    do {
        result = select(ready + 1, &set, NULL, NULL, &patience);
    } while (result < 0 && errno == EINTR);
    return result == 1 && read(ready, &answer, 1) == 1 && answer == '+';
}

static pid_t fork_drainer(struct launch *launch, pid_t command, bool is_detached, int control,
                          int ready)
{
    pid_t child = fork();
    if (child != 0) {
        return child;
    }
    setsid();
    if (is_detached && fork() != 0) {
        _exit(0);
    }
    be_drainer(launch, command, control, ready);
}

bool launch_drainer(struct launch *launch, pid_t command, bool is_detached, pid_t *drainer,
                    int *control)
{
    int ready[2];
    int pair[2] = {-1, -1};
    if (pipe2(ready, O_CLOEXEC) != 0 ||
        (!is_detached && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)) {
        fprintf(stderr, "wirespan %s: %s; nothing is observed\n", launch->name, strerror(errno));
        return false;
    }
    pid_t child = fork_drainer(launch, command, is_detached, pair[1], ready[1]);
    close(ready[1]);
    close(launch->listener.socket);
    close(launch->listener.events);
    if (pair[1] >= 0) {
        close(pair[1]);
    }
    bool is_ready = child > 0 && await_ready(ready[0]);
    close(ready[0]);
    if (child > 0 && is_detached) {
        waitpid(child, NULL, 0);
    }
    if (drainer != NULL) {
        *drainer = child;
    }
    if (control != NULL) {
        *control = pair[0];
    }
    return is_ready;
}

/* ---- the command ---- */

int launch_exec(const struct launch *launch)
{
    execvp(launch->command[0], launch->command);
    int error = errno;
    fprintf(stderr, "wirespan %s: %s: %s\n", launch->name, launch->command[0], strerror(error));
    return error == ENOENT ? LAUNCH_NOT_FOUND : LAUNCH_CANNOT_RUN;
}
