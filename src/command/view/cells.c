#include "command/view/cells.h"

#include <stdint.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

/* One character to show: its bytes and its cells. */
struct character {
    const char *bytes;
    size_t size;
    size_t cells;
    size_t read; /* bytes of the text that it stands for */
};

/* Decodes one character of UTF-8. Returns its size, 0 if the bytes are none: too long forms,
   surrogates and what lies beyond Unicode included. */
static size_t decode(const unsigned char *text, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = text[0] < 0xC2   ? 0
                  : text[0] < 0xE0 ? 2
                  : text[0] < 0xF0 ? 3
                  : text[0] < 0xF5 ? 4
                                   : 0;
    if (size == 0) {
        return 0;
    }
    *code = text[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (text[i] & 0x3Fu);
    }
    bool is_surrogate = *code >= 0xD800 && *code < 0xE000;
    return *code < smallest[size] || *code > 0x10FFFF || is_surrogate ? 0 : size;
}

/* Marks, embeddings, overrides and isolates of direction, and line and paragraph separators. */
static bool moves_text(uint32_t code)
{
    return (code >= 0x200E && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0x061C;
}

static struct character next_character(const char *text, bool utf8)
{
    unsigned char first = (unsigned char)*text;
    if (first < 0x80) {
        bool is_blank = first == '\t' || first == '\n' || first == '\r';
        bool is_control = first < 0x20 || first == 0x7F;
        return (struct character){is_blank ? " " : is_control ? "?" : text, 1, 1, 1};
    }
    uint32_t code = 0;
    size_t size = decode((const unsigned char *)text, &code);
    if (size == 0) {
        return (struct character){"?", 1, 1, 1};
    }
    if (!utf8 || moves_text(code) || (code >= 0x80 && code < 0xA0)) {
        return (struct character){"?", 1, 1, size};
    }
    /* A locale that does not know the character says -1; most characters take one cell. */
    int width = wcwidth((wchar_t)code);
    return (struct character){text, size, width < 0 ? 1 : (size_t)width, size};
}

static size_t measure(const char *text, size_t size, bool utf8)
{
    size_t cells = 0;
    for (const char *end = text + size; text < end;) {
        struct character character = next_character(text, utf8);
        cells += character.cells;
        text += character.read;
    }
    return cells;
}

size_t cells_measure(const char *text, bool utf8)
{
    return measure(text, strlen(text), utf8);
}

size_t cells_write(FILE *out, const char *text, size_t size, size_t room, bool utf8)
{
    bool is_cut = measure(text, size, utf8) > room;
    const char *sign = utf8 ? "\u2026" : "~";
    size_t limit = is_cut && room > 0 ? room - 1 : room;
    size_t cells = 0;
    for (const char *end = text + size; text < end;) {
        struct character character = next_character(text, utf8);
        if (cells + character.cells > limit) {
            break;
        }
        fwrite(character.bytes, 1, character.size, out);
        cells += character.cells;
        text += character.read;
    }
    if (is_cut && room > 0) {
        fputs(sign, out);
        cells++;
    }
    return cells;
}
