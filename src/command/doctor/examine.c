#include "command/doctor/examine.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "command/doctor/tls_library.h"
#include "handoff/witness_state.h"

#define LIBRARY "libwirespan.so"

/* Room for a list of names in a sentence. */
#define LIST_BYTES 512

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static const char *variable(const struct subject *subject, const char *name)
{
    const char *value = config_lookup(subject->environment, name);
    return value != NULL ? value : "";
}

/* "a, b, c and 4 more", as much as there is room for. */
static void list_names(const struct text_list *names, char into[LIST_BYTES])
{
    size_t used = 0;
    into[0] = '\0';
    for (size_t i = 0; i < names->count; i++) {
        size_t size = strlen(names->items[i]);
        if (used + size + 32 > LIST_BYTES) {
            snprintf(into + used, LIST_BYTES - used, " and %zu more", names->count - i);
            return;
        }
        used += (size_t)snprintf(into + used, LIST_BYTES - used, "%s%s", i > 0 ? ", " : "",
                                 names->items[i]);
    }
}

/* ---- the command's file ---- */

static void examine_steps(const struct program *program, struct findings *findings)
{
    const struct text_list *steps = &program->steps;
    const char *last = steps->count > 0 ? steps->items[steps->count - 1] : "";
    switch (program->state) {
    case PROGRAM_NOT_FOUND:
        if (steps->count == 0) {
            findings_add(findings, FINDING_UNSEEN, "not-found", "There is no program '%s'.",
                         program->missing);
        } else {
            findings_add(findings, FINDING_UNSEEN, "interpreter-not-found",
                         "%s is a script for '%s', which is not there.", last, program->missing);
        }
        return;
    case PROGRAM_NOT_EXECUTABLE:
        findings_add(findings, FINDING_UNSEEN, "not-executable",
                     "%s is no file that this user may execute.", last);
        return;
    case PROGRAM_UNREADABLE:
        findings_add(findings, FINDING_PARTLY, "unreadable",
                     "%s may be executed but not read: nothing can be told of it.", last);
        return;
    case PROGRAM_TOO_DEEP:
        findings_add(findings, FINDING_UNSEEN, "scripts-of-scripts",
                     "%s is a script of a script of a script: the kernel follows only a few.",
                     steps->items[0]);
        return;
    case PROGRAM_IS_FILE:
        break;
    }
    if (program->is_script) {
        findings_add(findings, FINDING_GOOD, "script", "%s is a script, run by %s.",
                     steps->items[0], last);
    }
    if (program->is_by_shell) {
        findings_add(findings, FINDING_NOTE, "no-interpreter-line",
                     "It has no line '#!': shells run it, but execve(2) refuses it.");
    }
}

static void examine_privileges(const struct subject *subject, struct findings *findings)
{
    const struct program *program = subject->program;
    bool is_other_user =
        (program->status.st_mode & S_ISUID) != 0 && program->status.st_uid != subject->user;
    bool is_other_group =
        (program->status.st_mode & S_ISGID) != 0 && program->status.st_gid != subject->group;
    const char *what = is_other_user ? "setuid" : "setgid";
    if (is_other_user || is_other_group) {
        findings_add(findings, FINDING_UNSEEN, what,
                     "It is %s: it runs with other rights than its caller's, and the loader then "
                     "ignores LD_PRELOAD (AT_SECURE).",
                     what);
    } else if ((program->status.st_mode & (S_ISUID | S_ISGID)) != 0) {
        findings_add(findings, FINDING_NOTE, "setuid-for-others",
                     "It is setuid or setgid: it can be seen when started by this user, whose "
                     "rights it has anyway, and not when others start it.");
    }
    /* The kernel leaves root alone: it has the capabilities already. */
    if (program->has_capabilities && subject->user != 0) {
        findings_add(findings, FINDING_UNSEEN, "capabilities",
                     "Its file has capabilities: the loader then ignores LD_PRELOAD (AT_SECURE).");
    } else if (program->has_capabilities) {
        findings_add(findings, FINDING_NOTE, "capabilities-for-others",
                     "Its file has capabilities: it can be seen when started by root, and not when "
                     "others start it.");
    }
}

/* ---- the executable ---- */

