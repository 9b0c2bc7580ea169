/* The readers of `wirespan doctor` on the corpus of its fuzz target: test_doctor_files FOLDER. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "command/doctor/libraries.h"
#include "command/doctor/loader_cache.h"
#include "command/doctor/object.h"
#include "command/doctor/place.h"
#include "command/doctor/process_view.h"
#include "command/doctor/program.h"
#include "command/doctor/tls_library.h"

static const char *corpus;
static const struct place here = {-1};

static struct slice load(const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", corpus, name);
    struct slice bytes = place_read(&here, path, 1u << 20);
    assert_non_null(bytes.data);
    return bytes;
}

static void unload(struct slice bytes)
{
    free((void *)(size_t)bytes.data);
}

static struct object inspect(const char *name, const struct text_list *wanted)
{
    struct object object;
    struct slice bytes = load(name);
    assert_true(object_inspect(&object, name, bytes, wanted));
    unload(bytes);
    return object;
}

/* ---- ELF ---- */

static void check_program(const struct object *object)
{
    assert_true(object->is_elf && object->is_loadable && !object->is_go);
    assert_string_equal(object->interpreter, "/lib64/ld-linux-x86-64.so.2");
    assert_int_equal(object->needed.count, 2);
    assert_string_equal(object->needed.items[0], "libssl.so.3");
    assert_string_equal(object->needed.items[1], "libc.so.6");
    assert_int_equal(object->imports.count, 3);
    assert_true(text_list_has(&object->imports, "send"));
    assert_true(object->uses_io_uring && object->opens_objects);
}

static void every_class_and_byte_order_reads_alike(void **state)
{
    (void)state;
    static const char *const names[] = {"elf-64-little", "elf-64-big", "elf-32-little",
                                        "elf-32-big", "elf-sysv-hash"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct object object = inspect(names[i], NULL);
        check_program(&object);
        assert_int_equal(object.exports.count, 2);
        assert_string_equal(object.run_path, "$ORIGIN/../lib");
        assert_false(object.is_patched);
        assert_string_equal(tls_libraries[object.tls_inside].name, "OpenSSL");
        assert_int_equal(object.is_64, strstr(names[i], "32") == NULL);
        object_finish(&object);
    }
}

static void a_library_that_is_patched_is_known(void **state)
{
    (void)state;
    struct object object = inspect("elf-patched", NULL);
    assert_true(object.is_patched);
    object_finish(&object);
}

static void imports_alone_are_counted(void **state)
{
    (void)state;
    struct object object = inspect("elf-imports-only", NULL);
    check_program(&object);
    assert_int_equal(object.exports.count, 0);
    assert_int_equal(object.tls_inside, tls_library_count);
    object_finish(&object);
}

static void only_wanted_names_are_kept(void **state)
{
    (void)state;
    char *names[] = {(char *)(size_t) "send", (char *)(size_t) "main"};
    const struct text_list wanted = {names, 2};
    struct object object = inspect("elf-64-little", &wanted);
    assert_int_equal(object.imports.count, 1);
    assert_int_equal(object.exports.count, 1);
    object_finish(&object);
}

static void static_and_go(void **state)
{
    (void)state;
    struct object object = inspect("elf-static", NULL);
    assert_true(object.is_elf && object.interpreter == NULL && !object.is_loadable);
    assert_false(object.is_go);
    object_finish(&object);
    object = inspect("elf-go-note", NULL);
    assert_true(object.is_go);
    object_finish(&object);
    object = inspect("elf-go-section", NULL);
    assert_true(object.is_go);
    object_finish(&object);
}

