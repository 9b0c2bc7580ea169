#include "command/doctor/process_view.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "process/config.h"

#define LIBRARY "libwirespan.so"
#define DELETED " (deleted)"

static const struct place here = {-1};

static void path_of(char into[64], pid_t id, const char *name)
{
    snprintf(into, 64, "/proc/%d/%s", (int)id, name);
}

/* A file of /proc as text, released with free; NULL if it cannot be read. */
static char *read_text(pid_t id, const char *name, size_t *size)
{
    char path[64];
    path_of(path, id, name);
    struct slice bytes = place_read(&here, path, LIMIT_DOCTOR_PROC_BYTES);
    char *text = bytes.data != NULL ? realloc((void *)(size_t)bytes.data, bytes.size + 1) : NULL;
    if (text == NULL) {
        free((void *)(size_t)bytes.data);
        return NULL;
    }
    text[bytes.size] = '\0';
    if (size != NULL) {
        *size = bytes.size;
    }
    return text;
}

/* ---- what is mapped ---- */

static bool take_mapping(struct process_view *view, char *path, bool is_code)
{
    size_t size = strlen(path);
    size_t tail = strlen(DELETED);
    bool is_deleted = size > tail && strcmp(path + size - tail, DELETED) == 0;
    if (is_deleted) {
        path[size - tail] = '\0';
    }
    const char *slash = strrchr(path, '/');
    if (slash != NULL && strcmp(slash + 1, LIBRARY) == 0) {
        view->has_library = true;
        view->library_is_replaced |= is_deleted;
    }
    view->has_fast_clock |= strcmp(path, "[vdso]") == 0;
    /* Files without code are data; those of a deleted object are not there to be read. */
    if (path[0] != '/' || !is_code || is_deleted || text_list_has(&view->mapped, path) ||
        view->mapped.count > LIMIT_DOCTOR_OBJECTS) {
        return true;
    }
    return text_list_add(&view->mapped, path, strlen(path));
}

bool process_view_take_maps(struct process_view *view, const char *maps)
{
    bool is_complete = true;
    while (*maps != '\0' && is_complete) {
        char line[LIMIT_DOCTOR_TEXT + 128];
        char permissions[8] = "";
        int path = -1;
        size_t size = strcspn(maps, "\n");
        snprintf(line, sizeof(line), "%.*s", (int)size, maps);
        if (sscanf(line, "%*s %7s %*s %*s %*s %n", permissions, &path) == 1 && path > 0) {
            is_complete = take_mapping(view, line + path, strchr(permissions, 'x') != NULL);
        }
        maps += size + (maps[size] == '\n');
    }
    return is_complete;
}

static bool read_maps(struct process_view *view)
{
    char *maps = read_text(view->id, "maps", NULL);
    bool is_complete = maps == NULL || process_view_take_maps(view, maps);
    if (maps != NULL && view->has_library) {
        losses_view_read(&view->losses, view->id, view->own_id, maps);
    }
    free(maps);
    return is_complete;
}

/* ---- how it was started ---- */

static bool read_environment(struct process_view *view)
{
    size_t size = 0;
    size_t count = 0;
    view->environment_text = read_text(view->id, "environ", &size);
    if (view->environment_text == NULL) {
        size = 0;
    }
    for (size_t i = 0; i < size; i++) {
        count += view->environment_text[i] == '\0';
    }
    view->environment = calloc(count + 2, sizeof(*view->environment));
    if (view->environment == NULL) {
        return false;
    }
    count = 0;
    for (size_t at = 0; at < size; at += strlen(view->environment_text + at) + 1) {
        view->environment[count++] = view->environment_text + at;
    }
    return true;
}

static bool has_preload(pid_t id)
{
    struct process_view other = {.id = id};
    bool is_read = read_environment(&other);
    const char *preload = is_read ? config_lookup(other.environment, "LD_PRELOAD") : NULL;
    bool has = preload != NULL && strstr(preload, LIBRARY) != NULL;
    free(other.environment_text);
    free(other.environment);
    return has;
}

