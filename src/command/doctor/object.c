#include "command/doctor/object.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "command/doctor/elf_image.h"
#include "command/doctor/tls_library.h"

static bool keep_text(char **into, struct slice text)
{
    if (text.size == 0) {
        return true;
    }
    *into = strndup((const char *)text.data, text.size);
    return *into != NULL;
}

static bool is_name(struct slice found, const char *name)
{
    return slice_equals(found, slice_of(name, strlen(name)));
}

static bool is_wanted(const struct text_list *wanted, struct slice name)
{
    if (wanted == NULL) {
        return name.size > 0;
    }
    for (size_t i = 0; i < wanted->count; i++) {
        if (is_name(name, wanted->items[i])) {
            return true;
        }
    }
    return false;
}

static void note_import(struct object *object, struct slice name)
{
    object->uses_io_uring |= slice_starts_with(name, SLICE("io_uring_"));
    object->opens_objects |= is_name(name, "dlopen") || is_name(name, "dlmopen");
}

static void note_export(struct object *object, struct slice name)
{
    object->is_node |= is_name(name, "napi_module_register");
    object->is_python |= is_name(name, "Py_AddPendingCall");
    for (size_t i = 0; i < object->tls_inside; i++) {
        if (tls_libraries[i].symbol != NULL && is_name(name, tls_libraries[i].symbol)) {
            object->tls_inside = i;
        }
    }
}

/* Only once it is known which library is inside: the order of symbols is anybody's. */
static void look_for_companion(struct object *object, const struct elf_image *image)
{
    const char *companion = object->tls_inside < tls_library_count
                                ? tls_libraries[object->tls_inside].patched_beside
                                : NULL;
    for (uint64_t i = 0; companion != NULL && i < image->symbols_count; i++) {
        struct elf_symbol symbol = elf_image_symbol(image, i);
        object->is_patched |= symbol.is_defined && is_name(symbol.name, companion);
    }
}

static bool take_symbols(struct object *object, const struct elf_image *image,
                         const struct text_list *wanted)
{
    for (uint64_t i = 0; i < image->symbols_count; i++) {
        struct elf_symbol symbol = elf_image_symbol(image, i);
        if (symbol.is_local) {
            continue;
        }
        if (symbol.is_defined) {
            note_export(object, symbol.name);
        } else {
            note_import(object, symbol.name);
        }
        /* What is absent without harm is no import that anything depends on. */
        bool is_kept = is_wanted(wanted, symbol.name) &&
                       (wanted != NULL || !symbol.is_weak || symbol.is_defined);
        struct text_list *list = symbol.is_defined ? &object->exports : &object->imports;
        if (is_kept && !text_list_add(list, (const char *)symbol.name.data, symbol.name.size)) {
            return false;
        }
    }
    return true;
}

static bool take_needed(struct object *object, const struct elf_image *image)
{
    for (size_t i = 0; i < LIMIT_DOCTOR_OBJECTS; i++) {
        struct slice name = elf_image_dynamic_text(image, DT_NEEDED, i);
        if (name.size == 0) {
            return true;
        }
        if (!text_list_add(&object->needed, (const char *)name.data, name.size)) {
            return false;
        }
    }
    return true;
}

static void look_for_tls_text(struct object *object, struct slice bytes)
{
    for (size_t i = 0; i < object->tls_inside; i++) {
        const char *text = tls_libraries[i].text;
        if (text != NULL && memmem(bytes.data, bytes.size, text, strlen(text)) != NULL) {
            object->tls_inside = i;
        }
    }
}

bool object_inspect(struct object *object, const char *path, struct slice bytes,
                    const struct text_list *wanted)
{
    struct elf_image image;
    *object = (struct object){.path = strdup(path), .tls_inside = tls_library_count};
    if (object->path == NULL) {
        return false;
    }
    object->is_elf = elf_image_open(bytes, &image);
    if (!object->is_elf) {
        return true;
    }
    object->is_64 = image.is_64;
    object->is_big_endian = image.is_big_endian;
    object->machine = image.machine;
    object->is_loadable = image.dynamic.size > 0;
    object->is_go = elf_image_has_section(&image, ".go.buildinfo") ||
                    elf_image_has_section(&image, ".note.go.buildid") ||
                    elf_image_has_note(&image, "Go");
    bool is_complete =
        keep_text(&object->interpreter, elf_image_interpreter(&image)) &&
        keep_text(&object->run_path, elf_image_dynamic_text(&image, DT_RUNPATH, 0)) &&
        keep_text(&object->old_run_path, elf_image_dynamic_text(&image, DT_RPATH, 0)) &&
        take_needed(object, &image) && take_symbols(object, &image, wanted);
    if (tls_library_of_file(object_name(object)) == tls_library_count) {
        look_for_tls_text(object, bytes);
        look_for_companion(object, &image);
    } else {
        object->tls_inside = tls_library_count; /* it is the library itself */
    }
    return is_complete;
}

void object_finish(struct object *object)
{
    free(object->path);
    free(object->interpreter);
    free(object->run_path);
    free(object->old_run_path);
    text_list_finish(&object->needed);
    text_list_finish(&object->imports);
    text_list_finish(&object->exports);
    *object = (struct object){0};
}

bool object_is_compatible(const struct object *a, const struct object *b)
{
    return a->is_elf && b->is_elf && a->is_64 == b->is_64 && a->is_big_endian == b->is_big_endian &&
           a->machine == b->machine;
}

const char *object_machine_name(const struct object *object, char into[32])
{
    switch (object->machine) {
    case EM_X86_64:
        return object->is_64 ? "x86-64" : "x32";
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "aarch64";
    case EM_ARM:
        return "arm";
    case EM_RISCV:
        return object->is_64 ? "riscv64" : "riscv32";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390";
    default:
        snprintf(into, 32, "machine %u", (unsigned)object->machine);
        return into;
    }
}

const char *object_name(const struct object *object)
{
    const char *slash = strrchr(object->path, '/');
    return slash != NULL ? slash + 1 : object->path;
}
