/*
 * What `wirespan doctor` says, case by case: from facts made up here to tests/golden/doctor.
 *
 *   test_doctor_examine FOLDER            compares
 *   test_doctor_examine FOLDER --update   writes the texts, for reading before they are committed
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "command/doctor/examine.h"
#include "command/doctor/present.h"
#include "command/doctor/tls_library.h"
#include "handoff/witness_state.h"

#define LOADER  "/lib64/ld-linux-x86-64.so.2"
#define USER    1000
#define NAMES   8
#define OBJECTS 4

static const char *folder;
static bool updates;

/* A subject and all that it points to; a case changes what it is about. */
struct scene {
    struct subject subject;
    struct process_view process;
    struct program program;
    struct object executable;
    struct object objects[OBJECTS];
    struct libraries libraries;
    struct preload preload;
    struct config config;
    const char *environment[NAMES];
    char *steps[NAMES];
    char *missing[NAMES];
    char *hooked[NAMES];
    char *needs[NAMES];
};

static char *text(const char *literal)
{
    return (char *)(size_t)literal;
}

static struct object make_object(const char *path)
{
    return (struct object){
        .path = text(path),
        .is_elf = true,
        .is_64 = true,
        .machine = EM_X86_64,
        .is_loadable = true,
        .tls_inside = tls_library_count,
    };
}

static void add(struct text_list *list, char **room, const char *item)
{
    assert_true(list->count < NAMES);
    list->items = room;
    room[list->count++] = text(item);
}

static void set(struct scene *scene, const char *entry)
{
    size_t i = 0;
    while (scene->environment[i] != NULL) {
        i++;
    }
    assert_true(i + 1 < NAMES);
    scene->environment[i] = entry;
}

static void add_object(struct scene *scene, const char *path)
{
    assert_true(scene->libraries.count < OBJECTS);
    scene->libraries.items = scene->objects;
    scene->objects[scene->libraries.count++] = make_object(path);
}

/* An unremarkable command. */
static void set_up(struct scene *scene)
{
    *scene = (struct scene){
        .executable = make_object("/usr/bin/worker"),
        .preload = {.library = make_object("/opt/wirespan/libwirespan.so"),
                    .worker = "/opt/wirespan/libwirespan-worker.so",
                    .curl = text("/lib/libcurl.so.4")},
    };
    scene->executable.interpreter = text(LOADER);
    add(&scene->program.steps, scene->steps, "/usr/bin/worker");
    scene->program.status = (struct stat){.st_mode = S_IFREG | 0755};
    add(&scene->preload.library.exports, scene->hooked, "send");
    add(&scene->preload.library.exports, scene->hooked, "recv");
    add(&scene->preload.library.exports, scene->hooked, "connect");
    add_object(scene, "/lib/libc.so.6");
    static char *imports[] = {(char *)(size_t) "send", (char *)(size_t) "recv"};
    scene->executable.imports = (struct text_list){imports, 2};
    scene->subject = (struct subject){
        .program = &scene->program,
        .executable = &scene->executable,
        .libraries = &scene->libraries,
        .preload = &scene->preload,
        .environment = scene->environment,
        .config = &scene->config,
        .user = USER,
        .group = USER,
        .clock = {22, "tsc"},
    };
}

static void be_process(struct scene *scene)
{
    scene->process = (struct process_view){
        .id = 4711, .executable = text("/usr/bin/worker"), .has_fast_clock = true};
    scene->subject.process = &scene->process;
    scene->subject.program = NULL;
}

/* ---- the cases ---- */

static void usual(struct scene *scene)
{
    (void)scene;
}

static void not_found(struct scene *scene)
{
    scene->program.state = PROGRAM_NOT_FOUND;
    scene->program.missing = text("worker");
    scene->program.steps.count = 0;
    scene->subject.executable = NULL;
}

static void interpreter_not_found(struct scene *scene)
{
    scene->program.state = PROGRAM_NOT_FOUND;
    scene->program.missing = text("python9");
    scene->subject.executable = NULL;
}

static void not_executable(struct scene *scene)
{
    scene->program.state = PROGRAM_NOT_EXECUTABLE;
    scene->subject.executable = NULL;
}

static void unreadable(struct scene *scene)
{
    scene->program.state = PROGRAM_UNREADABLE;
    scene->subject.executable = NULL;
}

static void too_deep(struct scene *scene)
{
    scene->program.state = PROGRAM_TOO_DEEP;
    scene->subject.executable = NULL;
}

static void script(struct scene *scene)
{
    scene->program.is_script = true;
    scene->program.is_by_shell = true;
    add(&scene->program.steps, scene->steps, "/bin/sh");
    scene->executable.path = text("/bin/sh");
}

