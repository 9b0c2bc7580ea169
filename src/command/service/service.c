#include "command/service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command/service/bell.h"
#include "command/service/members.h"
#include "command/service/process_info.h"
#include "command/subcommands.h"
#include "handoff/record.h"
#include "worker/exporter.h"
#include "worker/worker.h"

#define NS_PER_MS UINT64_C(1000000)
/* With a backlog the drainer sleeps no longer than this: it is there to be drained, or it is a late
   record, whose writer may need this processor. */
#define BACKLOG_MS 1
/* How often it is asked whether a parent has told how its child ended. */
#define PARENTS_MS 10
/* While transfers are in flight the segments are looked at this often. */
#define TRANSFER_MS 10
#define STATUS_NS   UINT64_C(1000000000)
/* The command's stderr is not held longer than this after its end. */
#define STDERR_NS UINT64_C(2000000000)

struct service {
    const struct service_options *options;
    struct exporter *exporter;
    struct bell bell;
    struct members members;
    int command_pidfd; /* -1: it has ended, or there is none */
    int signals;
    bool is_stopping;     /* by a signal, or because all have gone */
    uint64_t deadline_ns; /* of the stop */
    bool stderr_is_held;
    uint64_t command_end_ns; /* 0: it lives */
    uint64_t status_ns;
    size_t status_width;
};

enum { POLL_LISTENER, POLL_BELL, POLL_MEMBERS, POLL_SIGNALS, POLL_CONTROL, POLL_COMMAND, POLL_OWN };

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- the line on the terminal ---- */

static uint64_t count_losses(const struct exporter *exporter)
{
    uint64_t sum = 0;
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        sum += exporter->losses[loss];
    }
    return sum;
}

static uint64_t count_exported(const struct exporter *exporter)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < exporter->outlet_count; i++) {
        most = exporter->outlets[i].exported > most ? exporter->outlets[i].exported : most;
    }
    return most;
}

static void show_status(struct service *service, uint64_t now)
{
    if (!service->options->has_status || now - service->status_ns < STATUS_NS) {
        return;
    }
    service->status_ns = now;
    char line[128];
    int size =
        snprintf(line, sizeof(line),
                 "wirespan: %" PRIu32 " processes, %" PRIu64 " spans exported, %" PRIu64 " lost",
                 service->members.holder_count, count_exported(service->exporter),
                 count_losses(service->exporter));
    fprintf(stderr, "\r%s\033[K", line);
    service->status_width = (size_t)size;
}

static void clear_status(struct service *service)
{
    if (service->status_width > 0) {
        fputs("\r\033[K", stderr);
        service->status_width = 0;
    }
}

/* ---- ends ---- */

static void stop(struct service *service, uint64_t now)
{
    if (!service->is_stopping) {
        service->is_stopping = true;
        service->deadline_ns = now + service->options->finish_ms * NS_PER_MS;
        if (service->options->control >= 0) {
            /* What is left of the container ends with its first process. */
            members_follow(&service->members, now);
            members_end(&service->members);
        }
    }
}

/* Nobody is to wait for the end of a pipe because we hold it open. */
static void let_go_of_stderr(struct service *service)
{
    clear_status(service);
    service->stderr_is_held = false;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing >= 0) {
        dup2(nothing, STDERR_FILENO);
        close(nothing);
    }
}

static void note_command_end(struct service *service, uint64_t now)
{
    service->command_end_ns = now;
    close(service->command_pidfd);
    service->command_pidfd = -1;
}

static void read_control(struct service *service, uint64_t now)
{
    int status;
    ssize_t size = recv(service->options->control, &status, sizeof(status), MSG_DONTWAIT);
    if (size == (ssize_t)sizeof(status)) {
        service->members.command_end = WIFSIGNALED(status)
                                           ? record_abort_cause(ABORT_SIGNAL, WTERMSIG(status))
                                           : record_abort_cause(ABORT_EXIT, WEXITSTATUS(status));
        stop(service, now);
    } else if (size == 0) {
        stop(service, now); /* who was to tell has ended */
    }
}