static void processors_are_told_apart(void **state)
{
    (void)state;
    char name[32];
    struct object wide = inspect("elf-64-little", NULL);
    struct object narrow = inspect("elf-32-little", NULL);
    struct object other = inspect("elf-64-big", NULL);
    struct object cut = inspect("elf-cut-at-40", NULL);
    assert_true(object_is_compatible(&wide, &wide));
    assert_false(object_is_compatible(&wide, &narrow));
    assert_false(object_is_compatible(&wide, &other));
    assert_false(object_is_compatible(&wide, &cut));
    assert_string_equal(object_machine_name(&wide, name), "x86-64");
    assert_string_equal(object_machine_name(&narrow, name), "i386");
    assert_string_equal(object_machine_name(&other, name), "s390");
    object_finish(&wide);
    object_finish(&narrow);
    object_finish(&other);
    object_finish(&cut);
}

/* ---- the loader's cache ---- */

static void check_found(struct slice cache, const char *name, size_t index, const char *path)
{
    struct slice found = loader_cache_find(cache, name, index);
    assert_int_equal(found.size, strlen(path));
    assert_true(slice_equals(found, slice_of(path, strlen(path))));
}

static void caches_are_read(void **state)
{
    (void)state;
    struct slice cache = load("cache");
    check_found(cache, "libz.so.1", 0, "/lib/libz.so.1");
    check_found(cache, "libz.so.1", 1, "/opt/libz.so.1");
    check_found(cache, "libz.so.1", 2, "");
    check_found(cache, "libz.so", 0, "");
    unload(cache);
    cache = load("cache-behind-the-old-one");
    check_found(cache, "libz.so.1", 0, "/lib/libz.so.1");
    unload(cache);
    cache = load("cache-count-too-large");
    check_found(cache, "libz.so.1", 0, "/lib/libz.so.1");
    check_found(cache, "libq.so.1", 0, "");
    unload(cache);
}

/* A cache with one entry, whose path has so many bytes. */
static struct slice find_path_of(size_t size)
{
    static uint8_t bytes[2 * LIMIT_DOCTOR_TEXT];
    static const uint32_t entry[6] = {0x303, 72, 72 + 10, 0, 0, 0};
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, "glibc-ld.so.cache1.1", 20);
    bytes[20] = 1;
    memcpy(bytes + 48, entry, sizeof(entry));
    memcpy(bytes + 72, "libz.so.1", 10);
    memset(bytes + 82, 'p', size);
    return loader_cache_find(slice_of(bytes, 82 + size + 1), "libz.so.1", 0);
}

static void names_have_a_limit(void **state)
{
    (void)state;
    assert_int_equal(find_path_of(5).size, 5);
    assert_int_equal(find_path_of(LIMIT_DOCTOR_TEXT - 1).size, LIMIT_DOCTOR_TEXT - 1);
    assert_int_equal(find_path_of(LIMIT_DOCTOR_TEXT).size, 0);
}

/* ---- /proc ---- */

static void maps_are_read(void **state)
{
    (void)state;
    struct process_view view = {.place = {-1}, .executable_file = -1};
    struct slice bytes = load("maps");
    char *text = strndup((const char *)bytes.data, bytes.size);
    assert_true(process_view_take_maps(&view, text));
    assert_int_equal(view.mapped.count, 1);
    assert_string_equal(view.mapped.items[0], "/usr/bin/a b");
    assert_true(view.has_library && view.library_is_replaced && view.has_fast_clock);
    free(text);
    unload(bytes);
    process_view_finish(&view);
}

static void status_is_read(void **state)
{
    (void)state;
    struct process_view view = {0};
    pid_t parent = 0;
    process_view_take_status(
        &view,
        "Name:\ta\nState:\tS (sleeping)\nPPid:\t7\nTracerPid:\t0\nNSpid:\t900\t12\t3\n"
        "Seccomp:\t2\n",
        &parent);
    assert_int_equal(view.own_id, 3);
    assert_int_equal(view.state, PROCESS_IS_SEEN);
    assert_int_equal(parent, 7);
    assert_int_equal(view.seccomp, 2);
    assert_false(view.is_traced);
    process_view_take_status(&view, "Name:\ta\nState:\tZ (zombie)\nPPid:\t1\nTracerPid:\t4\n",
                             &parent);
    assert_int_equal(view.state, PROCESS_HAS_ENDED);
    assert_true(view.is_traced);
}