static void statically_linked(struct scene *scene)
{
    scene->executable.interpreter = NULL;
}

static void not_elf(struct scene *scene)
{
    scene->executable.is_elf = false;
}

static void go(struct scene *scene)
{
    scene->executable.is_go = true;
    scene->executable.interpreter = NULL;
}

static void go_with_c(struct scene *scene)
{
    scene->executable.is_go = true;
}

static void other_processor(struct scene *scene)
{
    scene->executable.is_64 = false;
    scene->executable.machine = EM_386;
}

static void musl(struct scene *scene)
{
    scene->executable.interpreter = text("/lib/ld-musl-x86_64.so.1");
    add(&scene->preload.unresolved, scene->missing, "__register_atfork");
}

static void musl_that_has_all(struct scene *scene)
{
    scene->executable.interpreter = text("/lib/ld-musl-x86_64.so.1");
}

static void set_user(struct scene *scene)
{
    scene->program.status.st_mode |= S_ISUID;
}

static void set_group(struct scene *scene)
{
    scene->program.status.st_mode |= S_ISGID;
}

static void set_user_to_the_same(struct scene *scene)
{
    scene->program.status.st_mode |= S_ISUID;
    scene->program.status.st_uid = USER;
}

static void capabilities(struct scene *scene)
{
    scene->program.has_capabilities = true;
}

static void capabilities_for_root(struct scene *scene)
{
    scene->program.has_capabilities = true;
    scene->subject.user = 0;
}

static void missing_libraries(struct scene *scene)
{
    add(&scene->libraries.missing, scene->missing, "libone.so.1");
    add(&scene->libraries.missing, scene->missing, "libtwo.so.2");
    scene->libraries.is_cut = true;
}

static void io_uring(struct scene *scene)
{
    add_object(scene, "/lib/liburing.so.2");
}

static void tls(struct scene *scene)
{
    scene->executable.path = text("/usr/bin/node");
    scene->executable.tls_inside = tls_library_of_file("libssl.so.3");
    scene->executable.opens_objects = true;
    add_object(scene, "/lib/libgnutls.so.30");
    add_object(scene, "/lib/rust.so");
    scene->objects[2].tls_inside = 1;
}

static void tls_patched(struct scene *scene)
{
    scene->executable.path = text("/usr/bin/node");
    scene->executable.tls_inside = tls_library_of_file("libssl.so.3");
    scene->executable.is_patched = true;
}

static void tls_not_patched(struct scene *scene)
{
    tls_patched(scene);
    set(scene, "WIRESPAN_PATCH_TLS=false");
}

static void witness_of_node(struct scene *scene)
{
    scene->executable.path = text("/usr/bin/node");
    scene->executable.is_node = true;
}

static void witness_switched_off(struct scene *scene)
{
    witness_of_node(scene);
    set(scene, "WIRESPAN_NODE_WITNESS=false");
}

static void witness_of_python(struct scene *scene)
{
    add_object(scene, "/lib/libpython3.13.so");
    scene->objects[1].is_python = true;
}

static void others(struct scene *scene)
{
    set(scene, "LD_PRELOAD=/opt/liboneagentproc.so:/opt/libwirespan.so:libjemalloc.so.2");
    set(scene, "NODE_OPTIONS=--require @opentelemetry/auto-instrumentations-node/register");
    scene->subject.system_preload = "/usr/lib/libproxychains4.so\n";
}

static void switched_off(struct scene *scene)
{
    set(scene, "OTEL_SDK_DISABLED=true");
    set(scene, "OTEL_TRACES_EXPORTER=none");
    set(scene, "WIRESPAN_EXCEPT=a,worker");
    set(scene, "OTEL_TRACES_SAMPLER=always_off");
}

static void not_chosen(struct scene *scene)
{
    set(scene, "WIRESPAN_ONLY=node,python3");
    set(scene, "OTEL_TRACES_SAMPLER=parentbased_always_off");
}

static void tail_policy(struct scene *scene)
{
    set(scene, "WIRESPAN_TAIL_POLICY=seeds");
}

static void agent(struct scene *scene)
{
    set(scene, "WIRESPAN_TAIL_POLICY=seeds");
    set(scene, "WIRESPAN_AGENT=/run/wirespan/agent.sock");
    scene->preload.curl = NULL;
}

static void nothing_to_export_with(struct scene *scene)
{
    scene->preload.curl = NULL;
    add(&scene->preload.missing, scene->needs, "libprotobuf-c.so.1");
    set(scene, "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317");
    scene->subject.probe = (struct probe){PROBE_FAILED, "collector port 4317: Connection refused"};
}