static bool is_shell(const struct object *executable)
{
    static const char *const shells[] = {"sh", "bash", "dash", "zsh", "ksh", "fish", "busybox"};
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(object_name(executable), shells[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_musl(const struct object *executable)
{
    return executable->interpreter != NULL &&
           strncmp(base_name(executable->interpreter), "ld-musl-", 8) == 0;
}

static void examine_go(const struct object *executable, struct findings *findings)
{
    bool is_static = executable->interpreter == NULL;
    findings_add(findings, is_static ? FINDING_UNSEEN : FINDING_PARTLY, "go",
                 "It is a Go program: Go calls the kernel itself, past every library%s.",
                 is_static ? "" : "; only what its C libraries do is seen");
}

static void examine_musl(const struct subject *subject, struct findings *findings)
{
    char names[LIST_BYTES];
    if (subject->preload->unresolved.count == 0) {
        findings_add(
            findings, FINDING_NOTE, "musl",
            "Its C library is musl: it is seen by `wirespan run` or an agent; to export by "
            "itself it would need the exporter's libraries made for musl.");
        return;
    }
    list_names(&subject->preload->unresolved, names);
    findings_add(findings, FINDING_UNSEEN, "musl",
                 "Its C library is musl, which lacks what " LIBRARY
                 " needs (%s): with LD_PRELOAD the program would not start.",
                 names);
}

static void examine_kind(const struct subject *subject, struct findings *findings)
{
    const struct object *executable = subject->executable;
    const struct object *library = &subject->preload->library;
    char own[32];
    char ours[32];
    if (!executable->is_elf) {
        findings_add(findings, FINDING_UNSEEN, "not-elf", "%s is no ELF file.", executable->path);
        return;
    }
    findings_add(findings, FINDING_GOOD, "program", "The program is %s, for %s, %s%s.",
                 executable->path, object_machine_name(executable, own),
                 executable->interpreter != NULL ? "loaded by " : "without a loader",
                 executable->interpreter != NULL ? executable->interpreter : "");
    if (executable->is_go) {
        examine_go(executable, findings);
    }
    if (executable->interpreter == NULL && !executable->is_go) {
        findings_add(findings, FINDING_UNSEEN, "static",
                     "It is linked statically: there is no loader that would load " LIBRARY ".");
    } else if (executable->interpreter != NULL && library->is_elf &&
               !object_is_compatible(executable, library)) {
        findings_add(findings, FINDING_UNSEEN, "abi",
                     "It is a program for %s, and " LIBRARY " is for %s: the loader complains on "
                     "stderr and runs it without.",
                     object_machine_name(executable, own), object_machine_name(library, ours));
    } else if (is_musl(executable)) {
        examine_musl(subject, findings);
    }
    if (is_shell(executable) && subject->process == NULL) {
        findings_add(findings, FINDING_NOTE, "shell",
                     "It is a shell: what it starts is observed, too, each program by itself.");
    }
}

static void examine_libraries(const struct subject *subject, struct findings *findings)
{
    char names[LIST_BYTES];
    const struct text_list *missing = &subject->libraries->missing;
    if (missing->count > 0) {
        list_names(missing, names);
        findings_add(findings, FINDING_UNSEEN, "libraries-missing",
                     "It will not start: the loader will not find %s.", names);
    }
    if (subject->libraries->is_cut) {
        findings_add(findings, FINDING_NOTE, "libraries-cut",
                     "It has more shared objects than are looked at here.");
    }
}

/* ---- ways around the hooks ---- */

static const struct object *object_at(const struct subject *subject, size_t index)
{
    return index == 0 ? subject->executable : &subject->libraries->items[index - 1];
}

static void examine_io_uring(const struct subject *subject, struct findings *findings)
{
    if (subject->process != NULL && subject->process->io_uring_count > 0) {
        findings_add(findings, FINDING_PARTLY, "io-uring",
                     "It has %zu io_uring open: what the kernel moves for it there is not seen.",
                     subject->process->io_uring_count);
        return;
    }
    for (size_t i = 0; i <= subject->libraries->count; i++) {
        const struct object *object = object_at(subject, i);
        if (object->uses_io_uring ||
            strncmp(object_name(object), "liburing.so", strlen("liburing.so")) == 0) {
            findings_add(findings, FINDING_PARTLY, "io-uring",
                         "%s uses io_uring: what the kernel moves for it there is not seen.",
                         object_name(object));
            return;
        }
    }
}

static void examine_deep_binding(const struct subject *subject, struct findings *findings)
{
    if (subject->executable->opens_objects) {
        findings_add(findings, FINDING_GOOD, "objects-at-run-time",
                     "It loads objects while it runs. Their calls are seen, too, but for those "
                     "that it loads with RTLD_DEEPBIND, which cannot be told from outside.");
    }
}

/* ---- TLS ---- */

static void say_tls(const struct tls_library *library, enum tls_sight sight, const char *where,
                    struct findings *findings)
{
    if (sight == TLS_PLAINTEXT) {
        findings_add(findings, FINDING_GOOD, "tls",
                     "TLS by %s (%s): what it carries is seen like plain connections.",
                     library->name, where);
    } else {
        findings_add(findings, FINDING_NOTE, "tls",
                     "TLS by %s (%s): each such connection is one span that says so; what it "
                     "carries is not seen by this version.",
                     library->name, where);
    }
}

static void examine_tls(const struct subject *subject, struct findings *findings)
{
    for (size_t i = 0; i <= subject->libraries->count; i++) {
        const struct object *object = object_at(subject, i);
        size_t shared = tls_library_of_file(object_name(object));
        if (shared < tls_library_count) {
            say_tls(&tls_libraries[shared], tls_libraries[shared].when_shared, object_name(object),
                    findings);
        } else if (object->tls_inside < tls_library_count) {
            char where[LIST_BYTES];
            bool is_patched = i == 0 && object->is_patched && subject->config->patch_tls;
            snprintf(where, sizeof(where), "inside %s%s", object_name(object),
                     is_patched                     ? ", patched at the start"
                     : i == 0 && object->is_patched ? ", WIRESPAN_PATCH_TLS=false"
                                                    : "");
            say_tls(&tls_libraries[object->tls_inside], is_patched ? TLS_PLAINTEXT : TLS_OPAQUE,
                    where, findings);
        }
    }
}

/* ---- witnesses ---- */

static void say_witness(enum witness_state state, struct findings *findings)
{
    static const struct {
        enum finding_level level;
        const char *text;
    } sayings[WITNESS_STATE_COUNT] = {
        [WITNESS_NODE_WAITS] = {FINDING_GOOD,
                                "Node will be asked whose work its calls are, from the first one "
                                "of a thread that serves, or the first job of BullMQ's."},
        [WITNESS_NODE_TELLS] = {FINDING_GOOD, "Node says whose work its calls are."},
        [WITNESS_NODE_LACKS_FUNCTION] =
            {FINDING_NOTE, "Node is not asked whose work its calls are: it lacks a function that "
                           "is needed."},
        [WITNESS_NODE_LACKS_MODULES] =
            {FINDING_NOTE, "Node is not asked whose work its calls are: it has no "
                           "process.getBuiltinModule, which came with 20.16 and 22.3."},
        [WITNESS_NODE_FAILED] = {FINDING_NOTE, "Node is not asked whose work its calls are: the "
                                               "script that would do so failed."},
        [WITNESS_PYTHON_WAITS] = {FINDING_GOOD,
                                  "Python will be asked whose work its calls are, from the first "
                                  "request that asyncio or gevent serves."},
        [WITNESS_PYTHON_TELLS] = {FINDING_GOOD, "Python says whose work its calls are."},
        [WITNESS_PYTHON_LACKS_FUNCTION] =
            {FINDING_NOTE, "Python is not asked whose work its calls are: it lacks a function that "
                           "is needed (3.9 and later have all)."},
        [WITNESS_PYTHON_HAS_NO_LOCK] = {FINDING_NOTE, "Python is not asked whose work its calls "
                                                      "are: it is built for free threading."},
        [WITNESS_PYTHON_DIFFERS] = {FINDING_NOTE, "Python is not asked whose work its calls are: "
                                                  "its contexts are not as they should be."},
    };
    findings_add(findings, sayings[state].level, "witness", "%s", sayings[state].text);
}

/* A process tells how far it is; of a command it is known only what it would begin with. */
static void examine_witness(const struct subject *subject, struct findings *findings)
{
    const struct process_view *process = subject->process;
    bool is_node = subject->executable->is_node;
    bool is_python = false;
    for (size_t i = 0; i <= subject->libraries->count; i++) {
        is_python |= object_at(subject, i)->is_python;
    }
    if ((!is_node && !is_python) || (process != NULL && !process->has_library)) {
        return;
    }
    bool is_wanted = is_node ? subject->config->node_witness : subject->config->python_witness;
    if (!is_wanted) {
        findings_add(findings, FINDING_NOTE, "witness",
                     "%s is not asked whose work its calls are: %s=false.",
                     is_node ? "Node" : "Python",
                     is_node ? "WIRESPAN_NODE_WITNESS" : "WIRESPAN_PYTHON_WITNESS");
        return;
    }
    uint32_t told = process != NULL && process->losses.is_known ? process->losses.witness : 0;
    if (told == WITNESS_NONE || told >= WITNESS_STATE_COUNT) {
        told = is_node ? WITNESS_NODE_WAITS : WITNESS_PYTHON_WAITS;
    }
    say_witness(told, findings);
}

/* ---- others in the process ---- */

static const struct {
    const char *part; /* of the object's name */
    const char *name;
} agents[] = {
    {"liboneagent", "Dynatrace OneAgent"},
    {"dd-", "Datadog"},
    {"libdd", "Datadog"},
    {"libotelinject", "the OpenTelemetry injector"},
    {"newrelic", "New Relic"},
    {"appdynamics", "AppDynamics"},
    {"libscope.so", "AppScope"},
    {"libinstana", "Instana"},
    {"launcher.so", "a launcher of agents"},
    {"liblttng-ust", "LTTng"},
    {"libheaptrack", "heaptrack"},
    {"libmcount", "uftrace"},
    {"libsocket_wrapper", "socket_wrapper"},
    {"proxychains", "proxychains"},
    {"libtorsocks", "torsocks"},
    {"libvma", "VMA"},
    {"libonload", "Onload"},
};

static void say_other_preload(const char *path, const char *where, struct findings *findings)
{
    for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
        if (strstr(base_name(path), agents[i].part) != NULL) {
            findings_add(findings, FINDING_NOTE, "other-preload",
                         "%s also loads %s (%s). Both hook the same calls, one behind the other.",
                         where, path, agents[i].name);
            return;
        }
    }
    findings_add(findings, FINDING_NOTE, "other-preload", "%s also loads %s.", where, path);
}

static void examine_preloads(const char *text, const char *where, struct findings *findings)
{
    struct text_list entries = {0};
    findings->has_no_memory |= !text_list_split(&entries, text, " :\t\n");
    for (size_t i = 0; i < entries.count; i++) {
        if (strcmp(base_name(entries.items[i]), LIBRARY) != 0) {
            say_other_preload(entries.items[i], where, findings);
        }
    }
    text_list_finish(&entries);
}

static void examine_sdk(const struct subject *subject, struct findings *findings)
{
    static const struct {
        const char *variable;
        const char *part;
    } signs[] = {
        {"NODE_OPTIONS", "opentelemetry"},          {"PYTHONPATH", "opentelemetry"},
        {"JAVA_TOOL_OPTIONS", "opentelemetry"},     {"RUBYOPT", "opentelemetry"},
        {"CORECLR_PROFILER_PATH", "OpenTelemetry"},
    };
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (strstr(variable(subject, signs[i].variable), signs[i].part) != NULL) {
            findings_add(findings, FINDING_NOTE, "sdk",
                         "%s loads an OpenTelemetry SDK: where it sends a traceparent our span "
                         "takes its place in that trace; otherwise a call has a span of each.",
                         signs[i].variable);
            return;
        }
    }
}

/* ---- switches ---- */

static void examine_choice(const struct subject *subject, struct findings *findings)
{
    const struct config *config = subject->config;
    const char *name = object_name(subject->executable);
    struct slice text = slice_of(name, strlen(name));
    if (config_list_has(config->except, text)) {
        findings_add(findings, FINDING_UNSEEN, "except", "WIRESPAN_EXCEPT has the name %s.", name);
    } else if (config->only.size > 0 && !config_list_has(config->only, text)) {
        findings_add(findings, FINDING_UNSEEN, "only", "WIRESPAN_ONLY does not have the name %s.",
                     name);
    }
}

static void examine_switches(const struct subject *subject, struct findings *findings)
{
    static const char *const switches[] = {"WIRESPAN_ENABLED", "OTEL_SDK_DISABLED", "OTEL_ENABLED"};
    const struct config *config = subject->config;
    if (!config->enabled) {
        const char *which = switches[0];
        for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
            bool turns_off = strcmp(variable(subject, switches[i]), i == 1 ? "true" : "false") == 0;
            which = turns_off ? switches[i] : which;
        }
        findings_add(findings, FINDING_UNSEEN, "disabled", "%s=%s turns observing off.", which,
                     variable(subject, which));
    }
    if (config->exporters == 0) {
        findings_add(findings, FINDING_UNSEEN, "no-exporter",
                     "OTEL_TRACES_EXPORTER=none: nothing is observed, because nothing would be "
                     "exported.");
    }
    if (config->sampler == SAMPLER_ALWAYS_OFF ||
        config->sampler == SAMPLER_PARENTBASED_ALWAYS_OFF) {
        findings_add(findings, FINDING_PARTLY, "sampler", "OTEL_TRACES_SAMPLER=%s: %s.",
                     variable(subject, "OTEL_TRACES_SAMPLER"),
                     config->sampler == SAMPLER_ALWAYS_OFF
                         ? "no trace is exported"
                         : "only traces that others began are exported");
    }
}

