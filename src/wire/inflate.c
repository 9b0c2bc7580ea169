#include "wire/inflate.h"

#include "base/compiler.h"

enum state {
    STATE_MEMBER, /* a frame begins, or what is behind one */
    STATE_GZIP_FLAGS,
    STATE_GZIP_EXTRA_SIZE,
    STATE_GZIP_EXTRA,
    STATE_GZIP_NAME,
    STATE_GZIP_COMMENT,
    STATE_GZIP_CHECK,
    STATE_BLOCK,
    STATE_STORED_SIZE,
    STATE_STORED,
    STATE_COUNTS,
    STATE_LENGTHS_CODE,
    STATE_LENGTHS,
    STATE_SYMBOLS,
    STATE_TRAILER,
    STATE_DONE,
    STATE_LOST
};

/* What a step came to. */
enum step { STEP_ON, STEP_NEED_MORE, STEP_NEED_PAGE, STEP_PAGE_FULL, STEP_BLOCK_END, STEP_LOST };

enum { GZIP_CHECK = 2, GZIP_EXTRA = 4, GZIP_NAME = 8, GZIP_COMMENT = 16, GZIP_UNKNOWN = 0xE0 };

#define CODE_BITS       15u
#define END_OF_BLOCK    256u
#define LITERALS_MOST   286u
#define DISTANCES_MOST  30u
#define REPEATED_ZEROS  11u /* the most that one short symbol stands for, and one long one */
#define FIXED_LITERALS  288u
#define FIXED_DISTANCES 32u

/* Of codes that are no symbol's: more bits are needed, or there is none. */
#define SYMBOL_SHORT (-1)
#define SYMBOL_NONE  (-2)

/* RFC 1951, 3.2.5. */
static const uint16_t length_bases[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                          15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                          67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                        2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_bases[30] = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};

void inflate_init(struct inflate *reader, struct inflate_literals *literals,
                  enum inflate_framing framing)
{
    memset(reader, 0, sizeof(*reader));
    reader->literals = literals;
    reader->framing = (uint8_t)framing;
    reader->state =
        framing == INFLATE_BARE || framing == INFLATE_MESSAGES ? STATE_BLOCK : STATE_MEMBER;
}

void inflate_lend_page(struct inflate *reader, uint8_t *page)
{
    reader->pages[reader->at / LIMIT_INFLATE_PAGE] = page;
}

void inflate_forget(struct inflate *reader)
{
    reader->bits = 0;
    reader->bit_count = 0;
    reader->history = 0;
    reader->at = 0;
    reader->told = 0;
    reader->left = 0;
    reader->is_last = false;
    reader->state = STATE_BLOCK;
}

/* ---- bits ---- */

/* Makes `count` bits available, at most 32. */
static bool need_bits(struct inflate *reader, struct slice *in, unsigned count)
{
    while (reader->bit_count < count) {
        if (in->size == 0) {
            return false;
        }
        reader->bits |= (uint64_t)slice_take(in, 1).data[0] << reader->bit_count;
        reader->bit_count += 8;
    }
    return true;
}

static uint32_t take_bits(struct inflate *reader, unsigned count)
{
    uint32_t value = (uint32_t)(reader->bits & ((UINT64_C(1) << count) - 1));
    reader->bits >>= count;
    reader->bit_count -= count;
    return value;
}

/* What is `left` of bytes that nobody wants; false: more of them are to come. */
static bool skip_bytes(struct inflate *reader, struct slice *in)
{
    while (reader->left > 0 && need_bits(reader, in, 8)) {
        take_bits(reader, 8);
        reader->left--;
    }
    return reader->left == 0;
}

static void skip_to_byte(struct inflate *reader)
{
    take_bits(reader, reader->bit_count % 8);
}

/* ---- codes ---- */

/* Counts the codes of each length. False if no set of codes has these lengths; one that leaves
   codes unused is one only if it has a single code of one bit, or none, and `may_be_partial`. */
