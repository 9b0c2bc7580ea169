#include "command/doctor/patient.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "worker/transport/curl_table.h"

#define LIBRARY        "libwirespan.so"
#define WORKER         "libwirespan-worker.so"
#define SYSTEM_PRELOAD "/etc/ld.so.preload"

static const struct place here = {-1};
static const struct text_list no_names;

static void release(struct slice bytes)
{
    free((void *)(size_t)bytes.data);
}

/* ---- one file ---- */

static bool inspect_path(struct object *object, const struct place *place, const char *path,
                         const struct text_list *wanted)
{
    struct slice bytes = place_read(place, path, LIMIT_DOCTOR_FILE_BYTES);
    bool is_complete = object_inspect(object, path, bytes, wanted);
    release(bytes);
    return is_complete;
}

/* A copy of `path` with another last part. */
static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    char *result = NULL;
    int size = asprintf(&result, "%.*s%s", slash != NULL ? (int)(slash - path) + 1 : 0, path, name);
    return size < 0 ? NULL : result;
}

/* ---- the library, and what exports ---- */

/* Whether the loader finds an object and all that it needs; its path in `*found` if so. */
static bool look_up(const struct patient *patient, const struct place *place, const char *name,
                    const char *search_path, char **found)
{
    char *names[] = {(char *)(size_t)name};
    const struct object *library = &patient->preload.library;
    const struct object asking = {
        .path = patient->worker_path,
        .is_elf = true,
        .is_64 = library->is_64,
        .is_big_endian = library->is_big_endian,
        .machine = library->machine,
        .needed = {names, 1},
    };
    struct libraries libraries;
    bool is_complete = libraries_resolve(&libraries, place, &asking, search_path, &no_names);
    if (is_complete && libraries.count > 0 && libraries.missing.count == 0) {
        *found = strdup(libraries.items[0].path);
        is_complete = *found != NULL;
    }
    libraries_finish(&libraries);
    return is_complete;
}

static bool look_for_curl(struct patient *patient, const struct place *place,
                          const char *search_path)
{
    for (size_t i = 0; curl_table_names[i] != NULL && patient->preload.curl == NULL; i++) {
        if (!look_up(patient, place, curl_table_names[i], search_path, &patient->preload.curl)) {
            return false;
        }
    }
    return true;
}

static bool look_at_worker(struct patient *patient, const struct place *place,
                           const char *search_path)
{
    struct object worker;
    struct libraries libraries = {0};
    patient->worker_path = beside(patient->library_path, WORKER);
    if (patient->worker_path == NULL) {
        return false;
    }
    bool is_complete = inspect_path(&worker, place, patient->worker_path, &no_names);
    if (is_complete && worker.is_elf) {
        patient->preload.worker = patient->worker_path;
        is_complete = libraries_resolve(&libraries, place, &worker, search_path, &no_names) &&
                      look_for_curl(patient, place, search_path);
        patient->preload.missing = libraries.missing;
        libraries.missing = (struct text_list){0};
    }
    libraries_finish(&libraries);
    object_finish(&worker);
    return is_complete;
}

static bool is_musl(const struct object *executable)
{
    return executable->interpreter != NULL && strstr(executable->interpreter, "/ld-musl-") != NULL;
}

/* What the library takes from a C library that is not the one it was linked with. */
static bool compare_with_musl(struct patient *patient, const struct place *place)
{
    struct object c_library;
    const struct text_list *imports = &patient->preload.library.imports;
    bool is_complete = inspect_path(&c_library, place, patient->executable.interpreter, NULL);
    for (size_t i = 0; is_complete && c_library.is_elf && i < imports->count; i++) {
        if (!text_list_has(&c_library.exports, imports->items[i])) {
            is_complete = text_list_add(&patient->preload.unresolved, imports->items[i],
                                        strlen(imports->items[i]));
        }
    }
    object_finish(&c_library);
    return is_complete;
}