static void examine_tail_policy(const struct subject *subject, struct findings *findings)
{
    if (subject->config->tail_policy == TAIL_NONE) {
        return;
    }
    findings_add(
        findings, FINDING_NOTE, "tail-policy",
        subject->config->agent.size > 0
            ? "WIRESPAN_TAIL_POLICY=%s has no effect here: the agent judges, by its own "
              "environment."
            : "WIRESPAN_TAIL_POLICY=%s: most traces are dropped, each judged by what this "
              "process sees of it. Under 'wirespan run' or an agent they are judged whole.",
        variable(subject, "WIRESPAN_TAIL_POLICY"));
}

/* ---- a running process ---- */

/* Why a process that was started with LD_PRELOAD does not have the object. */
static void explain_absence(const struct subject *subject, struct findings *findings)
{
    const struct object *executable = subject->executable;
    if (subject->process->is_secure) {
        findings_add(findings, FINDING_UNSEEN, "secure",
                     "It was started with other rights than its caller's (AT_SECURE: setuid, "
                     "setgid or capabilities): the loader ignored LD_PRELOAD.");
    } else if (executable->interpreter == NULL ||
               !object_is_compatible(executable, &subject->preload->library)) {
        return; /* which is said already */
    } else {
        findings_add(findings, FINDING_UNSEEN, "not-loaded",
                     "It was started with LD_PRELOAD=%s, and does not have the object: in its file "
                     "system that path is not there or may not be read.",
                     variable(subject, "LD_PRELOAD"));
    }
}