static bool count_codes(const uint8_t *lengths, unsigned size, uint16_t counts[16],
                        bool may_be_partial)
{
    int left = 1;
    unsigned longest = 0;
    memset(counts, 0, 16 * sizeof(counts[0]));
    for (unsigned i = 0; i < size; i++) {
        counts[lengths[i]]++;
    }
    counts[0] = 0;
    for (unsigned bits = 1; bits <= CODE_BITS; bits++) {
        left = 2 * left - counts[bits];
        if (left < 0) {
            return false;
        }
        longest = counts[bits] > 0 ? bits : longest;
    }
    return left == 0 || (may_be_partial && longest <= 1);
}

/* Of each length the first code, and the place of its symbol among those in order. */
struct code_starts {
    uint16_t code[16];
    uint16_t place[16];
};

static void find_starts(const uint16_t counts[16], struct code_starts *starts)
{
    unsigned code = 0;
    unsigned place = 0;
    for (unsigned bits = 1; bits <= CODE_BITS; bits++) {
        starts->code[bits] = (uint16_t)code;
        starts->place[bits] = (uint16_t)place;
        code = (code + counts[bits]) << 1;
        place += counts[bits];
    }
}

/* Codes stand in the stream with their first bit first, numbers with their last. */
static unsigned reverse(unsigned code, unsigned bits)
{
    unsigned reversed = 0;
    for (unsigned i = 0; i < bits; i++) {
        reversed = reversed << 1 | (code >> i & 1u);
    }
    return reversed;
}

static bool build_literals(struct inflate_literals *codes, const uint8_t *lengths, unsigned size)
{
    struct code_starts starts;
    if (!count_codes(lengths, size, codes->counts, true)) {
        return false;
    }
    find_starts(codes->counts, &starts);
    memset(codes->fast, 0, sizeof(codes->fast));
    memset(codes->above, 0, sizeof(codes->above));
    for (unsigned symbol = 0; symbol < size; symbol++) {
        unsigned bits = lengths[symbol];
        if (bits == 0) {
            continue;
        }
        unsigned place = starts.place[bits]++;
        unsigned code = reverse(starts.code[bits]++, bits);
        codes->symbols[place] = (uint8_t)symbol;
        codes->above[place / 8] |= (uint8_t)(symbol >> 8 << place % 8);
        for (; bits <= INFLATE_LITERAL_BITS && code < 1u << INFLATE_LITERAL_BITS;
             code += 1u << bits) {
            codes->fast[code] = (uint16_t)(symbol << 4 | bits);
        }
    }
    return true;
}

static bool build_distances(struct inflate_distances *codes, const uint8_t *lengths, unsigned size,
                            bool may_be_partial)
{
    struct code_starts starts;
    if (!count_codes(lengths, size, codes->counts, may_be_partial)) {
        return false;
    }
    find_starts(codes->counts, &starts);
    memset(codes->fast, 0, sizeof(codes->fast));
    for (unsigned symbol = 0; symbol < size; symbol++) {
        unsigned bits = lengths[symbol];
        if (bits == 0) {
            continue;
        }
        codes->symbols[starts.place[bits]++] = (uint8_t)symbol;
        unsigned code = reverse(starts.code[bits]++, bits);
        for (; bits <= INFLATE_DISTANCE_BITS && code < 1u << INFLATE_DISTANCE_BITS;
             code += 1u << bits) {
            codes->fast[code] = (uint8_t)(symbol << 3 | bits);
        }
    }
    return true;
}

/* The place of the symbol whose code comes next, bit by bit; or SYMBOL_SHORT, SYMBOL_NONE. */
static SLOW int find_place(const uint16_t counts[16], uint64_t bits, unsigned available,
                           unsigned *used)
{
    int code = 0;
    int first = 0;
    int place = 0;
    for (unsigned length = 1; length <= CODE_BITS; length++) {
        if (length > available) {
            return SYMBOL_SHORT;
        }
        code |= (int)(bits & 1u);
        bits >>= 1;
        if (code - first < counts[length]) {
            *used = length;
            return place + code - first;
        }
        place += counts[length];
        first = (first + counts[length]) << 1;
        code <<= 1;
    }
    return SYMBOL_NONE;
}

