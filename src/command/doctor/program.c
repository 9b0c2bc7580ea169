#include "command/doctor/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SHELL        "/bin/sh"
#define DEFAULT_PATH "/bin:/usr/bin"

struct walk {
    struct program *program;
    const struct place *place;
    const char *path;
    bool has_no_memory;
};

/* ---- finding a file ---- */

/* Only this process's own files are executed by this user, so that is all that access tells. */
static bool is_executable(const struct place *place, const char *path, const struct stat *status)
{
    return S_ISREG(status->st_mode) &&
           (place->root >= 0 ? (status->st_mode & 0111) != 0 : access(path, X_OK) == 0);
}

static bool add_step(struct walk *walk, const char *path)
{
    walk->has_no_memory |= !text_list_add(&walk->program->steps, path, strlen(path));
    return !walk->has_no_memory;
}

/* Like execvp: the first executable one; one that is there but may not be executed is remembered.
 */
static enum program_state find_file(struct walk *walk, const char *name, char found[4096])
{
    enum program_state state = PROGRAM_NOT_FOUND;
    struct stat status;
    const char *folders = strchr(name, '/') != NULL ? "" : walk->path;
    do {
        char path[LIMIT_DOCTOR_TEXT];
        size_t size = strcspn(folders, ":");
        bool is_own_path = strchr(name, '/') != NULL;
        int length = is_own_path || size == 0
                         ? snprintf(path, sizeof(path), "%s%s", is_own_path ? "" : "./", name)
                         : snprintf(path, sizeof(path), "%.*s/%s", (int)size, folders, name);
        if (length > 0 && (size_t)length < sizeof(path) && name[0] != '\0' &&
            place_stat(walk->place, path, &status)) {
            bool is_good = is_executable(walk->place, path, &status);
            if (is_good || state == PROGRAM_NOT_FOUND) {
                memcpy(found, path, (size_t)length + 1);
                walk->program->status = status;
                state = is_good ? PROGRAM_IS_FILE : PROGRAM_NOT_EXECUTABLE;
            }
        }
        folders += size;
        folders += *folders == ':';
    } while (*folders != '\0' && state != PROGRAM_IS_FILE);
    return state;
}

/* ---- scripts ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The command in the arguments of env: options and variables come first. What `-S` splits and
   what the kernel passes as one argument look the same here. */
static void find_command_of_env(const char *arguments, char *into, size_t capacity)
{
    into[0] = '\0';
    while (*arguments != '\0') {
        arguments += strspn(arguments, " \t");
        size_t size = strcspn(arguments, " \t");
        /* -S may be written together with what follows. */
        if (size > 2 && strncmp(arguments, "-S", 2) == 0) {
            arguments += 2;
            size -= 2;
        }
        if (size > 0 && arguments[0] != '-' && memchr(arguments, '=', size) == NULL) {
            snprintf(into, capacity, "%.*s", (int)size, arguments);
            return;
        }
        arguments += size;
    }
}

enum kind { KIND_BINARY, KIND_SCRIPT, KIND_TEXT, KIND_UNREADABLE };

/* Reads the first line: the interpreter, and the rest as one text. */
static enum kind read_script_line(const struct place *place, const char *path,
                                  char line[LIMIT_DOCTOR_SCRIPT_LINE], char **interpreter,
                                  char **rest)
{
    int descriptor = place_open(place, path);
    if (descriptor < 0) {
        return KIND_UNREADABLE;
    }
    ssize_t got = read(descriptor, line, LIMIT_DOCTOR_SCRIPT_LINE - 1);
    close(descriptor);
    if (got < 0) {
        return KIND_UNREADABLE;
    }
    line[got] = '\0';
    if (got < 2 || memcmp(line, "#!", 2) != 0) {
        return got > 0 && memchr(line, '\0', (size_t)got) != NULL ? KIND_BINARY : KIND_TEXT;
    }
    line[strcspn(line, "\n")] = '\0';
    *interpreter = line + 2 + strspn(line + 2, " \t");
    *rest = *interpreter + strcspn(*interpreter, " \t");
    if (**rest != '\0') {
        *(*rest)++ = '\0';
    }
    return KIND_SCRIPT;
}

static void set_missing(struct walk *walk, const char *name)
{
    free(walk->program->missing);
    walk->program->missing = strdup(name);
    walk->has_no_memory |= walk->program->missing == NULL;
}

/* One name to its file; false if that is not there or may not be executed. */
static bool step_to(struct walk *walk, const char *name, char found[LIMIT_DOCTOR_TEXT])
{
    walk->program->state = find_file(walk, name, found);
    if (walk->program->state == PROGRAM_NOT_FOUND) {
        set_missing(walk, name);
        return false;
    }
    return add_step(walk, found) && walk->program->state == PROGRAM_IS_FILE;
}

static void follow(struct walk *walk, const char *command)
{
    char name[LIMIT_DOCTOR_TEXT];
    char found[LIMIT_DOCTOR_TEXT];
    snprintf(name, sizeof(name), "%s", command);
    while (step_to(walk, name, found)) {
        char line[LIMIT_DOCTOR_SCRIPT_LINE];
        char *interpreter = NULL;
        char *rest = NULL;
        enum kind kind = read_script_line(walk->place, found, line, &interpreter, &rest);
        if (kind == KIND_BINARY) {
            return;
        }
        if (kind == KIND_UNREADABLE) {
            walk->program->state = PROGRAM_UNREADABLE;
            return;
        }
        if (walk->program->steps.count >= LIMIT_DOCTOR_STEPS) {
            walk->program->state = PROGRAM_TOO_DEEP;
            return;
        }
        walk->program->is_script = true;
        if (kind == KIND_TEXT) {
            walk->program->is_by_shell = true;
            interpreter = (char *)(size_t)SHELL;
        }
        snprintf(name, sizeof(name), "%s", interpreter);
        if (kind == KIND_SCRIPT && strcmp(base_name(interpreter), "env") == 0) {
            if (!step_to(walk, name, found)) {
                return;
            }
            find_command_of_env(rest, name, sizeof(name));
        }
    }
}

static void look_for_capabilities(struct program *program, const struct place *place)
{
    int descriptor = place_open(place, program->steps.items[program->steps.count - 1]);
    if (descriptor >= 0) {
        program->has_capabilities = fgetxattr(descriptor, "security.capability", NULL, 0) > 0;
        close(descriptor);
    }
}

bool program_find(struct program *program, const struct place *place, const char *command,
                  const char *path)
{
    *program = (struct program){0};
    struct walk walk = {program, place, path != NULL ? path : DEFAULT_PATH, false};
    follow(&walk, command);
    if (program->state == PROGRAM_IS_FILE && !walk.has_no_memory) {
        look_for_capabilities(program, place);
    }
    return !walk.has_no_memory;
}

void program_finish(struct program *program)
{
    text_list_finish(&program->steps);
    free(program->missing);
    *program = (struct program){0};
}
