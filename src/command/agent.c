/* `wirespan agent`: the drainer as a service of the machine. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "command/service/listener.h"
#include "command/service/service.h"
#include "command/subcommands.h"

#define FINISH_MS   5000
#define SOCKET_NAME "wirespan/agent.sock"

struct agent {
    char path[REGISTRATION_PATH];
    bool has_status;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct agent *agent = state->input;
    switch (key) {
    case 's':
        if (strlen(argument) >= sizeof(agent->path) || argument[0] != '/') {
            argp_error(state, "--socket: an absolute path of at most %zu bytes is wanted",
                       sizeof(agent->path) - 1);
            return EINVAL;
        }
        strcpy(agent->path, argument);
        return 0;
    case 't':
        agent->has_status = isatty(STDERR_FILENO) != 0;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is too much", argument);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A folder for the socket, if it is the usual one. */
static void choose_path(struct agent *agent)
{
    const char *folder = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    if (folder == NULL || folder[0] != '/') {
        folder = "/tmp";
    }
    int size = snprintf(agent->path, sizeof(agent->path), "%s/%s", folder, SOCKET_NAME);
    if (size < 0 || (size_t)size >= sizeof(agent->path)) {
        agent->path[0] = '\0';
        return;
    }
    char *slash = strrchr(agent->path, '/');
    *slash = '\0';
    mkdir(agent->path, 0700);
    *slash = '/';
}

/* Says to systemd that the service has begun (sd_notify(3)); nothing where nobody asked. */
static void notify_started(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (path == NULL || strlen(path) >= sizeof(name.sun_path)) {
        return;
    }
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    strcpy(name.sun_path, path);
    if (path[0] == '@') {
        name.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        static const char message[] = "READY=1";
        sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL, (struct sockaddr *)&name, size);
        close(fd);
    }
}

int agent_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"socket", 's', "PATH", 0,
         "where programs find the agent; default: wirespan/agent.sock in /run, or in "
         "$XDG_RUNTIME_DIR for users other than root",
         0},
        {"status", 't', NULL, 0,
         "a line that tells how many spans were exported, if stderr is a terminal", 0},
        {0},
    };
    static const struct argp parser = {
        .options = options,
        .parser = parse,
        .doc = "Exports for all programs of this user that run with LD_PRELOAD=libwirespan.so and "
               "WIRESPAN_AGENT=PATH. Programs outlive the agent, and find it when it is back."
               "\vSIGTERM and SIGINT end it after the last export.",
    };
    struct agent agent = {0};
    struct listener listener;
    if (argp_parse(&parser, argc, argv, 0, NULL, &agent) != 0) {
        return EXIT_FAILED;
    }
    if (agent.path[0] == '\0') {
        choose_path(&agent);
    }
    int result = listener_open_path(&listener, agent.path);
    if (result < 0) {
        fprintf(stderr, "wirespan agent: %s: %s\n", agent.path,
                result == -EADDRINUSE ? "another agent listens there" : strerror(-result));
        return EXIT_FAILED;
    }
    unsetenv("WIRESPAN_AGENT");
    fprintf(stderr, "wirespan agent: listening on %s\n", agent.path);
    notify_started();
    const struct service_options service = {
        .environment = (const char *const *)environ,
        .listener = &listener,
        .control = -1,
        .ready = -1,
        .has_status = agent.has_status,
        .name = "agent",
        .finish_ms = FINISH_MS,
    };
    int status = service_run(&service);
    unlink(agent.path);
    return status;
}