static inline int find_literal(const struct inflate_literals *codes, uint64_t bits,
                               unsigned available, unsigned *used)
{
    unsigned entry = codes->fast[bits & ((1u << INFLATE_LITERAL_BITS) - 1)];
    *used = entry & 15u;
    if (likely(entry != 0)) {
        return *used <= available ? (int)(entry >> 4) : SYMBOL_SHORT;
    }
    int place = find_place(codes->counts, bits, available, used);
    return place < 0 ? place
                     : codes->symbols[place] | (codes->above[place / 8] >> place % 8 & 1) << 8;
}

static inline int find_distance(const struct inflate_distances *codes, uint64_t bits,
                                unsigned available, unsigned *used)
{
    unsigned entry = codes->fast[bits & ((1u << INFLATE_DISTANCE_BITS) - 1)];
    *used = entry & 7u;
    if (likely(entry != 0)) {
        return *used <= available ? (int)(entry >> 3) : SYMBOL_SHORT;
    }
    int place = find_place(codes->counts, bits, available, used);
    return place < 0 ? place : codes->symbols[place];
}

/* ---- frames ---- */

static bool is_zlib(uint32_t two)
{
    unsigned first = two & 0xFF;
    return (first & 15u) == 8 && first >> 4 <= 7 && (first << 8 | two >> 8) % 31 == 0;
}

static enum step begin_member(struct inflate *reader, struct slice *in)
{
    if (!need_bits(reader, in, 16)) {
        return STEP_NEED_MORE;
    }
    uint32_t two = (uint32_t)(reader->bits & 0xFFFF);
    if (reader->framing == INFLATE_GZIP) {
        if (two != 0x8B1F) {
            reader->state = STATE_DONE;
            return reader->is_behind ? STEP_ON : STEP_LOST;
        }
        take_bits(reader, 16);
        reader->state = STATE_GZIP_FLAGS;
        return STEP_ON;
    }
    if (is_zlib(two)) {
        take_bits(reader, 16);
        if ((two & 0x2000) != 0) {
            return STEP_LOST; /* a dictionary that only the two know */
        }
    }
    reader->state = STATE_BLOCK;
    return STEP_ON;
}

/* The method, the flags, and a time that is skipped with the two bytes behind it. */
static enum step read_gzip_flags(struct inflate *reader, struct slice *in)
{
    if (reader->left == 0) {
        if (!need_bits(reader, in, 16)) {
            return STEP_NEED_MORE;
        }
        uint32_t method = take_bits(reader, 8);
        reader->flags = (uint8_t)take_bits(reader, 8);
        if (method != 8 || (reader->flags & GZIP_UNKNOWN) != 0) {
            return STEP_LOST;
        }
        reader->left = 6;
    }
    if (!skip_bytes(reader, in)) {
        return STEP_NEED_MORE;
    }
    reader->state = STATE_GZIP_EXTRA_SIZE;
    return STEP_ON;
}

static enum step read_gzip_extra(struct inflate *reader, struct slice *in)
{
    if (reader->state == STATE_GZIP_EXTRA_SIZE) {
        if ((reader->flags & GZIP_EXTRA) != 0) {
            if (!need_bits(reader, in, 16)) {
                return STEP_NEED_MORE;
            }
            reader->left = take_bits(reader, 16);
        }
        reader->state = STATE_GZIP_EXTRA;
    }
    if (!skip_bytes(reader, in)) {
        return STEP_NEED_MORE;
    }
    reader->state = STATE_GZIP_NAME;
    return STEP_ON;
}

/* A text that ends with a zero. */
static enum step skip_gzip_text(struct inflate *reader, struct slice *in, unsigned flag)
{
    while ((reader->flags & flag) != 0) {
        if (!need_bits(reader, in, 8)) {
            return STEP_NEED_MORE;
        }
        if (take_bits(reader, 8) == 0) {
            break;
        }
    }
    reader->state++;
    return STEP_ON;
}

static enum step skip_gzip_check(struct inflate *reader, struct slice *in)
{
    if ((reader->flags & GZIP_CHECK) != 0) {
        if (!need_bits(reader, in, 16)) {
            return STEP_NEED_MORE;
        }
        take_bits(reader, 16);
    }
    reader->state = STATE_BLOCK;
    return STEP_ON;
}