static void not_installed(struct scene *scene)
{
    scene->preload.library = (struct object){0};
    scene->preload.worker = NULL;
}

static void endpoint_answers(struct scene *scene)
{
    scene->subject.probe.result = PROBE_ANSWERS;
}

static void slow_clock(struct scene *scene)
{
    scene->subject.clock = (struct clock_cost){812, "hpet"};
}

static void hostile_names(struct scene *scene)
{
    scene->executable.path = text("/tmp/\033[31mred\nline\xff\xc2\x9b");
}

static void process_loaded(struct scene *scene)
{
    be_process(scene);
    scene->process.has_library = true;
    set(scene, "LD_PRELOAD=/opt/wirespan/libwirespan.so");
}

static void process_that_lost(struct scene *scene)
{
    process_loaded(scene);
    scene->process.losses.is_known = true;
    scene->process.losses.counts[LOSS_SEGMENT_FULL] = 12;
    scene->process.losses.counts[LOSS_MALFORMED] = 1;
}

static void process_witness_tells(struct scene *scene)
{
    process_loaded(scene);
    witness_of_node(scene);
    scene->process.losses.is_known = true;
    scene->process.losses.witness = WITNESS_NODE_TELLS;
}

static void process_witness_lacks(struct scene *scene)
{
    process_witness_tells(scene);
    scene->process.losses.witness = WITNESS_NODE_LACKS_MODULES;
}

/* A segment of a later version's. */
static void process_witness_unknown(struct scene *scene)
{
    process_witness_tells(scene);
    scene->process.losses.witness = WITNESS_STATE_COUNT;
}

static void process_with_limits(struct scene *scene)
{
    process_loaded(scene);
    scene->process.library_is_replaced = true;
    scene->process.io_uring_count = 2;
    scene->process.seccomp = 2;
    scene->process.is_traced = true;
    scene->process.has_fast_clock = false;
}

static void process_not_preloaded(struct scene *scene)
{
    be_process(scene);
}

static void process_cleared(struct scene *scene)
{
    be_process(scene);
    scene->process.parent_has_preload = true;
}

static void process_secure(struct scene *scene)
{
    be_process(scene);
    scene->process.is_secure = true;
    set(scene, "LD_PRELOAD=/opt/wirespan/libwirespan.so");
}

static void process_not_loaded(struct scene *scene)
{
    be_process(scene);
    set(scene, "LD_PRELOAD=/gone/libwirespan.so");
}

static void process_static(struct scene *scene)
{
    be_process(scene);
    set(scene, "LD_PRELOAD=/opt/wirespan/libwirespan.so");
    scene->executable.interpreter = NULL;
}

static void process_ended(struct scene *scene)
{
    be_process(scene);
    scene->process.state = PROCESS_HAS_ENDED;
}

static void process_of_the_kernel(struct scene *scene)
{
    be_process(scene);
    scene->process.state = PROCESS_IS_KERNELS;
}

static void process_of_others(struct scene *scene)
{
    be_process(scene);
    scene->process.state = PROCESS_IS_NOT_OURS;
}

#define CASE(name, verdict)                                                                        \
    {                                                                                              \
#name, name, verdict                                                                       \
    }

