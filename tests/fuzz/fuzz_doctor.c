/*
 * What `wirespan doctor` reads that others wrote: ELF files, the loader's cache, the texts of
 * /proc. Each reader gets each input.
 *
 * Whatever comes, names are whole: of no length beyond the limit, without a NUL inside.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "command/doctor/loader_cache.h"
#include "command/doctor/object.h"
#include "command/doctor/process_view.h"
#include "command/doctor/tls_library.h"

static void check_names(const struct text_list *names)
{
    for (size_t i = 0; i < names->count; i++) {
        size_t size = strlen(names->items[i]);
        if (size == 0 || size >= LIMIT_DOCTOR_TEXT) {
            fuzz_fail("a name of no length, or beyond the limit");
        }
    }
}

static void read_object(struct slice input)
{
    struct object object;
    if (!object_inspect(&object, "a/file", input, NULL)) {
        abort();
    }
    check_names(&object.needed);
    check_names(&object.imports);
    check_names(&object.exports);
    if (object.tls_inside > tls_library_count || object.needed.count > LIMIT_DOCTOR_OBJECTS) {
        fuzz_fail("a number beyond its limit");
    }
    if (!object.is_elf && (object.interpreter != NULL || object.needed.count > 0)) {
        fuzz_fail("something was read of what is no ELF file");
    }
    object_finish(&object);
}

static void read_cache(struct slice input)
{
    for (size_t i = 0; i < 3; i++) {
        struct slice found = loader_cache_find(input, "libz.so.1", i);
        if (found.size > 0 && (found.data < input.data || found.size > input.size)) {
            fuzz_fail("a path from outside the cache");
        }
    }
}

static void read_texts(struct slice input)
{
    struct process_view view = {.place = {-1}, .executable_file = -1};
    pid_t parent;
    char *text = strndup((const char *)input.data, input.size);
    if (text == NULL || !process_view_take_maps(&view, text)) {
        abort();
    }
    process_view_take_status(&view, text, &parent);
    check_names(&view.mapped);
    free(text);
    process_view_finish(&view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_of(data, size);
    uint8_t *exact = fuzz_exact_copy(input);
    input.data = exact;
    read_object(input);
    read_cache(input);
    read_texts(input);
    free(exact);
    return 0;
}