/* The checksum, and gzip's size. */
static enum step skip_trailer(struct inflate *reader, struct slice *in)
{
    if (!skip_bytes(reader, in)) {
        return STEP_NEED_MORE;
    }
    reader->state = reader->framing == INFLATE_GZIP ? STATE_MEMBER : STATE_DONE;
    reader->is_behind = true;
    reader->history = 0;
    return STEP_ON;
}

/* ---- blocks ---- */

static enum step end_block(struct inflate *reader)
{
    reader->state = STATE_BLOCK;
    if (!reader->is_last) {
        return STEP_ON;
    }
    skip_to_byte(reader);
    reader->is_last = false;
    if (reader->framing == INFLATE_MESSAGES) {
        return STEP_ON;
    }
    /* A bare stream that was taken for zlib's has no checksum; nobody misses what is skipped. */
    reader->left = reader->framing == INFLATE_GZIP ? 8 : 0;
    reader->state = STATE_TRAILER;
    return STEP_ON;
}

static void use_fixed_codes(struct inflate *reader)
{
    memset(reader->lengths, 8, 144);
    memset(reader->lengths + 144, 9, 112);
    memset(reader->lengths + 256, 7, 24);
    memset(reader->lengths + 280, 8, 8);
    build_literals(reader->literals, reader->lengths, FIXED_LITERALS);
    memset(reader->lengths, 5, FIXED_DISTANCES);
    build_distances(&reader->distances, reader->lengths, FIXED_DISTANCES, false);
}

static enum step begin_block(struct inflate *reader, struct slice *in)
{
    if (!need_bits(reader, in, 3)) {
        return STEP_NEED_MORE;
    }
    reader->is_last = take_bits(reader, 1) != 0;
    switch (take_bits(reader, 2)) {
    case 0:
        skip_to_byte(reader);
        reader->state = STATE_STORED_SIZE;
        return STEP_ON;
    case 1:
        use_fixed_codes(reader);
        reader->state = STATE_SYMBOLS;
        return STEP_ON;
    case 2:
        reader->state = STATE_COUNTS;
        return STEP_ON;
    default:
        return STEP_LOST;
    }
}

static enum step read_stored_size(struct inflate *reader, struct slice *in)
{
    if (!need_bits(reader, in, 32)) {
        return STEP_NEED_MORE;
    }
    uint32_t size = take_bits(reader, 16);
    if ((size ^ take_bits(reader, 16)) != 0xFFFF) {
        return STEP_LOST;
    }
    reader->left = size;
    reader->state = STATE_STORED;
    return STEP_ON;
}

static enum step read_counts(struct inflate *reader, struct slice *in)
{
    if (!need_bits(reader, in, 14)) {
        return STEP_NEED_MORE;
    }
    reader->literal_codes = (uint16_t)(257 + take_bits(reader, 5));
    reader->distance_codes = (uint8_t)(1 + take_bits(reader, 5));
    reader->length_codes = (uint8_t)(4 + take_bits(reader, 4));
    if (reader->literal_codes > LITERALS_MOST || reader->distance_codes > DISTANCES_MOST) {
        return STEP_LOST;
    }
    reader->lengths_used = 0;
    memset(reader->lengths, 0, sizeof(reader->lengths));
    reader->state = STATE_LENGTHS_CODE;
    return STEP_ON;
}

static enum step read_lengths_code(struct inflate *reader, struct slice *in)
{
    /* RFC 1951, 3.2.7: the rare ones last. */
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    for (; reader->lengths_used < reader->length_codes; reader->lengths_used++) {
        if (!need_bits(reader, in, 3)) {
            return STEP_NEED_MORE;
        }
        reader->lengths[order[reader->lengths_used]] = (uint8_t)take_bits(reader, 3);
    }
    if (!build_distances(&reader->distances, reader->lengths, sizeof(order), false)) {
        return STEP_LOST;
    }
    reader->lengths_used = 0;
    reader->state = STATE_LENGTHS;
    return STEP_ON;
}