static void examine_losses(const struct losses_view *losses, struct findings *findings)
{
    char text[LIST_BYTES];
    size_t size = 0;
    uint64_t total = 0;
    text[0] = '\0';
    if (!losses->is_known) {
        return;
    }
    for (int i = 0; i < LOSS_COUNT; i++) {
        if (losses->counts[i] > 0 && size < sizeof(text)) {
            int more = snprintf(text + size, sizeof(text) - size, "%s%s %" PRIu64,
                                total > 0 ? ", " : "", loss_name((enum loss)i), losses->counts[i]);
            size += more > 0 ? (size_t)more : 0;
            total += losses->counts[i];
        }
    }
    if (total == 0) {
        findings_add(findings, FINDING_GOOD, "losses", "It has lost nothing on its side.");
    } else {
        findings_add(findings, FINDING_PARTLY, "losses", "It has lost on its side: %s.", text);
    }
}

static void examine_loaded(const struct subject *subject, struct findings *findings)
{
    const struct process_view *process = subject->process;
    bool was_asked =
        strstr(variable(subject, "LD_PRELOAD"), LIBRARY) != NULL ||
        (subject->system_preload != NULL && strstr(subject->system_preload, LIBRARY) != NULL);
    if (process->has_library) {
        findings_add(findings, FINDING_GOOD, "loaded", LIBRARY " is in the process.");
    } else if (was_asked) {
        explain_absence(subject, findings);
    } else if (process->parent_has_preload) {
        findings_add(findings, FINDING_UNSEEN, "environment-cleared",
                     "It was started without LD_PRELOAD, though its parent had it: its environment "
                     "was cleared on the way (as sudo, env -i and service managers do).");
    } else {
        findings_add(findings, FINDING_UNSEEN, "not-preloaded",
                     "It was started without LD_PRELOAD naming " LIBRARY ".");
    }
    examine_losses(&process->losses, findings);
    if (process->library_is_replaced) {
        findings_add(findings, FINDING_NOTE, "replaced",
                     "The file " LIBRARY " has been replaced since: the process has the old one.");
    }
    if (process->seccomp != 0) {
        findings_add(findings, FINDING_NOTE, "seccomp",
                     "It runs under seccomp (%s): a filter that forbids what the exporter calls "
                     "ends the export or the process; 'wirespan run' exports from outside.",
                     process->seccomp == 1 ? "strict" : "a filter");
    }
    if (process->is_traced) {
        findings_add(findings, FINDING_NOTE, "traced",
                     "A debugger or strace holds it: its times are theirs.");
    }
}

