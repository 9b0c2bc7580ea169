#include "command/doctor/libraries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "command/doctor/loader_cache.h"

#define CACHE       "/etc/ld.so.cache"
#define CACHE_BYTES (64u << 20)

/* One search: who asks, and what is known of where to look. */
struct search {
    struct libraries *libraries;
    const struct place *place;
    const struct object *program;
    const char *search_path;
    const struct text_list *wanted;
    struct slice cache;
    bool has_no_memory;
};

static bool is_musl(const struct object *program)
{
    return program->interpreter != NULL && strstr(program->interpreter, "/ld-musl-") != NULL;
}

/* ---- one candidate ---- */

static struct object *append(struct libraries *libraries)
{
    struct object *grown =
        reallocarray(libraries->items, libraries->count + 1, sizeof(*libraries->items));
    if (grown == NULL) {
        return NULL;
    }
    libraries->items = grown;
    return &grown[libraries->count++];
}

static bool try_path(struct search *search, const char *path)
{
    struct slice bytes = place_read(search->place, path, LIMIT_DOCTOR_FILE_BYTES);
    if (bytes.data == NULL) {
        return false;
    }
    struct object object;
    bool is_complete = object_inspect(&object, path, bytes, search->wanted);
    free((void *)(size_t)bytes.data);
    if (!is_complete || !object_is_compatible(&object, search->program)) {
        search->has_no_memory |= !is_complete;
        object_finish(&object);
        return false;
    }
    struct object *kept = append(search->libraries);
    if (kept == NULL) {
        search->has_no_memory = true;
        object_finish(&object);
        return false;
    }
    *kept = object;
    return true;
}

/* ---- folders ---- */

/* What $ORIGIN, $LIB and $PLATFORM stand for in a path of an object. */
static void expand(const struct search *search, const struct object *origin, const char *text,
                   size_t size, char *into, size_t capacity)
{
    const char *slash = strrchr(origin->path, '/');
    const struct {
        const char *name;
        const char *value;
        size_t size;
    } words[] = {
        {"$ORIGIN", origin->path, slash != NULL ? (size_t)(slash - origin->path) : 0},
        {"${ORIGIN}", origin->path, slash != NULL ? (size_t)(slash - origin->path) : 0},
        {"$LIB", search->program->is_64 ? "lib/x86_64-linux-gnu" : "lib/i386-linux-gnu", SIZE_MAX},
        {"${LIB}", search->program->is_64 ? "lib/x86_64-linux-gnu" : "lib/i386-linux-gnu",
         SIZE_MAX},
    };
    size_t used = 0;
    while (size > 0 && used + 1 < capacity) {
        size_t i = 0;
        size_t count = sizeof(words) / sizeof(words[0]);
        while (i < count && (strlen(words[i].name) > size ||
                             strncmp(text, words[i].name, strlen(words[i].name)) != 0)) {
            i++;
        }
        size_t taken = i < count ? strlen(words[i].name) : 1;
        const char *value = i < count ? words[i].value : text;
        size_t length = i < count ? strnlen(value, words[i].size) : 1;
        length = length < capacity - used - 1 ? length : capacity - used - 1;
        memcpy(into + used, value, length);
        used += length;
        text += taken;
        size -= taken;
    }
    into[used] = '\0';
}