/* One symbol: a length, or how often one is repeated. */
static enum step read_length(struct inflate *reader, struct slice *in)
{
    unsigned used = 0;
    /* Seven bits of a code, and seven behind it, are the most; the last ones of a stream may be
       fewer. */
    need_bits(reader, in, 14);
    int symbol = find_distance(&reader->distances, reader->bits, reader->bit_count, &used);
    if (symbol < 0) {
        return symbol == SYMBOL_SHORT ? STEP_NEED_MORE : STEP_LOST;
    }
    unsigned extra = symbol == 16 ? 2 : symbol == 17 ? 3 : symbol == 18 ? 7 : 0;
    if (used + extra > reader->bit_count) {
        return STEP_NEED_MORE;
    }
    take_bits(reader, used);
    unsigned more = take_bits(reader, extra);
    unsigned count = symbol < 16 ? 1 : symbol == 18 ? REPEATED_ZEROS + more : 3 + more;
    uint8_t length = symbol < 16 ? (uint8_t)symbol : 0;
    if (symbol == 16) {
        if (reader->lengths_used == 0) {
            return STEP_LOST;
        }
        length = reader->lengths[reader->lengths_used - 1];
    }
    if (reader->lengths_used + count > (unsigned)reader->literal_codes + reader->distance_codes) {
        return STEP_LOST;
    }
    memset(reader->lengths + reader->lengths_used, length, count);
    reader->lengths_used = (uint16_t)(reader->lengths_used + count);
    return STEP_ON;
}

static enum step read_lengths(struct inflate *reader, struct slice *in)
{
    while (reader->lengths_used < (unsigned)reader->literal_codes + reader->distance_codes) {
        enum step step = read_length(reader, in);
        if (step != STEP_ON) {
            return step;
        }
    }
    if (reader->lengths[END_OF_BLOCK] == 0 ||
        !build_literals(reader->literals, reader->lengths, reader->literal_codes) ||
        !build_distances(&reader->distances, reader->lengths + reader->literal_codes,
                         reader->distance_codes, true)) {
        return STEP_LOST;
    }
    reader->state = STATE_SYMBOLS;
    return STEP_ON;
}

/* ---- what comes out ---- */

/* Room in the page at hand; NULL: there is no page. */
static uint8_t *find_room(const struct inflate *reader, uint32_t *room)
{
    uint8_t *page = reader->pages[reader->at / LIMIT_INFLATE_PAGE];
    *room = LIMIT_INFLATE_PAGE - reader->at % LIMIT_INFLATE_PAGE;
    return page == NULL ? NULL : page + reader->at % LIMIT_INFLATE_PAGE;
}

/* Bytes were written there. Whether the page is full. */
static bool advance(struct inflate *reader, uint32_t count)
{
    uint32_t history = reader->history + count;
    reader->at = (reader->at + count) % LIMIT_INFLATE_WINDOW;
    reader->history = history < LIMIT_INFLATE_WINDOW ? history : LIMIT_INFLATE_WINDOW;
    return reader->at % LIMIT_INFLATE_PAGE == 0;
}

static enum step copy_stored(struct inflate *reader, struct slice *in)
{
    while (reader->left > 0) {
        uint32_t room;
        uint8_t *to = find_room(reader, &room);
        if (to == NULL) {
            return STEP_NEED_PAGE;
        }
        if (reader->bit_count == 0 && in->size == 0) {
            return STEP_NEED_MORE;
        }
        uint32_t count = room < reader->left ? room : reader->left;
        if (reader->bit_count > 0) {
            count = 1;
            *to = (uint8_t)take_bits(reader, 8);
        } else {
            count = in->size < count ? (uint32_t)in->size : count;
            memcpy(to, slice_take(in, count).data, count);
        }
        reader->left -= count;
        if (advance(reader, count)) {
            return STEP_PAGE_FULL;
        }
    }
    return end_block(reader);
}