/* ---- programs and libraries, in a folder of this test ---- */

struct folder {
    char path[64];
};

static int make_folder(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    strcpy(folder->path, "/tmp/wirespan-doctor-XXXXXX");
    *state = folder;
    return mkdtemp(folder->path) == NULL;
}

static int remove_folder(void **state)
{
    struct folder *folder = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r -- %s", folder->path);
    int result = system(command);
    free(folder);
    return result;
}

static char *path_in(const struct folder *folder, const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    return path;
}

static void write_file(const struct folder *folder, const char *name, struct slice content,
                       mode_t mode)
{
    FILE *file = fopen(path_in(folder, name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
    fclose(file);
    assert_int_equal(chmod(path_in(folder, name), mode), 0);
}

static void write_text(const struct folder *folder, const char *name, const char *text)
{
    write_file(folder, name, slice_of(text, strlen(text)), 0755);
}

static struct program find_program(const struct folder *folder, const char *command)
{
    struct program program;
    assert_true(program_find(&program, &here, command, folder->path));
    return program;
}

static const char *last_step(const struct program *program)
{
    return program->steps.items[program->steps.count - 1];
}

static void scripts_are_followed(void **state)
{
    const struct folder *folder = *state;
    struct slice elf = load("elf-64-little");
    char text[256];
    write_file(folder, "runtime", elf, 0755);
    snprintf(text, sizeof(text), "#! %s/runtime -x\nhello\n", folder->path);
    write_text(folder, "plain", text);
    write_text(folder, "env", "");
    snprintf(text, sizeof(text), "#!%s/env -S A=b runtime --flag\n", folder->path);
    write_text(folder, "by_env", text);
    snprintf(text, sizeof(text), "#!%s/env -Sruntime --flag\n", folder->path);
    write_text(folder, "by_env_together", text);
    static const char *const commands[] = {"runtime", "plain", "by_env", "by_env_together"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct program program = find_program(folder, commands[i]);
        assert_int_equal(program.state, PROGRAM_IS_FILE);
        assert_string_equal(last_step(&program), path_in(folder, "runtime"));
        assert_int_equal(program.is_script, i > 0);
        assert_int_equal(program.steps.count, i == 0 ? 1 : i == 1 ? 2 : 3);
        program_finish(&program);
    }
    unload(elf);
}

static void what_cannot_be_executed_is_told_apart(void **state)
{
    const struct folder *folder = *state;
    struct program program = find_program(folder, "nothing");
    assert_int_equal(program.state, PROGRAM_NOT_FOUND);
    assert_string_equal(program.missing, "nothing");
    program_finish(&program);

    write_file(folder, "data", SLICE("data"), 0644);
    program = find_program(folder, "data");
    assert_int_equal(program.state, PROGRAM_NOT_EXECUTABLE);
    program_finish(&program);

    program = find_program(folder, "/tmp");
    assert_int_equal(program.state, PROGRAM_NOT_EXECUTABLE);
    program_finish(&program);

    write_text(folder, "orphan", "#!/no/such/interpreter\n");
    program = find_program(folder, "orphan");
    assert_int_equal(program.state, PROGRAM_NOT_FOUND);
    assert_string_equal(program.missing, "/no/such/interpreter");
    assert_int_equal(program.steps.count, 1);
    program_finish(&program);

    write_text(folder, "bare", "echo hello\n");
    program = find_program(folder, "bare");
    assert_int_equal(program.state, PROGRAM_IS_FILE);
    assert_true(program.is_by_shell);
    assert_string_equal(last_step(&program), "/bin/sh");
    program_finish(&program);

    assert_int_equal(find_program(folder, "").state, PROGRAM_NOT_FOUND);
}

/* A chain of so many scripts in front of a binary. */
static enum program_state follow_chain(const struct folder *folder, unsigned scripts)
{
    struct slice elf = load("elf-64-little");
    char name[32];
    char text[256];
    write_file(folder, "chain0", elf, 0755);
    for (unsigned i = 1; i <= scripts; i++) {
        snprintf(name, sizeof(name), "chain%u", i);
        snprintf(text, sizeof(text), "#!%s/chain%u\n", folder->path, i - 1);
        write_text(folder, name, text);
    }
    snprintf(name, sizeof(name), "chain%u", scripts);
    struct program program = find_program(folder, name);
    enum program_state result = program.state;
    program_finish(&program);
    unload(elf);
    return result;
}

static void scripts_of_scripts_have_an_end(void **state)
{
    const struct folder *folder = *state;
    assert_int_equal(follow_chain(folder, LIMIT_DOCTOR_STEPS - 1), PROGRAM_IS_FILE);
    assert_int_equal(follow_chain(folder, LIMIT_DOCTOR_STEPS), PROGRAM_TOO_DEEP);
    char text[256];
    snprintf(text, sizeof(text), "#!%s/circle\n", folder->path);
    write_text(folder, "circle", text);
    struct program program = find_program(folder, "circle");
    assert_int_equal(program.state, PROGRAM_TOO_DEEP);
    program_finish(&program);
}

/* What the kernel reads of the first line; more would be another interpreter to it, too. */
static void a_first_line_has_a_limit(void **state)
{
    const struct folder *folder = *state;
    struct slice elf = load("elf-64-little");
    for (size_t size = LIMIT_DOCTOR_SCRIPT_LINE - 1; size <= LIMIT_DOCTOR_SCRIPT_LINE; size++) {
        char text[2 * LIMIT_DOCTOR_SCRIPT_LINE];
        char name[LIMIT_DOCTOR_SCRIPT_LINE];
        size_t room = size - strlen("#!/") - strlen(folder->path);
        memset(name, 'n', room);
        name[room] = '\0';
        write_file(folder, name, elf, 0755);
        snprintf(text, sizeof(text), "#!%s/%s", folder->path, name);
        assert_int_equal(strlen(text), size);
        write_text(folder, "script", text);
        struct program program = find_program(folder, "script");
        assert_int_equal(program.state,
                         size < LIMIT_DOCTOR_SCRIPT_LINE ? PROGRAM_IS_FILE : PROGRAM_NOT_FOUND);
        program_finish(&program);
        assert_int_equal(unlink(path_in(folder, name)), 0);
    }
    unload(elf);
}

static void libraries_are_found_where_the_loader_looks(void **state)
{
    const struct folder *folder = *state;
    struct slice elf = load("elf-64-little");
    struct slice other = load("elf-32-little");
    struct libraries libraries;
    assert_int_equal(mkdir(path_in(folder, "bin"), 0755), 0);
    assert_int_equal(mkdir(path_in(folder, "lib"), 0755), 0);
    assert_int_equal(mkdir(path_in(folder, "wrong"), 0755), 0);
    write_file(folder, "bin/program", elf, 0755);
    write_file(folder, "wrong/libssl.so.3", other, 0755);
    write_file(folder, "lib/libssl.so.3", elf, 0755);
    write_file(folder, "lib/libc.so.6", elf, 0755);
    struct object program;
    assert_true(object_inspect(&program, path_in(folder, "bin/program"), elf, NULL));

    /* LD_LIBRARY_PATH comes first, but what is for another processor is passed by. */
    assert_true(libraries_resolve(&libraries, &here, &program, path_in(folder, "wrong"), NULL));
    assert_int_equal(libraries.missing.count, 0);
    assert_int_equal(libraries.count, 2);
    assert_non_null(strstr(libraries.items[0].path, "/bin/../lib/libssl.so.3"));
    assert_ptr_equal(libraries_find(&libraries, "libc.", true), &libraries.items[1]);
    assert_null(libraries_find(&libraries, "libc", false));
    libraries_finish(&libraries);

    /* The same below a root of its own, which has nothing but these. */
    struct place inside = {open(folder->path, O_PATH | O_DIRECTORY)};
    assert_true(inside.root >= 0);
    free(program.path);
    program.path = strdup("/bin/program");
    assert_true(libraries_resolve(&libraries, &inside, &program, NULL, NULL));
    assert_int_equal(libraries.count, 2);
    assert_string_equal(libraries.items[0].path, "/bin/../lib/libssl.so.3");
    libraries_finish(&libraries);
    assert_int_equal(unlink(path_in(folder, "lib/libssl.so.3")), 0);
    assert_int_equal(symlink("/etc/passwd", path_in(folder, "lib/libssl.so.3")), 0);
    assert_true(libraries_resolve(&libraries, &inside, &program, NULL, NULL));
    assert_int_equal(libraries.missing.count, 1);
    assert_string_equal(libraries.missing.items[0], "libssl.so.3");
    libraries_finish(&libraries);
    close(inside.root);
    object_finish(&program);
    unload(elf);
    unload(other);
}

/* A program that needs so many names which are not there. */
static void needed_names_have_a_limit(void **state)
{
    (void)state;
    struct libraries libraries;
    struct object program = inspect("elf-64-little", NULL);
    text_list_finish(&program.needed);
    for (unsigned i = 0; i < LIMIT_DOCTOR_OBJECTS + 1; i++) {
        char name[32];
        snprintf(name, sizeof(name), "lib%u.so.no", i);
        if (i == LIMIT_DOCTOR_OBJECTS) {
            assert_true(libraries_resolve(&libraries, &here, &program, NULL, NULL));
            assert_int_equal(libraries.missing.count, LIMIT_DOCTOR_OBJECTS);
            assert_false(libraries.is_cut);
            libraries_finish(&libraries);
        }
        assert_true(text_list_add(&program.needed, name, strlen(name)));
    }
    assert_true(libraries_resolve(&libraries, &here, &program, NULL, NULL));
    assert_int_equal(libraries.missing.count, LIMIT_DOCTOR_OBJECTS);
    assert_true(libraries.is_cut);
    libraries_finish(&libraries);
    object_finish(&program);
}

static void files_have_a_limit(void **state)
{
    const struct folder *folder = *state;
    write_file(folder, "ten", SLICE("0123456789"), 0644);
    struct slice bytes = place_read(&here, path_in(folder, "ten"), 10);
    assert_int_equal(bytes.size, 10);
    unload(bytes);
    assert_null(place_read(&here, path_in(folder, "ten"), 9).data);
    assert_null(place_read(&here, folder->path, 1u << 20).data);
    assert_int_equal(mkfifo(path_in(folder, "pipe"), 0644), 0);
    assert_null(place_read(&here, path_in(folder, "pipe"), 10).data);
}

int main(int argc, char **argv)
{
    corpus = argc > 1 ? argv[1] : ".";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_and_byte_order_reads_alike),
        cmocka_unit_test(a_library_that_is_patched_is_known),
        cmocka_unit_test(imports_alone_are_counted),
        cmocka_unit_test(only_wanted_names_are_kept),
        cmocka_unit_test(static_and_go),
        cmocka_unit_test(processors_are_told_apart),
        cmocka_unit_test(caches_are_read),
        cmocka_unit_test(names_have_a_limit),
        cmocka_unit_test(maps_are_read),
        cmocka_unit_test(status_is_read),
        cmocka_unit_test_setup_teardown(scripts_are_followed, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_cannot_be_executed_is_told_apart, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(scripts_of_scripts_have_an_end, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_first_line_has_a_limit, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(libraries_are_found_where_the_loader_looks, make_folder,
                                        remove_folder),
        cmocka_unit_test(needed_names_have_a_limit),
        cmocka_unit_test_setup_teardown(files_have_a_limit, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
