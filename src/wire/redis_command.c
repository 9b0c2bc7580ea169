#include "wire/redis_command.h"

#include "base/compiler.h"
#include "wire/hex.h"
#include "wire/redis_table.h"

#include "wire/redis_table.inc"

/* What is done with the argument at hand, when it comes in pieces. */
enum mode {
    MODE_START,   /* no piece has come */
    MODE_COLLECT, /* `word` is being filled */
    MODE_NAME,
    MODE_SHOW,
    MODE_HIDE,
    MODE_HASH,
    MODE_SCRIPT /* shown, and kept as `script` */
};

enum hashing { HASHING_NONE, HASHING_RUNS, HASHING_FAILED };

/* Steps through a pattern for one argument: more than any pattern needs. */
#define PATTERN_STEPS 64

#define EMPTY_PATTERN 0u

void redis_command_init(struct redis_command *command)
{
    memset(command, 0, offsetof(struct redis_command, name));
}

/* ---- text ---- */

/* Appends all of it or nothing: then the text is cut, and nothing more is appended. */
static void append(struct redis_command *command, const char *bytes, size_t size)
{
    if (command->text_cut || command->text_used + size > LIMIT_QUERY_TEXT) {
        command->text_cut = true;
        return;
    }
    memcpy(command->text + command->text_used, bytes, size);
    command->text_used = (uint16_t)(command->text_used + size);
}

static void append_escaped(struct redis_command *command, uint8_t byte)
{
    const char escaped[4] = {'\\', 'x', "0123456789abcdef"[byte >> 4],
                             "0123456789abcdef"[byte & 15]};
    append(command, escaped, sizeof escaped);
}