/* What is left of a copy from the window. */
static enum step copy_match(struct inflate *reader)
{
    while (reader->left > 0) {
        uint32_t from = (reader->at - reader->distance) % LIMIT_INFLATE_WINDOW;
        uint32_t ahead = LIMIT_INFLATE_PAGE - from % LIMIT_INFLATE_PAGE;
        uint32_t count;
        uint8_t *to = find_room(reader, &count);
        if (to == NULL) {
            return STEP_NEED_PAGE;
        }
        const uint8_t *source =
            reader->pages[from / LIMIT_INFLATE_PAGE] + from % LIMIT_INFLATE_PAGE;
        count = count < reader->left ? count : reader->left;
        count = count < ahead ? count : ahead;
        /* What is copied may reach into what the copy writes: byte by byte, then. */
        for (uint32_t i = 0; i < count; i++) {
            to[i] = source[i];
        }
        reader->left -= count;
        if (advance(reader, count)) {
            return STEP_PAGE_FULL;
        }
    }
    return STEP_ON;
}

/* Of what is read most: the bits at hand and the input, apart from the reader. */
struct source {
    uint64_t bits;
    uint32_t count;
    const uint8_t *next;
    const uint8_t *end;
};

/* At least 48 bits, the most that a length and a distance take, unless the input is used up. */
static inline void refill(struct source *source)
{
    if (likely(source->end - source->next >= 8)) {
        uint64_t word = 0;
        for (unsigned i = 0; i < 8; i++) {
            word |= (uint64_t)source->next[i] << 8 * i;
        }
        uint32_t bytes = (63 - source->count) / 8;
        source->bits |= word << source->count;
        source->next += bytes;
        source->count += 8 * bytes;
        /* Of the byte that does not fit whole nothing is kept. */
        source->bits &= UINT64_MAX >> (64 - source->count);
        return;
    }
    while (source->count <= 48 && source->next < source->end) {
        source->bits |= (uint64_t)*source->next++ << source->count;
        source->count += 8;
    }
}

static inline void drop(struct source *source, unsigned count)
{
    source->bits >>= count;
    source->count -= count;
}

/* Behind a length's symbol: the rest of it and its distance, all or nothing. */
static enum step take_match(struct inflate *reader, struct source *source, unsigned symbol)
{
    struct source ahead = *source;
    unsigned used = 0;
    if (symbol >= LITERALS_MOST) {
        return STEP_LOST;
    }
    unsigned extra = length_bits[symbol - 257];
    if (extra > ahead.count) {
        return STEP_NEED_MORE;
    }
    uint32_t length = length_bases[symbol - 257] + (uint32_t)(ahead.bits & ((1u << extra) - 1));
    drop(&ahead, extra);
    int distance = find_distance(&reader->distances, ahead.bits, ahead.count, &used);
    if (distance < 0 || distance >= (int)DISTANCES_MOST) {
        return distance == SYMBOL_SHORT ? STEP_NEED_MORE : STEP_LOST;
    }
    drop(&ahead, used);
    extra = distance < 2 ? 0 : (unsigned)distance / 2 - 1;
    if (extra > ahead.count) {
        return STEP_NEED_MORE;
    }
    uint32_t back = distance_bases[distance] + (uint32_t)(ahead.bits & ((1u << extra) - 1));
    drop(&ahead, extra);
    if (back > reader->history) {
        return STEP_LOST;
    }
    reader->distance = (uint16_t)back;
    reader->left = length;
    *source = ahead;
    return STEP_ON;
}

/* Literals up to a length, the end of the page, or that of the input. `*length` is the symbol that
   ended them; its bits are left there, `*used` of them. */
static enum step take_literals(struct inflate *reader, struct source *source, unsigned *length,
                               unsigned *used)
{
    uint32_t room;
    uint8_t *begin = find_room(reader, &room);
    uint8_t *to = begin;
    if (begin == NULL) {
        return STEP_NEED_PAGE;
    }
    enum step step = STEP_ON;
    for (;;) {
        refill(source);
        int symbol = find_literal(reader->literals, source->bits, source->count, used);
        if (unlikely(symbol < 0)) {
            step = symbol == SYMBOL_SHORT ? STEP_NEED_MORE : STEP_LOST;
            break;
        }
        if (symbol >= (int)END_OF_BLOCK) {
            *length = (unsigned)symbol;
            break;
        }
        drop(source, *used);
        *to++ = (uint8_t)symbol;
        if (to == begin + room) {
            step = STEP_PAGE_FULL;
            break;
        }
    }
    advance(reader, (uint32_t)(to - begin));
    return step;
}

