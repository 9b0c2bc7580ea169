#include "worker/runtime.h"

#include <stdio.h>

#include "worker/proc_file.h"

#define PATH_BYTES 512

/* Where a runtime's version stands, if not in its file's name. */
enum version_file { VERSION_IN_NAME, VERSION_IN_NODE_HEADER, VERSION_IN_JAVA_RELEASE };

static const struct {
    const char *file; /* a version may follow */
    const char *name;
    enum version_file version;
} runtimes[] = {
    {"python", "cpython", VERSION_IN_NAME},
    {"node", "nodejs", VERSION_IN_NODE_HEADER},
    {"nodejs", "nodejs", VERSION_IN_NODE_HEADER},
    {"java", "", VERSION_IN_JAVA_RELEASE},
    {"ruby", "ruby", VERSION_IN_NAME},
    {"php", "php", VERSION_IN_NAME},
    {"php-fpm", "php", VERSION_IN_NAME},
    {"php-cgi", "php", VERSION_IN_NAME},
    {"perl", "perl", VERSION_IN_NAME},
};

static struct slice text_slice(const char *text)
{
    return slice_of(text, strlen(text));
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Numbers with dots between. */
static bool is_version(struct slice text)
{
    bool was_digit = false;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i]) && !(text.data[i] == '.' && was_digit)) {
            return false;
        }
        was_digit = is_digit(text.data[i]);
    }
    return was_digit;
}

static void set_version(struct runtime *runtime, struct slice version)
{
    if (version.size > 0 && version.size <= sizeof(runtime->text) && is_version(version)) {
        memcpy(runtime->text, version.data, version.size);
        runtime->version = slice_of(runtime->text, version.size);
    }
}

/* ---- files beside the executable ---- */

/* The first word behind `key` at a line's beginning, without quotes. */
static struct slice value_of(struct slice text, struct slice key)
{
    while (text.size > 0) {
        const uint8_t *newline = memchr(text.data, '\n', text.size);
        size_t size = newline != NULL ? (size_t)(newline - text.data) : text.size;
        struct slice line = slice_of(text.data, size);
        slice_take(&text, newline != NULL ? size + 1 : size);
        if (!slice_starts_with(line, key)) {
            continue;
        }
        slice_take(&line, key.size);
        while (line.size > 0 && (line.data[0] == ' ' || line.data[0] == '"')) {
            slice_take(&line, 1);
        }
        while (line.size > 0 &&
               (line.data[line.size - 1] == '"' || line.data[line.size - 1] == '\r')) {
            line.size--;
        }
        return line;
    }
    return (struct slice){NULL, 0};
}

static void read_node_header(struct runtime *runtime, struct slice header)
{
    struct slice major = value_of(header, SLICE("#define NODE_MAJOR_VERSION "));
    struct slice minor = value_of(header, SLICE("#define NODE_MINOR_VERSION "));
    struct slice patch = value_of(header, SLICE("#define NODE_PATCH_VERSION "));
    char text[RUNTIME_VERSION_BYTES];
    int size = snprintf(text, sizeof(text), "%.*s.%.*s.%.*s", (int)major.size,
                        (const char *)major.data, (int)minor.size, (const char *)minor.data,
                        (int)patch.size, (const char *)patch.data);
    if (major.size > 0 && minor.size > 0 && patch.size > 0 && (size_t)size < sizeof(text)) {
        set_version(runtime, slice_of(text, (size_t)size));
    }
}

static void read_java_release(struct runtime *runtime, struct slice release)
{
    struct slice maker = value_of(release, SLICE("IMPLEMENTOR="));
    /* Oracle makes both OpenJDK and its own; all others build the former. */
    if (maker.size > 0 && !slice_equals(maker, SLICE("Oracle Corporation"))) {
        runtime->name = SLICE("OpenJDK Runtime Environment");
    }
    set_version(runtime, value_of(release, SLICE("JAVA_VERSION=")));
}

/* The folder above that of the executable, which is bin. */
static bool find_prefix(struct slice executable, struct slice *prefix)
{
    static const char bin[] = "/bin";
    size_t size = executable.size;
    while (size > 0 && executable.data[size - 1] != '/') {
        size--;
    }
    struct slice folder = slice_of(executable.data, size > 0 ? size - 1 : 0);
    size_t tail = sizeof(bin) - 1;
    if (folder.size < tail || memcmp(folder.data + folder.size - tail, bin, tail) != 0) {
        return false;
    }
    *prefix = slice_of(folder.data, folder.size - tail);
    return true;
}

static struct slice read_beside(const char *root, int32_t process_id, struct slice executable,
                                const char *file, char *buffer, size_t capacity)
{
    char path[PATH_BYTES];
    struct slice prefix;
    if (!find_prefix(executable, &prefix)) {
        return (struct slice){NULL, 0};
    }
    int size = snprintf(path, sizeof(path), "root%.*s/%s", (int)prefix.size,
                        (const char *)prefix.data, file);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return (struct slice){NULL, 0};
    }
    return proc_file_read_of(root, process_id, path, buffer, capacity);
}

/* ---- the executable ---- */

static struct slice base_name(struct slice path)
{
    for (size_t i = path.size; i > 0; i--) {
        if (path.data[i - 1] == '/') {
            return slice_of(path.data + i, path.size - i);
        }
    }
    return path;
}

/* Whether `name` is that of the runtime, alone or with a version behind it. */
static bool is_named(struct slice name, const char *file, struct slice *version)
{
    if (!slice_starts_with(name, text_slice(file))) {
        return false;
    }
    *version = name;
    slice_take(version, strlen(file));
    return version->size == 0 || is_version(*version);
}

void runtime_detect(struct runtime *runtime, const char *root, int32_t process_id,
                    struct slice executable, char *buffer, size_t capacity)
{
    struct slice version = {NULL, 0};
    size_t i = 0;
    size_t count = sizeof(runtimes) / sizeof(runtimes[0]);
    *runtime = (struct runtime){.name = {NULL, 0}};
    while (i < count && !is_named(base_name(executable), runtimes[i].file, &version)) {
        i++;
    }
    if (i == count) {
        return;
    }
    runtime->name = text_slice(runtimes[i].name);
    switch (runtimes[i].version) {
    case VERSION_IN_NAME:
        /* "python3" says less than anybody wants to know. */
        if (version.size > 0 && memchr(version.data, '.', version.size) != NULL) {
            set_version(runtime, version);
        }
        break;
    case VERSION_IN_NODE_HEADER:
        read_node_header(runtime, read_beside(root, process_id, executable,
                                              "include/node/node_version.h", buffer, capacity));
        break;
    case VERSION_IN_JAVA_RELEASE:
        read_java_release(runtime,
                          read_beside(root, process_id, executable, "release", buffer, capacity));
        break;
    }
}