/* Bytes of the character that begins with this one; 0 if none does (RFC 3629). */
static unsigned utf8_size(uint8_t lead)
{
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Whether a character that begins with `lead` can have this second byte: no overlong forms, no
   surrogates, nothing above U+10FFFF. */
static bool is_second_byte(uint8_t lead, uint8_t byte)
{
    uint8_t lowest = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t highest = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return byte >= lowest && byte <= highest;
}

/* What lay behind the text as an unfinished character is no character. */
static void escape_unfinished(struct redis_command *command)
{
    uint8_t bytes[4];
    unsigned count = command->utf8_used;
    if (count > 0) {
        command->utf8_used = 0;
        memcpy(bytes, command->text + command->text_used, count);
        for (unsigned i = 0; i < count; i++) {
            append_escaped(command, bytes[i]);
        }
    }
}

/* Takes the byte if it goes on with the unfinished character. */
static bool continue_character(struct redis_command *command, uint8_t byte)
{
    char *character = command->text + command->text_used;
    uint8_t lead = (uint8_t)character[0];
    bool fits = command->utf8_used == 1 ? is_second_byte(lead, byte) : (byte & 0xc0) == 0x80;
    if (!fits) {
        return false;
    }
    character[command->utf8_used++] = (char)byte;
    if (command->utf8_used == utf8_size(lead)) {
        command->text_used = (uint16_t)(command->text_used + command->utf8_used);
        command->utf8_used = 0;
    }
    return true;
}

static void show_byte(struct redis_command *command, uint8_t byte)
{
    if (command->utf8_used > 0) {
        if (continue_character(command, byte)) {
            return;
        }
        escape_unfinished(command);
    }
    if (byte == '\\') {
        append(command, "\\\\", 2);
    } else if (byte > 0x20 && byte < 0x7f) {
        append(command, (const char *)&byte, 1);
    } else if (utf8_size(byte) == 0) {
        append_escaped(command, byte);
    } else if (command->text_cut || command->text_used + utf8_size(byte) > LIMIT_QUERY_TEXT) {
        command->text_cut = true;
    } else {
        command->text[command->text_used] = (char)byte;
        command->utf8_used = 1;
    }
}

#define EACH_BYTE(byte) (0x0101010101010101u * (byte))

/* Whether all 8 bytes are shown as they are. */
static inline bool is_plain_word(uint64_t word)
{
    uint64_t below_blank = word - EACH_BYTE(0x21); /* borrows into the high bit */
    uint64_t backslash = (word ^ EACH_BYTE('\\')) - EACH_BYTE(1);
    uint64_t delete = word + EACH_BYTE(1);
    return ((word | below_blank | backslash | delete) & EACH_BYTE(0x80)) == 0;
}

/* Shows a piece of the argument at hand. */
static void show_piece(struct redis_command *command, struct slice piece)
{
    while (piece.size >= 8 && command->utf8_used == 0 &&
           command->text_used + 8u <= LIMIT_QUERY_TEXT && !command->text_cut) {
        uint64_t word = redis_table_load(piece.data, 8);
        if (!is_plain_word(word)) {
            break;
        }
        memcpy(command->text + command->text_used, &word, 8);
        command->text_used = (uint16_t)(command->text_used + 8);
        slice_take(&piece, 8);
    }
    for (size_t i = 0; i < piece.size && !command->text_cut; i++) {
        show_byte(command, piece.data[i]);
    }
}

/* The blank before an argument and, if it is empty, the signs that stand for it. */
static void begin_shown(struct redis_command *command, bool is_empty)
{
    if (command->text_used + 2u > LIMIT_QUERY_TEXT) {
        command->text_cut = true;
        return;
    }
    append(command, " \"\"", is_empty ? 3 : 1);
}

static inline void hide(struct redis_command *command)
{
    uint16_t used = command->text_used;
    if (unlikely(command->text_cut || used + 2 > (int)LIMIT_QUERY_TEXT)) {
        command->text_cut = true;
        return;
    }
    command->text[used] = ' ';
    command->text[used + 1] = '?';
    command->text_used = (uint16_t)(used + 2);
}

static SLOW void show_slow(struct redis_command *command, struct slice argument)
{
    begin_shown(command, argument.size == 0);
    show_piece(command, argument);
    escape_unfinished(command);
}

/* A whole argument of 9 to 32 bytes. */
static __attribute__((noinline)) void show_words(struct redis_command *command,
                                                 struct slice argument)
{
    const uint8_t *data = argument.data;
    const uint8_t *last = data + argument.size - 8;
    char *text = command->text + command->text_used + 1;
    /* The last word overlaps the one before. */
    for (;; data += 8, text += 8) {
        if (data > last) {
            text -= data - last;
            data = last;
        }
        uint64_t word = redis_table_load(data, 8);
        if (unlikely(!is_plain_word(word))) {
            show_slow(command, argument);
            return;
        }
        memcpy(text, &word, 8);
        if (data == last) {
            break;
        }
    }
    command->text[command->text_used] = ' ';
    command->text_used = (uint16_t)(command->text_used + 1 + argument.size);
}

/* A whole argument. */
static inline void show(struct redis_command *command, struct slice argument)
{
    size_t used = command->text_used;
    size_t size = argument.size;
    if (unlikely(size - 1 > 31 || used + 1 + 32 > LIMIT_QUERY_TEXT || command->text_cut)) {
        show_slow(command, argument);
        return;
    }
    if (size > 8) {
        show_words(command, argument);
        return;
    }
    uint64_t word = redis_table_load(argument.data, size);
    /* Missing bytes become plain ones. */
    if (unlikely(!is_plain_word(word | (size == 8 ? 0 : EACH_BYTE('!') << (8 * size))))) {
        show_slow(command, argument);
        return;
    }
    command->text[used] = ' ';
    memcpy(command->text + used + 1, &word, 8);
    command->text_used = (uint16_t)(used + 1 + size);
}

/* ---- what an argument is ---- */

static bool is_number(struct slice word)
{
    size_t i = word.size > 0 && (word.data[0] == '-' || word.data[0] == '+');
    size_t digits = 0;
    size_t points = 0;
    if (word.size > 20) {
        return false;
    }
    for (; i < word.size; i++) {
        if (word.data[i] == '.' && points == 0 && digits > 0) {
            points++;
        } else if ((uint8_t)(word.data[i] - '0') <= 9) {
            digits++;
        } else {
            return false;
        }
    }
    return digits > 0;
}

/* A count, or a number of another kind that is not negative and small. */
static bool parse_number(struct slice word, uint32_t *number)
{
    uint32_t value = 0;
    if (word.size == 0 || word.size > 9) {
        return false;
    }
    for (size_t i = 0; i < word.size; i++) {
        uint8_t digit = (uint8_t)(word.data[i] - '0');
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

static bool is_special_id(struct slice word)
{
    return (word.size == 1 && memchr("*>$+-0", word.data[0], 6) != NULL) ||
           slice_equals(word, SLICE("0-0"));
}

static bool looks_like_id(struct slice word)
{
    for (size_t i = 0; i < word.size; i++) {
        if ((uint8_t)(word.data[i] - '0') > 9 && word.data[i] != '-') {
            return false;
        }
    }
    return true;
}

static bool ends_word(char byte)
{
    return byte == ' ' || byte == '|' || byte == '}' || byte == ']' || byte == '\0';
}

/* Whether the word is the one that stands in the pattern at `at`; then `*behind` is its arguments'
   pattern. */
static bool matches_option(uint16_t at, struct slice word, uint16_t *behind)
{
    for (size_t i = 0; i < word.size; i++, at++) {
        if (ends_word(patterns[at]) || patterns[at] != (char)ascii_upper(word.data[i])) {
            return false;
        }
    }
    if (word.size == 0 || !ends_word(patterns[at])) {
        return false;
    }
    *behind = (uint16_t)(at + (patterns[at] == ' '));
    return true;
}

/* Looks for the word among the options whose opening bracket is at `open`. If it is none of them,
   `*behind` is behind the closing bracket. */
static bool find_option(uint16_t open, struct slice word, uint16_t *behind)
{
    unsigned depth = 0;
    for (uint16_t at = open;; at++) {
        char token = patterns[at];
        if (token == '{' || token == '[') {
            depth++;
        } else if ((token == '}' || token == ']') && --depth == 0) {
            *behind = (uint16_t)(at + 1);
            return false;
        } else if (token == '\0') {
            *behind = EMPTY_PATTERN;
            return false;
        }
        bool begins_option = depth == 1 && (at == open || token == '|');
        if (begins_option && matches_option((uint16_t)(at + 1), word, behind)) {
            return true;
        }
    }
}

/* The bracket that encloses the options of which one ends at `at`. */
static uint16_t enclosing_bracket(uint16_t at)
{
    unsigned depth = 0;
    while (patterns[--at] != '\0') {
        char token = patterns[at];
        if (token == '}' || token == ']') {
            depth++;
        } else if ((token == '{' || token == '[') && depth-- == 0) {
            break;
        }
    }
    return at;
}

static uint16_t begin_of_repetition(uint16_t at)
{
    unsigned depth = 0;
    while (patterns[--at] != '\0') {
        if (patterns[at] == ')') {
            depth++;
        } else if (patterns[at] == '(' && depth-- == 0) {
            break;
        }
    }
    return (uint16_t)(at + 1);
}

static void set_reply_mode(struct redis_command *command, struct slice word)
{
    if (slice_equals_ignoring_case(word, SLICE("ON"))) {
        command->effect = REDIS_REPLY_ON;
    } else if (slice_equals_ignoring_case(word, SLICE("OFF"))) {
        command->effect = REDIS_REPLY_OFF;
    } else if (slice_equals_ignoring_case(word, SLICE("SKIP"))) {
        command->effect = REDIS_REPLY_SKIP;
    }
}

static enum mode shown_if(bool is_shown)
{
    return is_shown ? MODE_SHOW : MODE_HIDE;
}

/* A token that takes an argument, which is `word`; or its beginning, and more comes (is_longer). */
static enum mode take_token(struct redis_command *command, char token, struct slice word,
                            bool is_longer)
{
    uint32_t number = 0;
    bool is_count = !is_longer && parse_number(word, &number);
    switch (token) {
    case 'k':
    case 'f':
        return MODE_SHOW;
    case 'n':
        return shown_if(!is_longer && is_number(word));
    case 'N':
        command->number = is_count ? number : command->number;
        return shown_if(is_count);
    case 'i':
        return shown_if(!is_longer && is_special_id(word));
    case 's':
        return shown_if((!is_longer && is_special_id(word)) || !looks_like_id(word));
    case '#':
        if (!is_count) {
            command->pattern = EMPTY_PATTERN;
            return MODE_HIDE;
        }
        command->keys_left = number;
        command->number = number;
        return MODE_SHOW;
    case 'H':
        return MODE_SCRIPT;
    case 'S':
        sha1_init(&command->sha1);
        command->hashing = HASHING_RUNS;
        return MODE_HASH;
    case 'R':
        set_reply_mode(command, word);
        return shown_if(command->effect != REDIS_PLAIN);
    default:
        return MODE_HIDE;
    }
}

/* Follows the pattern up to the token that takes the argument. */
static enum mode follow_pattern(struct redis_command *command, struct slice word, bool is_longer)
{
    for (int step = 0; step < PATTERN_STEPS; step++) {
        uint16_t at = command->pattern;
        char token = patterns[at];
        command->pattern = (uint16_t)(at + 1);
        switch (token) {
        case '\0':
            command->pattern = EMPTY_PATTERN;
            return MODE_HIDE;
        case 'K':
            if (command->keys_left > 0) {
                command->keys_left--;
                command->pattern = at;
                return MODE_SHOW;
            }
            break;
        case 'L':
            command->effect = REDIS_SCRIPT_LOAD;
            break;
        case '!':
            command->blocking = true;
            break;
        case '(':
            break;
        case ')':
            command->pattern = begin_of_repetition(at);
            break;
        case '{':
        case '[':
            if (find_option(at, is_longer ? slice_of(NULL, 0) : word, &command->pattern)) {
                return MODE_SHOW;
            }
            break;
        case '|':
        case '}':
        case ']':
            at = enclosing_bracket(at);
            command->pattern = patterns[at] == '{' ? at : EMPTY_PATTERN;
            break;
        default:
            return take_token(command, token, word, is_longer);
        }
    }
    command->pattern = EMPTY_PATTERN;
    return MODE_HIDE;
}

/* ---- arguments ---- */

static bool is_printable(struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] <= 0x20 || bytes.data[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* A name that is not in the table, or not certainly: kept so that it can be shown. */
static SLOW void take_unknown_name(struct redis_command *command)
{
    for (size_t i = 0; i < command->name_used; i++) {
        uint8_t byte = (uint8_t)command->name[i];
        if (byte <= 0x20 || byte >= 0x7f) {
            command->name[i] = '?';
        }
    }
    memcpy(command->text, command->name, command->name_used);
    command->text_used = command->name_used;
}

static void use_entry(struct redis_command *command, const struct redis_table_entry *entry)
{
    command->pattern = entry->pattern;
    command->effect = entry->effect;
    command->entry = (uint16_t)(entry - entries + 1);
    if (unlikely(entry->flags != 0)) {
        command->blocking = (entry->flags & REDIS_TABLE_BLOCKING) != 0;
        command->has_script = (entry->flags & REDIS_TABLE_SCRIPT) != 0;
        command->pubsub_pattern = (entry->flags & REDIS_TABLE_PATTERN) != 0;
        command->pubsub_shard = (entry->flags & REDIS_TABLE_SHARD) != 0;
    }
}

uint16_t redis_command_entry(struct slice name)
{
    struct redis_command command;
    redis_command_take(&command, &name, 1);
    return command.entry;
}

/* The name is in `name`, whole unless is_longer. */
static SLOW void take_long_name(struct redis_command *command, bool is_longer)
{
    size_t size = command->name_used;
    const uint8_t *name = (const uint8_t *)command->name;
    uint64_t words[3] = {0};
    for (size_t i = 0; i < 3 && 8 * i < size; i++) {
        words[i] = redis_table_fold(redis_table_load(name + 8 * i, size - 8 * i));
    }
    uint64_t hash = redis_table_hash(words, MULTIPLIER);
    const struct redis_table_entry *entry =
        &entries[redis_table_slot(hash, displacements[redis_table_bucket(hash)])];
    if (is_longer || entry->size != size || memcmp(entry->words, words, sizeof words) != 0 ||
        ((entry->flags & REDIS_TABLE_SIGNS) != 0 && !is_printable(slice_of(name, size)))) {
        take_unknown_name(command);
        return;
    }
    memcpy(command->text, command->name, size);
    command->text_used = command->name_used;
    use_entry(command, entry);
}

/* Most names have at most 8 letters: one word to hash, compare and copy. */
static inline __attribute__((always_inline)) void take_name(struct redis_command *command,
                                                            struct slice name)
{
    size_t size = name.size;
    if (unlikely(size - 1 > 7)) {
        size = size < sizeof command->name ? size : sizeof command->name;
        if (size > 0) {
            memcpy(command->name, name.data, size);
        }
        command->name_used = (uint16_t)size;
        take_long_name(command, name.size > sizeof command->name);
        return;
    }
    uint64_t word = redis_table_load(name.data, size);
    uint64_t words[3] = {redis_table_fold(word), 0, 0};
    uint64_t hash = redis_table_hash(words, MULTIPLIER);
    const struct redis_table_entry *entry =
        &entries[redis_table_slot(hash, displacements[redis_table_bucket(hash)])];
    memcpy(command->name, &word, 8);
    command->name_used = (uint16_t)size;
    if (unlikely(entry->words[0] != words[0] || entry->size != size ||
                 (entry->flags & REDIS_TABLE_SIGNS) != 0)) {
        take_long_name(command, false);
        return;
    }
    memcpy(command->text, &word, 8);
    command->text_used = (uint16_t)size;
    use_entry(command, entry);
}

static void keep_script(struct redis_command *command, struct slice piece)
{
    size_t room = sizeof command->script - command->script_used;
    size_t count = piece.size < room ? piece.size : room;
    for (size_t i = 0; i < count; i++) {
        bool is_shown = piece.data[i] > 0x20 && piece.data[i] < 0x7f;
        command->script[command->script_used++] = is_shown ? (char)piece.data[i] : '?';
    }
}

static void hash_piece(struct redis_command *command, struct slice piece)
{
    if (command->hashing != HASHING_RUNS || piece.size > LIMIT_SCRIPT_BYTES - command->sha1.bytes) {
        command->hashing = HASHING_FAILED;
        return;
    }
    sha1_update(&command->sha1, piece);
}

/* Begins the output of an argument whose mode is known. */
static void begin_argument(struct redis_command *command, bool is_empty)
{
    if (command->mode == MODE_SHOW || command->mode == MODE_SCRIPT) {
        begin_shown(command, is_empty);
    } else {
        hide(command);
    }
}

static void take_piece(struct redis_command *command, struct slice piece)
{
    switch ((enum mode)command->mode) {
    case MODE_SCRIPT:
        keep_script(command, piece);
        show_piece(command, piece);
        break;
    case MODE_SHOW:
        show_piece(command, piece);
        break;
    case MODE_HASH:
        hash_piece(command, piece);
        break;
    case MODE_START:
    case MODE_COLLECT:
    case MODE_NAME:
    case MODE_HIDE:
        break;
    }
}

static void end_argument(struct redis_command *command, uint64_t size)
{
    escape_unfinished(command);
    /* Bytes that passed unseen are missing in the hash. */
    if (command->mode == MODE_HASH && size != 0 && command->sha1.bytes != size) {
        command->hashing = HASHING_FAILED;
    }
    command->mode = MODE_START;
    command->word_used = 0;
}

/* Collects the beginning of the argument until it is known what it is. */
static void collect(struct redis_command *command, struct slice *piece, bool last)
{
    size_t room = sizeof command->word - command->word_used;
    size_t count = piece->size < room ? piece->size : room;
    if (count > 0) {
        memcpy(command->word + command->word_used, slice_take(piece, count).data, count);
        command->word_used = (uint8_t)(command->word_used + count);
    }
    if (piece->size == 0 && !last) {
        return;
    }
    struct slice word = slice_of(command->word, command->word_used);
    command->mode = (uint8_t)follow_pattern(command, word, piece->size > 0);
    begin_argument(command, word.size == 0);
    take_piece(command, word);
}

/* The name, in pieces. */
static void collect_name(struct redis_command *command, struct slice piece, bool last)
{
    size_t room = sizeof command->name - command->name_used;
    size_t count = piece.size < room ? piece.size : room;
    if (count > 0) {
        memcpy(command->name + command->name_used, piece.data, count);
        command->name_used = (uint16_t)(command->name_used + count);
    }
    /* A name that does not fit is marked by its being in `word` as well. */
    if (count < piece.size) {
        command->word_used = 1;
    }
    command->mode = MODE_NAME;
    if (last) {
        take_long_name(command, command->word_used > 0);
        command->mode = MODE_START;
        command->word_used = 0;
    }
}

static SLOW void take_argument_slow(struct redis_command *command, uint32_t index,
                                    struct slice piece, uint64_t size, bool last)
{
    if (index == 0) {
        collect_name(command, piece, last);
        return;
    }
    if (command->mode == MODE_START || command->mode == MODE_COLLECT) {
        command->mode = MODE_COLLECT;
        collect(command, &piece, last);
    }
    if (piece.size > 0) {
        take_piece(command, piece);
    }
    if (last) {
        end_argument(command, size);
    }
}

/* An argument behind the name that lies whole in memory. */
static inline __attribute__((always_inline)) void
take_whole_argument(struct redis_command *command, uint32_t index, struct slice argument)
{
    switch (patterns[command->pattern]) {
    case 'k':
    case 'f':
        command->pattern++;
        show(command, argument);
        return;
    case '?':
        command->pattern++;
        hide(command);
        return;
    case '\0':
        hide(command);
        return;
    default:
        take_argument_slow(command, index, argument, argument.size, true);
        return;
    }
}

void redis_command_argument(struct redis_command *command, uint32_t index, struct slice piece,
                            uint64_t size, bool last)
{
    if (last) {
        command->arguments = index + 1;
    }
    if (unlikely(!last || command->mode != MODE_START)) {
        take_argument_slow(command, index, piece, size, last);
    } else if (index == 0) {
        take_name(command, piece);
    } else {
        take_whole_argument(command, index, piece);
    }
}

void redis_command_finish(struct redis_command *command)
{
    if (unlikely(command->hashing == HASHING_RUNS)) {
        uint8_t digest[SHA1_BYTES];
        sha1_finish(&command->sha1, digest);
        hex_write((uint8_t *)command->script, digest, sizeof digest);
        command->script_used = 2 * SHA1_BYTES;
    }
    if (command->effect == REDIS_SUBSCRIBE || command->effect == REDIS_UNSUBSCRIBE) {
        command->channels = command->arguments - 1;
    }
}

void redis_command_take(struct redis_command *command, const struct slice arguments[],
                        uint32_t count)
{
    redis_command_init(command);
    take_name(command, arguments[0]);
    for (uint32_t i = 1; i < count; i++) {
        take_whole_argument(command, i, arguments[i]);
    }
    command->arguments = count;
    redis_command_finish(command);
}

struct slice redis_error_prefix(struct slice line)
{
    size_t size = 0;
    while (size < line.size && line.data[size] != ' ') {
        uint8_t byte = line.data[size];
        bool is_letter = (uint8_t)(byte - 'A') < 26;
        bool is_sign = (uint8_t)(byte - '0') <= 9 || byte == '_';
        if (!is_letter && (!is_sign || size == 0)) {
            return SLICE("ERR");
        }
        size++;
    }
    return size == 0 ? SLICE("ERR") : slice_of(line.data, size);
}