static bool examine_process_state(const struct process_view *process, struct findings *findings)
{
    switch (process->state) {
    case PROCESS_IS_SEEN:
        return true;
    case PROCESS_NOT_THERE:
        findings_add(findings, FINDING_UNSEEN, "no-process", "There is no process %d.",
                     (int)process->id);
        return false;
    case PROCESS_HAS_ENDED:
        findings_add(findings, FINDING_UNSEEN, "ended",
                     "The process has ended; its parent has not asked for its exit status yet.");
        return false;
    case PROCESS_IS_KERNELS:
        findings_add(findings, FINDING_UNSEEN, "kernel", "It is a thread of the kernel.");
        return false;
    case PROCESS_IS_NOT_OURS:
        findings_add(findings, FINDING_PARTLY, "no-permission",
                     "This user may not look into the process; its owner and root may.");
        return false;
    }
    return false;
}

/* ---- the way out ---- */

static void examine_worker(const struct subject *subject, struct findings *findings)
{
    const struct preload *preload = subject->preload;
    char names[LIST_BYTES];
    if (!preload->library.is_elf) {
        findings_add(findings, FINDING_UNSEEN, "library-missing",
                     LIBRARY " is not where it was installed.");
    }
    if (subject->config->agent.size > 0) {
        findings_add(
            findings, FINDING_GOOD, "agent",
            "Spans are exported by another process: WIRESPAN_AGENT=%.*s.",
            (int)strcspn(variable(subject, "WIRESPAN_AGENT"), "#"), /* the token is secret */
            variable(subject, "WIRESPAN_AGENT"));
        return;
    }
    if (preload->worker == NULL) {
        findings_add(findings, FINDING_UNSEEN, "worker-missing",
                     "libwirespan-worker.so is not beside " LIBRARY ": nothing can be exported.");
        return;
    }
    if (preload->missing.count > 0) {
        list_names(&preload->missing, names);
        findings_add(findings, FINDING_UNSEEN, "worker-needs",
                     "The program's loader will not find what %s needs: %s. 'wirespan run' exports "
                     "from outside.",
                     preload->worker, names);
    } else {
        findings_add(findings, FINDING_GOOD, "worker", "It exports by %s.", preload->worker);
    }
    if ((subject->config->exporters & EXPORTER_OTLP) != 0 && preload->curl == NULL) {
        findings_add(findings, FINDING_UNSEEN, "libcurl-missing",
                     "There is no libcurl: OTLP cannot be sent. OTEL_TRACES_EXPORTER=file and an "
                     "agent work without.");
    }
}