void service_finish(int control, int wait_status)
{
    while (send(control, &wait_status, sizeof(wait_status), MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

static void read_signals(struct service *service, uint64_t now)
{
    struct signalfd_siginfo signal;
    while (read(service->signals, &signal, sizeof(signal)) == (ssize_t)sizeof(signal)) {
        if (signal.ssi_signo == SIGTERM || signal.ssi_signo == SIGINT) {
            stop(service, now);
        }
    }
}

/* ---- the loop ---- */

static void take_requests(struct service *service)
{
    struct request request;
    while (listener_accept(service->options->listener, &request)) {
        members_add(&service->members, &request, now_ns());
    }
}

static int wait_ms(const struct service *service, const struct worker_wait *wait, uint64_t now)
{
    uint64_t rest = wait->timeout_ns;
    if (service->members.count > 0 && rest > BELL_INTERVAL_NS) {
        rest = BELL_INTERVAL_NS;
    }
    if (service->is_stopping) {
        uint64_t left = service->deadline_ns > now ? service->deadline_ns - now : 0;
        rest = rest < left ? rest : left;
    }
    if (rest / NS_PER_MS > INT32_MAX - 1) {
        return -1;
    }
    rest = (rest + NS_PER_MS - 1) / NS_PER_MS;
    if (wait->descriptor_count > 0 && rest > TRANSFER_MS) {
        rest = TRANSFER_MS;
    }
    return (int)rest;
}

static void sleep_and_listen(struct service *service, const struct worker_wait *wait, uint64_t now)
{
    struct pollfd polled[POLL_OWN + WORKER_POLL_MAX] = {
        [POLL_LISTENER] = {.fd = service->options->listener->events, .events = POLLIN},
        [POLL_BELL] = {.fd = service->bell.event, .events = POLLIN},
        [POLL_MEMBERS] = {.fd = service->members.awaits_parents ? -1 : service->members.events,
                          .events = POLLIN},
        [POLL_SIGNALS] = {.fd = service->signals, .events = POLLIN},
        [POLL_CONTROL] = {.fd = service->options->control, .events = POLLIN},
        [POLL_COMMAND] = {.fd = service->command_pidfd, .events = POLLIN},
    };
    memcpy(&polled[POLL_OWN], wait->descriptors,
           wait->descriptor_count * sizeof(wait->descriptors[0]));
    int timeout = wait_ms(service, wait, now);
    struct doorbell *doorbell = &service->bell.page->doorbell;
    doorbell_announce(doorbell, wait->idle ? DRAINER_IDLE : DRAINER_TIMED);
    if (service->members.awaits_parents && (timeout < 0 || timeout > PARENTS_MS)) {
        timeout = PARENTS_MS;
    }
    if (members_have_claims(&service->members)) {
        timeout = 0;
    } else if (wait->idle && wirespan_worker.has_backlog(service->exporter) &&
               (timeout < 0 || timeout > BACKLOG_MS)) {
        timeout = BACKLOG_MS;
    }
    poll(polled, POLL_OWN + wait->descriptor_count, timeout);
    doorbell_announce(doorbell, DRAINER_AWAKE);
    bell_clear(&service->bell);

    now = now_ns();
    if (polled[POLL_SIGNALS].revents != 0) {
        read_signals(service, now);
    }
    if (polled[POLL_CONTROL].revents != 0) {
        read_control(service, now);
    }
    if (polled[POLL_LISTENER].revents != 0) {
        take_requests(service);
    }
    if (polled[POLL_COMMAND].revents != 0) {
        note_command_end(service, now);
    }
}

static bool has_gone(const struct service *service)
{
    return service->options->command != 0 && service->options->control < 0 &&
           service->command_pidfd < 0 && service->members.count == 0;
}

/* After the command's end its stderr is held until what it finished is exported, or cannot be, or
   this has taken too long. */
static void look_at_stderr(struct service *service, bool is_exported, bool is_stalled, uint64_t now)
{
    if (!service->stderr_is_held) {
        return;
    }
    if (service->command_end_ns == 0 || service->options->control >= 0) {
        show_status(service, now);
        return;
    }
    if (is_exported || is_stalled || now - service->command_end_ns > STDERR_NS) {
        if (!is_exported) {
            fprintf(stderr, "wirespan %s: what is not exported yet is tried for %u s more\n",
                    service->options->name, service->options->finish_ms / 1000);
        }
        let_go_of_stderr(service);
    }
}

/* One round. False when it was the last. */
static bool go_on(struct service *service)
{
    struct worker_wait wait;
    memset(&wait, 0, sizeof(wait));
    uint64_t now = now_ns();
    atomic_store_explicit(&service->bell.page->alive_ns, now, memory_order_relaxed);
    members_follow(&service->members, now);
    if (has_gone(service)) {
        stop(service, now);
    }
    bool is_asked = members_want_flush(&service->members);
    bool is_end = service->command_end_ns != 0 && service->stderr_is_held;
    bool flush = is_asked || is_end || service->is_stopping;
    if (service->is_stopping) {
        wirespan_worker.conclude(service->exporter);
    }
    wirespan_worker.step(service->exporter, now, flush, &wait);
    bool is_exported = flush && wirespan_worker.is_drained(service->exporter);
    if (is_asked && (is_exported || wait.stalled)) {
        /* The receiver is in trouble: no end is held up for it. */
        members_note_flushed(&service->members);
    }
    look_at_stderr(service, is_exported, wait.stalled, now);
    if (service->is_stopping && (is_exported || now >= service->deadline_ns)) {
        return false;
    }
    if (flush && !is_exported && wait.timeout_ns > TRANSFER_MS * NS_PER_MS) {
        wait.timeout_ns = TRANSFER_MS * NS_PER_MS;
    }
    sleep_and_listen(service, &wait, now);
    return true;
}

/* ---- start ---- */

static void say(const struct service *service, char answer)
{
    if (service->options->ready >= 0) {
        ssize_t written = write(service->options->ready, &answer, 1);
        (void)written; /* who does not read it has gone */
        close(service->options->ready);
    }
}

/* Two descriptors for each process. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_SETMASK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool start(struct service *service)
{
    const struct service_options *options = service->options;
    prctl(PR_SET_NAME, "wirespan-drain");
    raise_descriptor_limit();
    service->signals = open_signals();
    int result = bell_create(&service->bell);
    if (result < 0 || service->signals < 0) {
        fprintf(stderr, "wirespan %s: %s\n", options->name, strerror(result < 0 ? -result : errno));
        return false;
    }
    if (options->command != 0) {
        service->command_pidfd = process_open(options->command);
    }
    service->exporter = wirespan_worker.create(options->environment, NULL);
    if (service->exporter == NULL) {
        return false;
    }
    result = members_init(&service->members, service->exporter, &service->bell);
    if (result < 0) {
        fprintf(stderr, "wirespan %s: %s\n", options->name, strerror(-result));
        return false;
    }
    service->members.command = options->command;
    return true;
}

int service_run(const struct service_options *options)
{
    struct service service = {.options = options, .command_pidfd = -1, .stderr_is_held = true};
    if (!start(&service)) {
        say(&service, '-');
        return EXIT_FAILED;
    }
    atomic_store_explicit(&service.bell.page->alive_ns, now_ns(), memory_order_relaxed);
    say(&service, '+');
    while (go_on(&service)) {
    }
    clear_status(&service);
    wirespan_worker.destroy(service.exporter);
    return EXIT_DONE;
}