static enum step take_symbol(struct inflate *reader, struct source *source)
{
    unsigned symbol = 0;
    unsigned used = 0;
    enum step step = copy_match(reader);
    if (step == STEP_ON) {
        step = take_literals(reader, source, &symbol, &used);
    }
    if (step != STEP_ON) {
        return step;
    }
    if (symbol == END_OF_BLOCK) {
        drop(source, used);
        return STEP_BLOCK_END;
    }
    struct source behind = *source;
    drop(&behind, used);
    step = take_match(reader, &behind, symbol);
    if (step == STEP_ON) {
        *source = behind;
    }
    return step;
}

static enum step read_symbols(struct inflate *reader, struct slice *in)
{
    struct source source = {reader->bits, reader->bit_count, in->data, in->data + in->size};
    enum step step;
    if (in->size == 0) {
        source.next = source.end = (const uint8_t *)"";
    }
    const uint8_t *begin = source.next;
    do {
        step = take_symbol(reader, &source);
    } while (step == STEP_ON);
    reader->bits = source.bits;
    reader->bit_count = source.count;
    slice_take(in, (size_t)(source.next - begin));
    return step == STEP_BLOCK_END ? end_block(reader) : step;
}

/* ---- */

static enum step take_step(struct inflate *reader, struct slice *in)
{
    switch ((enum state)reader->state) {
    case STATE_MEMBER:
        return begin_member(reader, in);
    case STATE_GZIP_FLAGS:
        return read_gzip_flags(reader, in);
    case STATE_GZIP_EXTRA_SIZE:
    case STATE_GZIP_EXTRA:
        return read_gzip_extra(reader, in);
    case STATE_GZIP_NAME:
        return skip_gzip_text(reader, in, GZIP_NAME);
    case STATE_GZIP_COMMENT:
        return skip_gzip_text(reader, in, GZIP_COMMENT);
    case STATE_GZIP_CHECK:
        return skip_gzip_check(reader, in);
    case STATE_BLOCK:
        return begin_block(reader, in);
    case STATE_STORED_SIZE:
        return read_stored_size(reader, in);
    case STATE_STORED:
        return copy_stored(reader, in);
    case STATE_COUNTS:
        return read_counts(reader, in);
    case STATE_LENGTHS_CODE:
        return read_lengths_code(reader, in);
    case STATE_LENGTHS:
        return read_lengths(reader, in);
    case STATE_SYMBOLS:
        return read_symbols(reader, in);
    case STATE_TRAILER:
        return skip_trailer(reader, in);
    case STATE_DONE:
        slice_take(in, in->size);
        return STEP_NEED_MORE;
    case STATE_LOST:
        break;
    }
    return STEP_LOST;
}

/* What was decompressed and not told yet. */
static struct slice take_untold(struct inflate *reader, bool page_is_full)
{
    uint32_t last =
        page_is_full ? (reader->at + LIMIT_INFLATE_WINDOW - 1) % LIMIT_INFLATE_WINDOW : reader->at;
    const uint8_t *page = reader->pages[last / LIMIT_INFLATE_PAGE];
    uint32_t end = page_is_full ? LIMIT_INFLATE_PAGE : reader->at % LIMIT_INFLATE_PAGE;
    uint32_t begin = reader->told;
    reader->told = page_is_full ? 0 : end;
    return page == NULL ? (struct slice){NULL, 0} : slice_of(page + begin, end - begin);
}

enum inflate_event inflate_next(struct inflate *reader, struct slice *in, struct slice *out)
{
    enum step step;
    do {
        step = take_step(reader, in);
    } while (step == STEP_ON);
    if (step == STEP_LOST) {
        reader->state = STATE_LOST;
    }
    struct slice untold = take_untold(reader, step == STEP_PAGE_FULL);
    if (untold.size > 0) {
        *out = untold;
        return INFLATE_DATA;
    }
    return step == STEP_LOST        ? INFLATE_LOST
           : step == STEP_NEED_PAGE ? INFLATE_NEED_PAGE
                                    : INFLATE_NEED_MORE;
}

bool inflate_is_complete(const struct inflate *reader)
{
    return reader->is_behind && (reader->state == STATE_MEMBER || reader->state == STATE_DONE);
}
