#include "command/doctor/elf_image.h"

#include <elf.h>
#include <string.h>

#include "base/limits.h"

/* Where a field lies in the structures of the two classes. */
struct field {
    uint8_t offset_32;
    uint8_t size_32;
    uint8_t offset_64;
    uint8_t size_64;
};

#define FIELD(structure, member)                                                                   \
    {                                                                                              \
        offsetof(Elf32_##structure, member), sizeof(((Elf32_##structure *)0)->member),             \
            offsetof(Elf64_##structure, member), sizeof(((Elf64_##structure *)0)->member)          \
    }

static const struct field file_type = FIELD(Ehdr, e_type);
static const struct field file_machine = FIELD(Ehdr, e_machine);
static const struct field file_programs = FIELD(Ehdr, e_phoff);
static const struct field file_program_count = FIELD(Ehdr, e_phnum);
static const struct field file_sections = FIELD(Ehdr, e_shoff);
static const struct field file_section_count = FIELD(Ehdr, e_shnum);
static const struct field file_names = FIELD(Ehdr, e_shstrndx);
static const struct field program_type = FIELD(Phdr, p_type);
static const struct field program_offset = FIELD(Phdr, p_offset);
static const struct field program_address = FIELD(Phdr, p_vaddr);
static const struct field program_size = FIELD(Phdr, p_filesz);
static const struct field section_name = FIELD(Shdr, sh_name);
static const struct field section_offset = FIELD(Shdr, sh_offset);
static const struct field section_size = FIELD(Shdr, sh_size);
static const struct field dynamic_tag = FIELD(Dyn, d_tag);
static const struct field dynamic_value = FIELD(Dyn, d_un);
static const struct field symbol_name = FIELD(Sym, st_name);
static const struct field symbol_info = FIELD(Sym, st_info);
static const struct field symbol_section = FIELD(Sym, st_shndx);

#define SIZE_OF(image, structure)                                                                  \
    ((image)->is_64 ? sizeof(Elf64_##structure) : sizeof(Elf32_##structure))

/* ---- numbers and ranges ---- */

static struct slice range(struct slice bytes, uint64_t offset, uint64_t size)
{
    if (offset >= bytes.size) {
        return (struct slice){0};
    }
    uint64_t left = bytes.size - offset;
    return slice_of(bytes.data + offset, size < left ? size : left);
}

static uint64_t number_at(const struct elf_image *image, uint64_t offset, size_t size)
{
    struct slice found = range(image->bytes, offset, size);
    uint64_t number = 0;
    if (found.size < size) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        number = number << 8 | found.data[image->is_big_endian ? i : size - 1 - i];
    }
    return number;
}

/* `base` may be any number that the file holds: a sum that wraps ends in front of it. */
static uint64_t read_field(const struct elf_image *image, uint64_t base, struct field field)
{
    uint64_t offset = base + (image->is_64 ? field.offset_64 : field.offset_32);
    return offset < base ? 0
                         : number_at(image, offset, image->is_64 ? field.size_64 : field.size_32);
}

/* How many structures of that size the file has room for behind `offset`. */
static uint64_t fit(const struct elf_image *image, uint64_t offset, uint64_t count, uint64_t size)
{
    uint64_t room = offset < image->bytes.size ? (image->bytes.size - offset) / size : 0;
    return count < room ? count : room;
}

static struct slice text_at(struct slice bytes, uint64_t offset)
{
    struct slice rest = range(bytes, offset, LIMIT_DOCTOR_TEXT);
    const uint8_t *end = rest.size > 0 ? memchr(rest.data, '\0', rest.size) : NULL;
    return end != NULL ? slice_of(rest.data, (size_t)(end - rest.data)) : (struct slice){0};
}

/* ---- program headers ---- */

static uint64_t program_at(const struct elf_image *image, uint64_t index)
{
    return image->programs_offset + index * SIZE_OF(image, Phdr);
}

static struct slice program_bytes(const struct elf_image *image, uint64_t header)
{
    return range(image->bytes, read_field(image, header, program_offset),
                 read_field(image, header, program_size));
}

static struct slice find_program(const struct elf_image *image, uint32_t type)
{
    for (uint64_t i = 0; i < image->programs_count; i++) {
        uint64_t header = program_at(image, i);
        if (read_field(image, header, program_type) == type) {
            return program_bytes(image, header);
        }
    }
    return (struct slice){0};
}

/* The file's bytes from that address of the loaded program on. */
static struct slice loaded_at(const struct elf_image *image, uint64_t address)
{
    for (uint64_t i = 0; i < image->programs_count; i++) {
        uint64_t header = program_at(image, i);
        uint64_t start = read_field(image, header, program_address);
        if (read_field(image, header, program_type) == PT_LOAD && address >= start &&
            address - start < read_field(image, header, program_size)) {
            return range(program_bytes(image, header), address - start, UINT64_MAX);
        }
    }
    return (struct slice){0};
}

static uint64_t offset_of(const struct elf_image *image, struct slice part)
{
    return part.size > 0 ? (uint64_t)(part.data - image->bytes.data) : image->bytes.size;
}

/* ---- the dynamic section ---- */

static bool find_dynamic(const struct elf_image *image, int64_t wanted, size_t index,
                         uint64_t *value)
{
    uint64_t start = offset_of(image, image->dynamic);
    uint64_t size = SIZE_OF(image, Dyn);
    for (uint64_t at = 0; at + size <= image->dynamic.size; at += size) {
        uint64_t tag = read_field(image, start + at, dynamic_tag);
        if (tag == DT_NULL) {
            return false;
        }
        if (tag == (uint64_t)wanted && index-- == 0) {
            *value = read_field(image, start + at, dynamic_value);
            return true;
        }
    }
    return false;
}

uint64_t elf_image_dynamic_number(const struct elf_image *image, int64_t tag)
{
    uint64_t value = 0;
    return find_dynamic(image, tag, 0, &value) ? value : 0;
}

struct slice elf_image_dynamic_text(const struct elf_image *image, int64_t tag, size_t index)
{
    uint64_t offset = 0;
    return find_dynamic(image, tag, index, &offset) ? text_at(image->strings, offset)
                                                    : (struct slice){0};
}

/* The number of symbols stands nowhere: the older hash table has as many chains, and in the newer
   one the last chain ends with the last symbol. */
static uint64_t count_by_gnu_hash(const struct elf_image *image, uint64_t table)
{
    uint64_t buckets = number_at(image, table, 4);
    uint64_t first = number_at(image, table + 4, 4);
    uint64_t blooms = number_at(image, table + 8, 4);
    uint64_t at = table + 16 + blooms * (image->is_64 ? 8 : 4);
    uint64_t last = 0;
    buckets = fit(image, at, buckets, 4);
    for (uint64_t i = 0; i < buckets; i++) {
        uint64_t symbol = number_at(image, at + 4 * i, 4);
        last = symbol > last ? symbol : last;
    }
    if (last < first) {
        return first; /* only imported ones */
    }
    uint64_t chain = at + 4 * buckets + 4 * (last - first);
    while (chain + 4 <= image->bytes.size && (number_at(image, chain, 4) & 1) == 0) {
        chain += 4;
        last++;
    }
    return last + 1;
}

static uint64_t count_symbols(const struct elf_image *image)
{
    struct slice hash = loaded_at(image, elf_image_dynamic_number(image, DT_HASH));
    if (elf_image_dynamic_number(image, DT_HASH) != 0) {
        return number_at(image, offset_of(image, hash) + 4, 4);
    }
    struct slice table = loaded_at(image, elf_image_dynamic_number(image, DT_GNU_HASH));
    return table.size > 0 ? count_by_gnu_hash(image, offset_of(image, table)) : 0;
}

static void find_tables(struct elf_image *image)
{
    image->dynamic = find_program(image, PT_DYNAMIC);
    struct slice strings = loaded_at(image, elf_image_dynamic_number(image, DT_STRTAB));
    image->strings = range(strings, 0, elf_image_dynamic_number(image, DT_STRSZ));
    struct slice symbols = loaded_at(image, elf_image_dynamic_number(image, DT_SYMTAB));
    image->symbols_offset = offset_of(image, symbols);
    image->symbols_count =
        fit(image, image->symbols_offset, count_symbols(image), SIZE_OF(image, Sym));
}

struct slice elf_image_interpreter(const struct elf_image *image)
{
    return text_at(find_program(image, PT_INTERP), 0);
}

struct elf_symbol elf_image_symbol(const struct elf_image *image, uint64_t index)
{
    uint64_t at = image->symbols_offset + index * SIZE_OF(image, Sym);
    uint64_t binding = read_field(image, at, symbol_info) >> 4;
    return (struct elf_symbol){
        .name = text_at(image->strings, read_field(image, at, symbol_name)),
        .is_defined = read_field(image, at, symbol_section) != SHN_UNDEF,
        .is_weak = binding == STB_WEAK,
        .is_local = binding == STB_LOCAL,
    };
}

/* ---- sections and notes ---- */

static bool has_text(struct slice bytes, uint64_t offset, const char *wanted)
{
    size_t size = strlen(wanted) + 1;
    return slice_equals(range(bytes, offset, size), slice_of(wanted, size));
}

bool elf_image_has_section(const struct elf_image *image, const char *name)
{
    uint64_t size = SIZE_OF(image, Shdr);
    uint64_t index = read_field(image, 0, file_names);
    if (index >= image->sections_count) {
        return false;
    }
    uint64_t header = image->sections_offset + index * size;
    struct slice names = range(image->bytes, read_field(image, header, section_offset),
                               read_field(image, header, section_size));
    for (uint64_t i = 0; i < image->sections_count; i++) {
        header = image->sections_offset + i * size;
        if (has_text(names, read_field(image, header, section_name), name)) {
            return true;
        }
    }
    return false;
}

static uint64_t round_up(uint64_t size)
{
    return (size + 3) & ~UINT64_C(3);
}

static bool notes_have(const struct elf_image *image, struct slice notes, const char *owner)
{
    while (notes.size >= 12) {
        uint64_t at = offset_of(image, notes);
        uint64_t name_size = number_at(image, at, 4);
        uint64_t size = 12 + round_up(name_size) + round_up(number_at(image, at + 4, 4));
        if (has_text(range(notes, 12, name_size), 0, owner)) {
            return true;
        }
        notes = range(notes, size, UINT64_MAX);
    }
    return false;
}

bool elf_image_has_note(const struct elf_image *image, const char *owner)
{
    for (uint64_t i = 0; i < image->programs_count; i++) {
        uint64_t header = program_at(image, i);
        if (read_field(image, header, program_type) == PT_NOTE &&
            notes_have(image, program_bytes(image, header), owner)) {
            return true;
        }
    }
    return false;
}

/* ---- opening ---- */

bool elf_image_open(struct slice bytes, struct elf_image *image)
{
    if (bytes.size < sizeof(Elf32_Ehdr) || memcmp(bytes.data, ELFMAG, SELFMAG) != 0) {
        return false;
    }
    struct elf_image opened = {
        .bytes = bytes,
        .is_64 = bytes.data[EI_CLASS] == ELFCLASS64,
        .is_big_endian = bytes.data[EI_DATA] == ELFDATA2MSB,
    };
    if (bytes.size < SIZE_OF(&opened, Ehdr)) {
        return false;
    }
    opened.type = (uint16_t)read_field(&opened, 0, file_type);
    opened.machine = (uint16_t)read_field(&opened, 0, file_machine);
    opened.programs_offset = read_field(&opened, 0, file_programs);
    opened.programs_count = fit(&opened, opened.programs_offset,
                                read_field(&opened, 0, file_program_count), SIZE_OF(&opened, Phdr));
    opened.sections_offset = read_field(&opened, 0, file_sections);
    opened.sections_count = fit(&opened, opened.sections_offset,
                                read_field(&opened, 0, file_section_count), SIZE_OF(&opened, Shdr));
    find_tables(&opened);
    *image = opened;
    return true;
}