static bool look_at_library(struct patient *patient, const struct place *place, const char *path,
                            const char *search_path)
{
    if (path == NULL) {
        return true;
    }
    patient->library_path = strdup(path);
    return patient->library_path != NULL &&
           inspect_path(&patient->preload.library, place, path, NULL) &&
           (!patient->preload.library.is_elf || look_at_worker(patient, place, search_path));
}

/* ---- in common ---- */

static bool look_at_system(struct patient *patient, const struct place *place)
{
    struct slice bytes = place_read(place, SYSTEM_PRELOAD, LIMIT_DOCTOR_PROC_BYTES);
    bool is_there = bytes.data != NULL;
    if (is_there) {
        patient->system_preload = strndup((const char *)bytes.data, bytes.size);
        release(bytes);
    }
    patient->subject.system_preload = patient->system_preload;
    return !is_there || patient->system_preload != NULL;
}

static void begin(struct patient *patient)
{
    *patient = (struct patient){.process = {.place = {-1}, .executable_file = -1}};
    patient->subject = (struct subject){
        .libraries = &patient->libraries,
        .preload = &patient->preload,
        .config = &patient->config,
        .user = geteuid(),
        .group = getegid(),
    };
}

static void set_environment(struct patient *patient, const char *const *environment)
{
    patient->subject.environment = environment;
    config_parse(&patient->config, environment, NULL, NULL);
}

/* ---- a command ---- */

static bool look_at_file(struct patient *patient, const char *search_path)
{
    const struct text_list *steps = &patient->program.steps;
    const struct text_list *hooked = &patient->preload.library.exports;
    /* The kernel follows links first: $ORIGIN, and the name that is asked for, are the file's. */
    char path[PATH_MAX];
    const char *last = steps->items[steps->count - 1];
    const char *real = realpath(last, path);
    if (!inspect_path(&patient->executable, &here, real != NULL ? real : last, hooked)) {
        return false;
    }
    patient->subject.executable = &patient->executable;
    if (!patient->executable.is_elf) {
        return true;
    }
    return libraries_resolve(&patient->libraries, &here, &patient->executable, search_path,
                             hooked) &&
           (!is_musl(&patient->executable) || compare_with_musl(patient, &here)) &&
           examine_hooked(&patient->subject);
}

bool patient_take_command(struct patient *patient, const char *command, const char *library,
                          const char *const *environment)
{
    begin(patient);
    set_environment(patient, environment);
    const char *search_path = config_lookup(environment, "LD_LIBRARY_PATH");
    patient->subject.program = &patient->program;
    if (!program_find(&patient->program, &here, command, config_lookup(environment, "PATH")) ||
        !look_at_system(patient, &here) || !look_at_library(patient, &here, library, search_path)) {
        return false;
    }
    return patient->program.state != PROGRAM_IS_FILE || look_at_file(patient, search_path);
}

/* ---- a process ---- */

/* What is mapped as libz.so.1.2.13 is needed as libz.so.1. */
static bool is_for(const struct object *object, const char *needed)
{
    const char *name = object_name(object);
    size_t size = strlen(needed);
    return strncmp(name, needed, size) == 0 && (name[size] == '\0' || name[size] == '.');
}

static void mark_needed(const struct libraries *libraries, const struct object *object,
                        bool *is_marked, bool *has_changed)
{
    for (size_t i = 0; i < object->needed.count; i++) {
        for (size_t j = 0; j < libraries->count; j++) {
            if (!is_marked[j] && is_for(&libraries->items[j], object->needed.items[i])) {
                is_marked[j] = true;
                *has_changed = true;
            }
        }
    }
}

static void mark_all_needed(const struct libraries *libraries, bool *is_marked)
{
    bool has_changed = true;
    while (has_changed) {
        has_changed = false;
        for (size_t i = 0; i < libraries->count; i++) {
            if (is_marked[i]) {
                mark_needed(libraries, &libraries->items[i], is_marked, &has_changed);
            }
        }
    }
}

/* The exporter's thread brings libcurl and its TLS library with it: they are none of the
   program's, unless something of the program's needs them, too. */