static bool try_folders(struct search *search, const struct object *origin, const char *folders,
                        const char *name)
{
    while (folders != NULL && *folders != '\0') {
        char folder[LIMIT_DOCTOR_TEXT];
        char path[2 * LIMIT_DOCTOR_TEXT];
        size_t size = strcspn(folders, ":;");
        expand(search, origin, folders, size, folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/%s", folder[0] != '\0' ? folder : ".", name);
        if (try_path(search, path)) {
            return true;
        }
        folders += size + (folders[size] != '\0');
    }
    return false;
}

static bool try_cache(struct search *search, const char *name)
{
    for (size_t i = 0; i < LIMIT_DOCTOR_OBJECTS; i++) {
        char path[LIMIT_DOCTOR_TEXT + 1];
        struct slice found = loader_cache_find(search->cache, name, i);
        if (found.size == 0) {
            return false;
        }
        snprintf(path, sizeof(path), "%.*s", (int)found.size, (const char *)found.data);
        if (try_path(search, path)) {
            return true;
        }
    }
    return false;
}

static bool try_usual(struct search *search, const char *name)
{
    static const char glibc[] = "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:"
                                "/lib/i386-linux-gnu:/usr/lib/i386-linux-gnu:"
                                "/lib64:/usr/lib64:/lib:/usr/lib";
    static const char musl[] = "/lib:/usr/local/lib:/usr/lib:/lib/x86_64-linux-musl:"
                               "/usr/lib/x86_64-linux-musl";
    return try_folders(search, search->program, is_musl(search->program) ? musl : glibc, name);
}

/* ---- the search ---- */

static bool is_there(const struct search *search, const char *name)
{
    /* The loader's own name is that of a file that is mapped anyway. */
    const char *loader = search->program->interpreter;
    const char *slash = loader != NULL ? strrchr(loader, '/') : NULL;
    return libraries_find(search->libraries, name, false) != NULL ||
           text_list_has(&search->libraries->missing, name) ||
           (slash != NULL && strcmp(slash + 1, name) == 0);
}

/* musl's loader is its C library, under whatever name others ask for it. */
static bool is_loader_itself(const struct search *search, const char *name)
{
    return is_musl(search->program) &&
           (strncmp(name, "libc.", 5) == 0 || strncmp(name, "libpthread.", 11) == 0 ||
            strncmp(name, "libdl.", 6) == 0 || strncmp(name, "libm.", 5) == 0 ||
            strncmp(name, "librt.", 6) == 0);
}

static void find(struct search *search, const struct object *origin, const char *name)
{
    if (is_there(search, name) || is_loader_itself(search, name)) {
        return;
    }
    const struct object *program = search->program;
    bool is_found;
    if (strchr(name, '/') != NULL) {
        is_found = try_path(search, name);
    } else {
        bool uses_old = origin->run_path == NULL;
        is_found = (uses_old && try_folders(search, origin, origin->old_run_path, name)) ||
                   (uses_old && program->run_path == NULL && origin != program &&
                    try_folders(search, program, program->old_run_path, name)) ||
                   try_folders(search, program, search->search_path, name) ||
                   try_folders(search, origin, origin->run_path, name) || try_cache(search, name) ||
                   try_usual(search, name);
    }
    if (!is_found && !text_list_add(&search->libraries->missing, name, strlen(name))) {
        search->has_no_memory = true;
    }
}

/* What one object needs. Its place in memory changes with every one that is found: it is copied
   for the time. */
static void find_needed(struct search *search, struct object origin)
{
    struct libraries *libraries = search->libraries;
    for (size_t i = 0; i < origin.needed.count; i++) {
        if (libraries->count + libraries->missing.count >= LIMIT_DOCTOR_OBJECTS) {
            libraries->is_cut = true;
            return;
        }
        find(search, &origin, origin.needed.items[i]);
    }
}

bool libraries_resolve(struct libraries *libraries, const struct place *place,
                       const struct object *program, const char *search_path,
                       const struct text_list *wanted)
{
    *libraries = (struct libraries){0};
    struct search search = {
        .libraries = libraries,
        .place = place,
        .program = program,
        .search_path = search_path,
        .wanted = wanted,
        .cache = is_musl(program) ? (struct slice){0} : place_read(place, CACHE, CACHE_BYTES),
    };
    /* `origin` is compared with the program by address. */
    for (size_t i = 0; i < program->needed.count && !libraries->is_cut; i++) {
        if (libraries->count + libraries->missing.count >= LIMIT_DOCTOR_OBJECTS) {
            libraries->is_cut = true;
        } else {
            find(&search, program, program->needed.items[i]);
        }
    }
    for (size_t i = 0; i < libraries->count && !libraries->is_cut; i++) {
        find_needed(&search, libraries->items[i]);
    }
    free((void *)(size_t)search.cache.data);
    return !search.has_no_memory;
}

bool libraries_read(struct libraries *libraries, const struct place *place,
                    const struct text_list *paths, const struct text_list *wanted)
{
    *libraries = (struct libraries){0};
    for (size_t i = 0; i < paths->count; i++) {
        if (i >= LIMIT_DOCTOR_OBJECTS) {
            libraries->is_cut = true;
            return true;
        }
        struct slice bytes = place_read(place, paths->items[i], LIMIT_DOCTOR_FILE_BYTES);
        struct object *object = append(libraries);
        bool is_complete = object != NULL && object_inspect(object, paths->items[i], bytes, wanted);
        free((void *)(size_t)bytes.data);
        if (!is_complete) {
            return false;
        }
        if (!object->is_elf) {
            object_finish(object);
            libraries->count--;
        }
    }
    return true;
}

const struct object *libraries_find(const struct libraries *libraries, const char *name,
                                    bool is_prefix)
{
    for (size_t i = 0; i < libraries->count; i++) {
        const char *own = object_name(&libraries->items[i]);
        if (is_prefix ? strncmp(own, name, strlen(name)) == 0 : strcmp(own, name) == 0) {
            return &libraries->items[i];
        }
    }
    return NULL;
}

void libraries_finish(struct libraries *libraries)
{
    for (size_t i = 0; i < libraries->count; i++) {
        object_finish(&libraries->items[i]);
    }
    free(libraries->items);
    text_list_finish(&libraries->missing);
    *libraries = (struct libraries){0};
}