static void examine_destination(const struct subject *subject, struct findings *findings)
{
    const struct config *config = subject->config;
    if (config->agent.size == 0 && (config->exporters & EXPORTER_OTLP) != 0) {
        findings_add(findings, FINDING_GOOD, "endpoint", "Spans go to %s (%s).", config->endpoint,
                     config->protocol == OTLP_GRPC ? "gRPC" : "HTTP");
    }
    switch (subject->probe.result) {
    case PROBE_NOT_ASKED:
        break;
    case PROBE_ANSWERS:
        findings_add(findings, FINDING_GOOD, "probe", "The endpoint takes connections.");
        break;
    case PROBE_FAILED:
        findings_add(findings, FINDING_UNSEEN, "probe", "The endpoint does not answer: %s.",
                     subject->probe.why);
        break;
    }
}

/* ---- the price ---- */

static void examine_clock(const struct subject *subject, struct findings *findings)
{
    const struct clock_cost *clock = &subject->clock;
    /* A system call costs several times what the kernel's page of time does. */
    bool is_slow = clock->read_ns > 150;
    if (clock->read_ns > 0) {
        findings_add(findings, is_slow ? FINDING_NOTE : FINDING_GOOD, "clock",
                     "A read of the clock costs %.0f ns here (clock source %s)%s.", clock->read_ns,
                     clock->source[0] != '\0' ? clock->source : "unknown",
                     is_slow ? ": each is a system call, and an exchange takes two" : "");
    }
    if (subject->process != NULL && !subject->process->has_fast_clock) {
        findings_add(findings, FINDING_NOTE, "no-vdso",
                     "The process has no vDSO: each read of the clock is a system call.");
    }
}

