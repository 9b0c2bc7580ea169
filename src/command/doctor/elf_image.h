/*
 * An ELF file in memory, of either class and byte order, as the loader would see it.
 *
 * The file is anybody's: every offset in it is checked against the file's size, and what lies
 * beyond reads as zero or empty. Nothing is allocated; slices point into the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct elf_image {
    struct slice bytes;
    bool is_64;
    bool is_big_endian;
    uint16_t type;
    uint16_t machine;
    uint64_t programs_offset;
    uint64_t programs_count;
    uint64_t sections_offset;
    uint64_t sections_count;
    struct slice dynamic; /* the dynamic section's entries; empty in a static file */
    struct slice strings; /* what its names are offsets into */
    uint64_t symbols_offset;
    uint64_t symbols_count;
};

struct elf_symbol {
    struct slice name;
    bool is_defined;
    bool is_weak;
    bool is_local;
};

/* Looks at the headers. False (nothing written) if this is no ELF file, or one whose header is cut
   short. */
bool elf_image_open(struct slice bytes, struct elf_image *image);

/* The program that loads this one; empty in a static file and in most libraries. */
struct slice elf_image_interpreter(const struct elf_image *image);

/* The `index`th dynamic entry with that tag, as a string or as a number; empty or 0 without one. */
struct slice elf_image_dynamic_text(const struct elf_image *image, int64_t tag, size_t index);
uint64_t elf_image_dynamic_number(const struct elf_image *image, int64_t tag);

/* A dynamic symbol; `index` is below symbols_count. */
struct elf_symbol elf_image_symbol(const struct elf_image *image, uint64_t index);

/* Whether there is a section of that name, or a note of that owner. */
bool elf_image_has_section(const struct elf_image *image, const char *name);
bool elf_image_has_note(const struct elf_image *image, const char *owner);