static bool leave_exporters_out(struct libraries *libraries)
{
    size_t count = libraries->count;
    bool *is_exporters = calloc(count + 1, sizeof(*is_exporters));
    bool *is_programs = calloc(count + 1, sizeof(*is_programs));
    bool is_complete = is_exporters != NULL && is_programs != NULL;
    for (size_t i = 0; is_complete && i < count; i++) {
        const char *name = object_name(&libraries->items[i]);
        is_exporters[i] = strcmp(name, WORKER) == 0 || strncmp(name, "libcurl", 7) == 0;
    }
    if (is_complete && libraries_find(libraries, WORKER, false) != NULL) {
        mark_all_needed(libraries, is_exporters);
        for (size_t i = 0; i < count; i++) {
            is_programs[i] = !is_exporters[i];
        }
        mark_all_needed(libraries, is_programs);
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
            if (is_programs[i]) {
                libraries->items[kept++] = libraries->items[i];
            } else {
                object_finish(&libraries->items[i]);
            }
        }
        libraries->count = kept;
    }
    free(is_exporters);
    free(is_programs);
    return is_complete;
}

/* The one that the process has; else the one that it was told of; else ours. */
static const char *choose_library(const struct patient *patient, const char *ours)
{
    for (size_t i = 0; i < patient->process.mapped.count; i++) {
        const char *path = patient->process.mapped.items[i];
        if (strcmp(strrchr(path, '/') + 1, LIBRARY) == 0) {
            return path;
        }
    }
    return ours;
}

static bool read_executable(struct patient *patient, const struct text_list *hooked)
{
    const struct process_view *process = &patient->process;
    struct slice bytes = place_read_descriptor(process->executable_file, LIMIT_DOCTOR_FILE_BYTES);
    bool is_complete = object_inspect(&patient->executable, process->executable, bytes, hooked);
    release(bytes);
    patient->subject.executable = &patient->executable;
    return is_complete;
}

/* Its shared objects: what is mapped but the executable, and but the library itself. */
static bool read_mapped(struct patient *patient, const struct text_list *hooked)
{
    struct text_list paths = {0};
    bool is_complete = true;
    for (size_t i = 0; is_complete && i < patient->process.mapped.count; i++) {
        const char *path = patient->process.mapped.items[i];
        if (strcmp(path, patient->process.executable) != 0 &&
            strcmp(strrchr(path, '/') + 1, LIBRARY) != 0) {
            is_complete = text_list_add(&paths, path, strlen(path));
        }
    }
    is_complete = is_complete &&
                  libraries_read(&patient->libraries, &patient->process.place, &paths, hooked) &&
                  leave_exporters_out(&patient->libraries);
    text_list_finish(&paths);
    return is_complete;
}

bool patient_take_process(struct patient *patient, pid_t id, const char *library)
{
    static const char *const nothing[] = {NULL};
    begin(patient);
    patient->subject.process = &patient->process;
    set_environment(patient, nothing);
    if (!process_view_read(&patient->process, id)) {
        return false;
    }
    if (patient->process.state != PROCESS_IS_SEEN) {
        return true;
    }
    set_environment(patient, patient->process.environment);
    const char *search_path = config_lookup(patient->process.environment, "LD_LIBRARY_PATH");
    const char *path = choose_library(patient, library);
    const struct place *place = path != library ? &patient->process.place : &here;
    const struct text_list *hooked = &patient->preload.library.exports;
    return look_at_system(patient, &patient->process.place) &&
           look_at_library(patient, place, path, search_path) && read_executable(patient, hooked) &&
           read_mapped(patient, hooked) &&
           (!is_musl(&patient->executable) ||
            compare_with_musl(patient, &patient->process.place)) &&
           examine_hooked(&patient->subject);
}

void patient_finish(struct patient *patient)
{
    text_list_finish(&patient->subject.hooked);
    process_view_finish(&patient->process);
    program_finish(&patient->program);
    object_finish(&patient->executable);
    libraries_finish(&patient->libraries);
    object_finish(&patient->preload.library);
    text_list_finish(&patient->preload.missing);
    text_list_finish(&patient->preload.unresolved);
    free(patient->preload.curl);
    free(patient->library_path);
    free(patient->worker_path);
    free(patient->system_preload);
}