/* ---- hooked names ---- */

bool examine_hooked(struct subject *subject)
{
    const struct text_list *names = &subject->preload->library.exports;
    for (size_t i = 0; i < names->count; i++) {
        bool is_called = false;
        for (size_t j = 0; j <= subject->libraries->count && !is_called; j++) {
            const struct object *object = object_at(subject, j);
            is_called = strcmp(object_name(object), LIBRARY) != 0 &&
                        text_list_has(&object->imports, names->items[i]);
        }
        if (is_called &&
            !text_list_add(&subject->hooked, names->items[i], strlen(names->items[i]))) {
            return false;
        }
    }
    return true;
}

static void examine_calls(const struct subject *subject, struct findings *findings)
{
    size_t all = subject->preload->library.exports.count;
    if (subject->executable->interpreter == NULL || all == 0) {
        return;
    }
    findings_add(findings, subject->hooked.count > 0 ? FINDING_GOOD : FINDING_NOTE, "hooked",
                 "It and its %zu shared objects call %zu of the %zu functions that are hooked.",
                 subject->libraries->count, subject->hooked.count, all);
}

/* ---- all ---- */

static void examine_executable(const struct subject *subject, struct findings *findings)
{
    examine_kind(subject, findings);
    examine_libraries(subject, findings);
    if (subject->process != NULL) {
        examine_loaded(subject, findings);
    }
    examine_choice(subject, findings);
    examine_switches(subject, findings);
    examine_tail_policy(subject, findings);
    examine_calls(subject, findings);
    examine_io_uring(subject, findings);
    examine_deep_binding(subject, findings);
    examine_tls(subject, findings);
    examine_witness(subject, findings);
    examine_preloads(variable(subject, "LD_PRELOAD"), "LD_PRELOAD", findings);
    if (subject->system_preload != NULL) {
        examine_preloads(subject->system_preload, "/etc/ld.so.preload", findings);
    }
    examine_sdk(subject, findings);
    examine_worker(subject, findings);
    examine_destination(subject, findings);
    /* What a process lost is known to whom its segment is handed: its finding belongs here. */
    examine_clock(subject, findings);
}

void examine(const struct subject *subject, struct findings *findings)
{
    if (subject->process != NULL && !examine_process_state(subject->process, findings)) {
        return;
    }
    if (subject->program != NULL) {
        examine_steps(subject->program, findings);
        if (subject->program->state == PROGRAM_IS_FILE) {
            examine_privileges(subject, findings);
        }
    }
    if (subject->executable != NULL) {
        examine_executable(subject, findings);
    }
}
