#include "process/rules_files.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/system_call.h"
#include "rules/shipped.h"

#define FILES_MAX  8u
#define PATH_BYTES 1024u

/* Parsed twice: the first time alone, to see whether it is right. */
struct loading {
    struct rules rules;
    struct rules trial;
    char path[PATH_BYTES];
    char complaint[PATH_BYTES + 300];
    char text[LIMIT_RULE_FILE_BYTES + 1];
};

static void *map(size_t size)
{
    long address = raw_system_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address < 0 && address > -4096 ? NULL : (void *)address;
}

static long read_file(const char *path, char *into, size_t capacity)
{
    long fd = raw_system_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    long used = 0;
    if (fd < 0) {
        return fd;
    }
    for (;;) {
        long got =
            raw_system_call(SYS_read, fd, (long)(into + used), (long)capacity - used, 0, 0, 0);
        if (got <= 0) {
            break;
        }
        used += got;
    }
    raw_system_call(SYS_close, fd, 0, 0, 0, 0, 0);
    return used;
}

static char *append(char *at, const char *end, const char *text)
{
    while (*text != '\0' && at + 1 < end) {
        *at++ = *text++;
    }
    *at = '\0';
    return at;
}

static char *append_number(char *at, const char *end, uint32_t number)
{
    char digits[11];
    size_t first = sizeof digits - 1;
    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return append(at, end, digits + first);
}

static void complain_of(struct loading *loading, const struct rules_error *error,
                        rules_complaint *complain)
{
    char *at = loading->complaint;
    const char *end = at + sizeof loading->complaint;
    at = append(at, end, loading->path);
    if (error->line > 0) {
        at = append(at, end, ":");
        at = append_number(at, end, error->line);
    }
    at = append(at, end, ": ");
    append(at, end, error->text);
    complain(loading->complaint);
}

/* A file that is wrong changes nothing. */
static bool add_file(struct loading *loading, uint8_t number, rules_complaint *complain)
{
    struct rules_error error = {.text = "the file cannot be read"};
    long size = read_file(loading->path, loading->text, sizeof loading->text);
    memcpy(&loading->trial, &loading->rules, sizeof loading->trial);
    if (size < 0 ||
        !rules_parse(&loading->trial, number, slice_of(loading->text, (size_t)size), &error)) {
        complain_of(loading, &error, complain);
        return false;
    }
    memcpy(&loading->rules, &loading->trial, sizeof loading->rules);
    return true;
}

/* Shipped rules of a queue that the user's own describe give way to them. */
static bool add_shipped(struct loading *loading, struct rules_error *error)
{
    for (uint32_t i = 0; rules_shipped_file(i) != NULL; i++) {
        memcpy(&loading->trial, &loading->rules, sizeof loading->trial);
        if (rules_parse(&loading->trial, (uint8_t)(FILES_MAX + i), rules_shipped_file(i)->text,
                        error)) {
            memcpy(&loading->rules, &loading->trial, sizeof loading->rules);
        }
    }
    return rules_finish(&loading->rules, error);
}

static bool take_path(struct slice *paths, char path[PATH_BYTES])
{
    while (paths->size > 0 && paths->data[0] == ':') {
        slice_take(paths, 1);
    }
    size_t size = 0;
    while (size < paths->size && paths->data[size] != ':') {
        size++;
    }
    struct slice taken = slice_take(paths, size);
    size = size < PATH_BYTES ? size : PATH_BYTES - 1;
    if (size > 0) {
        memcpy(path, taken.data, size);
    }
    path[size] = '\0';
    return size > 0;
}

const struct rules *rules_files_load(struct slice paths, rules_complaint *complain)
{
    struct loading *loading = map(sizeof *loading);
    struct rules_error error = {0};
    uint8_t count = 0;
    if (loading == NULL) {
        return NULL;
    }
    rules_init(&loading->rules);
    while (count < FILES_MAX && take_path(&paths, loading->path)) {
        count += add_file(loading, count, complain);
    }
    if (count > 0 && add_shipped(loading, &error)) {
        return &loading->rules;
    }
    if (count > 0) {
        append(loading->path, loading->path + PATH_BYTES, "WIRESPAN_RULES");
        complain_of(loading, &error, complain);
    }
    raw_system_call(SYS_munmap, (long)loading, sizeof *loading, 0, 0, 0, 0);
    return NULL;
}