static const struct {
    const char *name;
    void (*change)(struct scene *scene);
    enum finding_level verdict;
} cases[] = {
    CASE(usual, FINDING_GOOD),
    CASE(not_found, FINDING_UNSEEN),
    CASE(interpreter_not_found, FINDING_UNSEEN),
    CASE(not_executable, FINDING_UNSEEN),
    CASE(unreadable, FINDING_PARTLY),
    CASE(too_deep, FINDING_UNSEEN),
    CASE(script, FINDING_NOTE),
    CASE(statically_linked, FINDING_UNSEEN),
    CASE(not_elf, FINDING_UNSEEN),
    CASE(go, FINDING_UNSEEN),
    CASE(go_with_c, FINDING_PARTLY),
    CASE(other_processor, FINDING_UNSEEN),
    CASE(musl, FINDING_UNSEEN),
    CASE(musl_that_has_all, FINDING_NOTE),
    CASE(set_user, FINDING_UNSEEN),
    CASE(set_group, FINDING_UNSEEN),
    CASE(set_user_to_the_same, FINDING_NOTE),
    CASE(capabilities, FINDING_UNSEEN),
    CASE(capabilities_for_root, FINDING_NOTE),
    CASE(missing_libraries, FINDING_UNSEEN),
    CASE(io_uring, FINDING_PARTLY),
    CASE(tls, FINDING_NOTE),
    CASE(tls_patched, FINDING_GOOD),
    CASE(tls_not_patched, FINDING_NOTE),
    CASE(witness_of_node, FINDING_GOOD),
    CASE(witness_switched_off, FINDING_NOTE),
    CASE(witness_of_python, FINDING_GOOD),
    CASE(others, FINDING_NOTE),
    CASE(switched_off, FINDING_UNSEEN),
    CASE(not_chosen, FINDING_UNSEEN),
    CASE(tail_policy, FINDING_NOTE),
    CASE(agent, FINDING_NOTE),
    CASE(nothing_to_export_with, FINDING_UNSEEN),
    CASE(not_installed, FINDING_UNSEEN),
    CASE(endpoint_answers, FINDING_GOOD),
    CASE(slow_clock, FINDING_NOTE),
    CASE(hostile_names, FINDING_GOOD),
    CASE(process_loaded, FINDING_GOOD),
    CASE(process_that_lost, FINDING_PARTLY),
    CASE(process_witness_tells, FINDING_GOOD),
    CASE(process_witness_lacks, FINDING_NOTE),
    CASE(process_witness_unknown, FINDING_GOOD),
    CASE(process_with_limits, FINDING_PARTLY),
    CASE(process_not_preloaded, FINDING_UNSEEN),
    CASE(process_cleared, FINDING_UNSEEN),
    CASE(process_secure, FINDING_UNSEEN),
    CASE(process_not_loaded, FINDING_UNSEEN),
    CASE(process_static, FINDING_UNSEEN),
    CASE(process_ended, FINDING_UNSEEN),
    CASE(process_of_the_kernel, FINDING_UNSEEN),
    CASE(process_of_others, FINDING_PARTLY),
};

/* ---- comparing ---- */

static char *present(const struct presentation *presentation, bool is_json)
{
    char *result = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&result, &size);
    assert_non_null(out);
    assert_true(is_json ? present_json(out, presentation) : present_text(out, presentation));
    fclose(out);
    return result;
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *content = NULL;
    size_t capacity = 0;
    if (file == NULL || getdelim(&content, &capacity, '\0', file) < 0) {
        fail_msg("cannot read %s", path);
    }
    fclose(file);
    return content;
}

static void compare(const char *name, char *found)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (updates) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(found, file);
        fclose(file);
    } else {
        char *expected = read_text(path);
        if (strcmp(found, expected) != 0) {
            print_error("%s is otherwise:\n%s\n", path, found);
        }
        assert_string_equal(found, expected);
        free(expected);
    }
    free(found);
}

static void run_case(size_t index, struct findings *findings, struct text_list *hooked)
{
    struct scene scene;
    set_up(&scene);
    cases[index].change(&scene);
    config_parse(&scene.config, scene.environment, NULL, NULL);
    if (scene.subject.executable != NULL) {
        assert_true(examine_hooked(&scene.subject));
    }
    examine(&scene.subject, findings);
    assert_false(findings->has_no_memory);
    assert_int_equal(findings_worst(findings), cases[index].verdict);
    *hooked = scene.subject.hooked;
}

static void texts_are_as_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct findings findings = {0};
        struct text_list hooked;
        char name[128];
        run_case(i, &findings, &hooked);
        snprintf(name, sizeof(name), "%s.txt", cases[i].name);
        compare(name, present(&(struct presentation){"worker", &findings, NULL, false}, false));
        findings_finish(&findings);
        text_list_finish(&hooked);
    }
}

static void other_forms_are_as_kept(void **state)
{
    (void)state;
    static const char *const forms[] = {"others", "hostile_names", "process_with_limits"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t j = 0; j < sizeof(forms) / sizeof(forms[0]); j++) {
            struct findings findings = {0};
            struct text_list hooked;
            char name[128];
            if (strcmp(cases[i].name, forms[j]) != 0) {
                continue;
            }
            run_case(i, &findings, &hooked);
            const struct presentation all = {"worker \xc3\xa9 \033", &findings, &hooked, true};
            snprintf(name, sizeof(name), "%s.json", forms[j]);
            compare(name, present(&all, true));
            snprintf(name, sizeof(name), "%s.colour.txt", forms[j]);
            compare(name, present(&all, false));
            findings_finish(&findings);
            text_list_finish(&hooked);
        }
    }
}

int main(int argc, char **argv)
{
    folder = argc > 1 ? argv[1] : ".";
    updates = argc > 2 && strcmp(argv[2], "--update") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_as_kept),
        cmocka_unit_test(other_forms_are_as_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