static void read_auxiliary(struct process_view *view)
{
    size_t size = 0;
    char *bytes = read_text(view->id, "auxv", &size);
    for (size_t at = 0; bytes != NULL && at + sizeof(Elf64_auxv_t) <= size;
         at += sizeof(Elf64_auxv_t)) {
        Elf64_auxv_t entry;
        memcpy(&entry, bytes + at, sizeof(entry));
        view->is_secure |= entry.a_type == AT_SECURE && entry.a_un.a_val != 0;
    }
    free(bytes);
}

/* ---- how it is ---- */

static bool read_number(const char *status, const char *name, int *number)
{
    const char *line = strstr(status, name);
    return line != NULL && sscanf(line + strlen(name), "%d", number) == 1;
}

/* The last of several on the line: that of the innermost namespace. */
static bool read_last_number(const char *status, const char *name, int *number)
{
    const char *line = strstr(status, name);
    bool is_read = false;
    if (line != NULL) {
        line += strlen(name);
        for (int more = 0, used = 0; sscanf(line, "%*[ \t]%d%n", &more, &used) == 1; line += used) {
            *number = more;
            is_read = true;
        }
    }
    return is_read;
}

void process_view_take_status(struct process_view *view, const char *status, pid_t *parent)
{
    int number = 0;
    if (strstr(status, "\nState:\tZ") != NULL) {
        view->state = PROCESS_HAS_ENDED;
    }
    *parent = read_number(status, "\nPPid:", &number) ? number : 0;
    view->own_id = read_last_number(status, "\nNSpid:", &number) ? number : view->id;
    view->seccomp = read_number(status, "\nSeccomp:", &number) ? number : 0;
    view->is_traced = read_number(status, "\nTracerPid:", &number) && number != 0;
}

static void read_descriptors(struct process_view *view)
{
    char path[64];
    path_of(path, view->id, "fd");
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char link[64];
        ssize_t size = readlinkat(dirfd(folder), entry->d_name, link, sizeof(link) - 1);
        link[size > 0 ? size : 0] = '\0';
        view->io_uring_count += strcmp(link, "anon_inode:[io_uring]") == 0;
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

static bool read_executable(struct process_view *view)
{
    char path[64];
    char link[LIMIT_DOCTOR_TEXT];
    path_of(path, view->id, "exe");
    ssize_t size = readlink(path, link, sizeof(link) - 1);
    if (size <= 0) {
        view->state = errno == EACCES || errno == EPERM ? PROCESS_IS_NOT_OURS : PROCESS_IS_KERNELS;
        return true;
    }
    link[size] = '\0';
    size_t tail = strlen(DELETED);
    if ((size_t)size > tail && strcmp(link + size - tail, DELETED) == 0) {
        link[(size_t)size - tail] = '\0';
    }
    view->executable = strdup(link);
    view->executable_file = open(path, O_RDONLY | O_CLOEXEC);
    path_of(path, view->id, "root");
    view->place.root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (view->executable_file < 0 || view->place.root < 0) {
        view->state = PROCESS_IS_NOT_OURS;
    }
    return view->executable != NULL;
}

bool process_view_read(struct process_view *view, pid_t id)
{
    pid_t parent = 0;
    *view = (struct process_view){.id = id, .place = {-1}, .executable_file = -1};
    char *status = read_text(id, "status", NULL);
    if (status == NULL) {
        view->state = PROCESS_NOT_THERE;
        return true;
    }
    process_view_take_status(view, status, &parent);
    free(status);
    if (view->state != PROCESS_IS_SEEN) {
        return true;
    }
    if (!read_executable(view)) {
        return false;
    }
    if (view->state != PROCESS_IS_SEEN) {
        return true;
    }
    read_auxiliary(view);
    read_descriptors(view);
    view->parent_has_preload = parent > 0 && has_preload(parent);
    return read_maps(view) && read_environment(view);
}

void process_view_finish(struct process_view *view)
{
    if (view->place.root >= 0) {
        close(view->place.root);
    }
    if (view->executable_file >= 0) {
        close(view->executable_file);
    }
    free(view->executable);
    free(view->environment_text);
    free(view->environment);
    text_list_finish(&view->mapped);
    *view = (struct process_view){.place = {-1}, .executable_file = -1};
}
