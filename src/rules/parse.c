#include "base/compiler.h"
#include "rules/rules.h"
#include "wire/redis_command.h"

static const char *const action_names[RULE_ACTIONS] = {
    [RULE_NONE] = "none",
    [RULE_SUBMIT] = "submit",
    [RULE_SAVE] = "save",
    [RULE_CLAIM] = "claim",
    [RULE_READ] = "read",
    [RULE_COMPLETE] = "complete",
    [RULE_FAIL] = "fail",
    [RULE_RETRY] = "retry",
    [RULE_REQUEUE] = "requeue",
    [RULE_TIMEOUT] = "timeout",
    [RULE_CANCEL] = "cancel",
    [RULE_PROGRESS] = "progress",
    [RULE_MESSAGE] = "message",
    [RULE_ARCHIVE] = "archive",
    [RULE_START] = "start",
    [RULE_FOLD] = "fold",
    [RULE_ACK] = "ack",
    [RULE_WORKFLOW_CANCEL] = "workflow_cancel",
    [RULE_WORKFLOW_TIMEOUT] = "workflow_timeout",
};

static const char *const variable_names[RULE_VARIABLES] = {
    [RULE_ID] = "id",
    [RULE_QUEUE] = "queue",
    [RULE_PREFIX] = "prefix",
    [RULE_ENQUEUED] = "enqueued",
    [RULE_TYPE] = "type",
    [RULE_ATTEMPT] = "attempt",
    [RULE_ATTEMPTS] = "attempts",
    [RULE_PRIORITY] = "priority",
    [RULE_DELAY] = "delay",
    [RULE_WORKER] = "worker",
    [RULE_ERROR] = "error",
    [RULE_ERROR_TYPE] = "error_type",
    [RULE_STACK] = "stack",
    [RULE_PROGRESS_VALUE] = "percent",
    [RULE_CUSTOMER] = "customer",
    [RULE_USER] = "user",
    [RULE_TIER] = "tier",
    [RULE_WORKFLOW] = "workflow",
    [RULE_STEP] = "step",
    [RULE_STEPS] = "steps",
    [RULE_STALLED] = "stalled",
    [RULE_STARTED] = "started",
    [RULE_TRACE] = "trace_id",
    [RULE_PARENT] = "parent_id",
    [RULE_TRACEPARENT] = "traceparent",
    [RULE_WORKFLOW_TRACE] = "workflow_trace_id",
    [RULE_WORKFLOW_PARENT] = "workflow_parent_id",
    [RULE_TAG] = "tag",
    [RULE_CREATED] = "created",
    [RULE_AGAIN] = "again",
    [RULE_LEFT] = "left",
    [RULE_CAPABILITIES] = "capabilities",
    [RULE_LIMIT] = "limit",
};

const char *rules_action_name(enum rule_action action)
{
    return action < RULE_ACTIONS ? action_names[action] : "unknown";
}

const char *rules_variable_name(enum rule_variable variable)
{
    return variable < RULE_VARIABLES ? variable_names[variable] : "unknown";
}

struct parser {
    struct rules *rules;
    struct rules_error *error;
    uint32_t line;
    uint8_t file;
    bool has_queue; /* of this file */
    bool has_rule;  /* that is not complete yet */
    struct rule rule;
    uint32_t rule_line;
    uint32_t queue_line;
};

/* ---- saying what is wrong ---- */

static size_t length_of(const char *text)
{
    size_t size = 0;
    while (text[size] != '\0') {
        size++;
    }
    return size;
}

static struct slice text_of(const char *text)
{
    return slice_of(text, length_of(text));
}

static void append(char *to, size_t capacity, struct slice text)
{
    size_t used = length_of(to);
    for (size_t i = 0; i < text.size && used + 1 < capacity; i++) {
        uint8_t byte = text.data[i];
        to[used++] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
    }
    to[used] = '\0';
}

/* "BEFORE 'WORD'BEHIND"; NULL data: no word. Always false, for the caller to return. */
static bool wrong(struct parser *parser, const char *before, struct slice word, const char *behind)
{
    struct rules_error *error = parser->error;
    error->line = parser->line;
    error->text[0] = '\0';
    append(error->text, sizeof error->text, text_of(before));
    if (word.data != NULL) {
        append(error->text, sizeof error->text, SLICE(" '"));
        append(error->text, sizeof error->text, word.size > 40 ? slice_of(word.data, 40) : word);
        append(error->text, sizeof error->text, word.size > 40 ? SLICE("...'") : SLICE("'"));
    }
    append(error->text, sizeof error->text, text_of(behind));
    return false;
}

static bool wrong_text(struct parser *parser, const char *text)
{
    return wrong(parser, text, slice_of(NULL, 0), "");
}

/* Whether one word becomes the other by one letter more, less, other, or two in turn. */
static bool is_near(struct slice a, struct slice b)
{
    size_t before = 0;
    size_t behind = 0;
    size_t shorter = a.size < b.size ? a.size : b.size;
    while (before < shorter && ascii_lower(a.data[before]) == ascii_lower(b.data[before])) {
        before++;
    }
    while (behind < shorter - before &&
           ascii_lower(a.data[a.size - 1 - behind]) == ascii_lower(b.data[b.size - 1 - behind])) {
        behind++;
    }
    size_t left = a.size - before - behind;
    size_t right = b.size - before - behind;
    bool is_swap = left == 2 && right == 2 &&
                   ascii_lower(a.data[before]) == ascii_lower(b.data[before + 1]) &&
                   ascii_lower(a.data[before + 1]) == ascii_lower(b.data[before]);
    return is_swap || (left <= 1 && right <= 1) || (left + right == 2 && shorter > 4);
}

static bool wrong_choice(struct parser *parser, const char *before, struct slice word,
                         const char *const *names, size_t count, const char *behind)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i] != NULL && is_near(word, text_of(names[i]))) {
            wrong(parser, before, word, "; did you mean '");
            append(parser->error->text, sizeof parser->error->text, text_of(names[i]));
            append(parser->error->text, sizeof parser->error->text, SLICE("'?"));
            return false;
        }
    }
    return wrong(parser, before, word, behind);
}

/* ---- words ---- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* The next word of a line; one in double quotes may hold blanks. Parentheses hold together what
   stands in them. Empty at the end of the line. */
static struct slice take_word(struct slice *line)
{
    while (line->size > 0 && is_blank(line->data[0])) {
        slice_take(line, 1);
    }
    if (line->size == 0 || line->data[0] == '#') {
        line->size = 0;
        return slice_of(NULL, 0);
    }
    if (line->data[0] == '"') {
        size_t size = 1;
        while (size < line->size && line->data[size] != '"') {
            size++;
        }
        struct slice word = slice_of(line->data + 1, size - 1);
        slice_take(line, size < line->size ? size + 1 : size);
        return word;
    }
    size_t size = 0;
    bool is_inside = false;
    while (size < line->size && (is_inside || !is_blank(line->data[size]))) {
        is_inside = line->data[size] == '(' || (is_inside && line->data[size] != ')');
        size++;
    }
    return slice_take(line, size);
}

static bool is_word(struct slice word, const char *text)
{
    return slice_equals(word, text_of(text));
}

/* The next of the parts that `|` divides. */
static struct slice take_choice(struct slice *word)
{
    size_t size = 0;
    while (size < word->size && word->data[size] != '|') {
        size++;
    }
    struct slice part = slice_take(word, size);
    if (word->size > 0) {
        slice_take(word, 1);
    }
    return part;
}

static bool parse_count(struct slice word, uint32_t most, uint32_t *count)
{
    uint32_t value = 0;
    for (size_t i = 0; i < word.size; i++) {
        if ((uint8_t)(word.data[i] - '0') > 9 || value > most) {
            return false;
        }
        value = value * 10 + (uint32_t)(word.data[i] - '0');
    }
    *count = value;
    return word.size > 0 && value >= 1 && value <= most;
}

static bool find_name(const char *const *names, size_t count, struct slice word, uint8_t *found)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i] != NULL && is_word(word, names[i])) {
            *found = (uint8_t)i;
            return true;
        }
    }
    return false;
}

/* ---- the table ---- */

struct slice rules_text(const struct rules *rules, uint16_t offset)
{
    uint16_t size;
    memcpy(&size, rules->text + offset, sizeof size);
    return slice_of(rules->text + offset + sizeof size, size);
}

static bool add_text(struct parser *parser, struct slice text, uint16_t *offset)
{
    struct rules *rules = parser->rules;
    uint16_t size = (uint16_t)text.size;
    if (text.size > LIMIT_RULE_TEXT - sizeof size - rules->text_used) {
        return wrong_text(parser, "all rules together have too much text");
    }
    *offset = rules->text_used;
    memcpy(rules->text + rules->text_used, &size, sizeof size);
    if (size > 0) {
        memcpy(rules->text + rules->text_used + sizeof size, text.data, size);
    }
    rules->text_used = (uint16_t)(rules->text_used + sizeof size + size);
    return true;
}

static bool same_place(const struct rules *rules, const struct rule_source *a,
                       const struct rule_source *b)
{
    return a->kind == b->kind && a->steps == b->steps && a->position == b->position &&
           a->element == b->element && memcmp(a->step, b->step, sizeof a->step) == 0 &&
           slice_equals(rules_text(rules, a->text), rules_text(rules, b->text));
}

static bool same_source(const struct rules *rules, const struct rule_source *a,
                        const struct rule_source *b)
{
    return same_place(rules, a, b) && a->is_last == b->is_last &&
           slice_equals(rules_text(rules, a->path), rules_text(rules, b->path));
}

static bool add_source(struct parser *parser, const struct rule_source *source, uint16_t *number)
{
    struct rules *rules = parser->rules;
    for (uint16_t i = 0; i < rules->source_count; i++) {
        if (same_source(rules, &rules->sources[i], source)) {
            rules->sources[i].is_stack |= source->is_stack;
            rules->sources[i].is_tail |= source->is_tail;
            rules->sources[i].is_packed |= source->is_packed;
            *number = i;
            return true;
        }
    }
    if (rules->source_count == LIMIT_RULE_SOURCES) {
        return wrong_text(parser, "all rules together look at too many places");
    }
    *number = rules->source_count;
    rules->sources[rules->source_count++] = *source;
    return true;
}

void rules_init(struct rules *rules)
{
    memset(rules, 0, sizeof *rules);
    rules->magic = RULES_MAGIC;
    rules->text_used = sizeof(uint16_t);
}

/* ---- patterns of keys ---- */

struct pattern {
    uint16_t used;
    bool behind_capture;
    char bytes[256];
};

static bool put_byte(struct parser *parser, struct pattern *pattern, char byte)
{
    if (pattern->used == sizeof pattern->bytes) {
        return wrong_text(parser, "a key's pattern is longer than 256 bytes");
    }
    pattern->bytes[pattern->used++] = byte;
    return true;
}

/* `{name}` at the beginning of `*word`. */
static bool put_capture(struct parser *parser, struct pattern *pattern, struct slice *word)
{
    size_t size = 1;
    uint8_t variable = 0;
    while (size < word->size && word->data[size] != '}') {
        size++;
    }
    struct slice name = slice_of(word->data + 1, size - 1);
    if (size == word->size) {
        return wrong(parser, "a '{' has no '}' in", *word, "");
    }
    slice_take(word, size + 1);
    if (pattern->behind_capture) {
        return wrong(parser, "two captures follow each other: where", name,
                     " begins cannot be told; put a letter between them");
    }
    pattern->behind_capture = true;
    if (is_word(name, "*")) {
        return put_byte(parser, pattern, RULE_CAPTURE) && put_byte(parser, pattern, RULE_ANYTHING);
    }
    if (!find_name(variable_names, RULE_VARIABLES, name, &variable)) {
        return wrong_choice(parser, "nothing is known by the name", name, variable_names,
                            RULE_VARIABLES, "; '{*}' stands for anything");
    }
    return put_byte(parser, pattern, RULE_CAPTURE) &&
           put_byte(parser, pattern, (char)(variable + 1));
}

static bool hex_value(uint8_t byte, uint8_t *value)
{
    uint8_t letter = ascii_lower(byte);
    *value = (uint8_t)(byte <= '9' ? byte - '0' : letter - 'a' + 10);
    return (uint8_t)(byte - '0') <= 9 || (uint8_t)(letter - 'a') <= 5;
}

/* `\xNN` at the beginning of `*text`, whose last byte is left for the caller to take. */
static bool take_escape(struct parser *parser, struct slice *text, uint8_t *byte)
{
    uint8_t high;
    uint8_t low;
    if (text->size < 4 || text->data[1] != 'x' || !hex_value(text->data[2], &high) ||
        !hex_value(text->data[3], &low)) {
        return wrong_text(parser, "behind '\\' comes 'x' and two hexadecimal digits");
    }
    *byte = (uint8_t)(high << 4 | low);
    if (*byte == RULE_CAPTURE) {
        return wrong_text(parser, "a pattern cannot hold the byte \\x01");
    }
    slice_take(text, 3);
    return true;
}

static bool put_pattern(struct parser *parser, struct pattern *pattern, struct slice text)
{
    while (text.size > 0) {
        uint8_t byte = text.data[0];
        if (byte == '{') {
            if (!put_capture(parser, pattern, &text)) {
                return false;
            }
            continue;
        }
        if (byte == '}' || byte == ')') {
            return wrong_text(parser, byte == '}' ? "a '}' has no '{' before it"
                                                  : "a ')' has no '(' before it");
        }
        pattern->behind_capture = false;
        if (byte == '\\' && !take_escape(parser, &text, &byte)) {
            return false;
        }
        if (!put_byte(parser, pattern, (char)byte)) {
            return false;
        }
        slice_take(&text, 1);
    }
    return true;
}

static bool add_key(struct parser *parser, struct slice prefix, struct slice suffix)
{
    struct rules *rules = parser->rules;
    struct rule *rule = &parser->rule;
    struct pattern pattern = {0};
    uint32_t most = rule->is_script ? LIMIT_RULE_SCRIPT_KEYS : 4;
    if (rule->key_count == most) {
        return wrong_text(parser, rule->is_script ? "a script with more than 16 keys"
                                                  : "more than 4 patterns for one command");
    }
    if (rules->key_count == LIMIT_RULE_KEYS) {
        return wrong_text(parser, "all rules together have too many keys");
    }
    if (!put_pattern(parser, &pattern, prefix) || !put_pattern(parser, &pattern, suffix) ||
        !add_text(parser, slice_of(pattern.bytes, pattern.used), &rules->keys[rules->key_count])) {
        return false;
    }
    rules->key_count++;
    rule->key_count++;
    return true;
}

/* `prefix:(a b c)` stands for `prefix:a prefix:b prefix:c`. */
static bool add_keys(struct parser *parser, struct slice word)
{
    size_t open = 0;
    while (open < word.size && word.data[open] != '(') {
        open++;
    }
    struct slice prefix = slice_of(word.data, open);
    if (open == word.size) {
        return add_key(parser, prefix, slice_of(NULL, 0));
    }
    if (word.data[word.size - 1] != ')') {
        return wrong(parser, "a '(' has no ')' at the end of", word, "");
    }
    struct slice group = slice_of(word.data + open + 1, word.size - open - 2);
    struct slice suffix = take_word(&group);
    if (suffix.size == 0) {
        return wrong(parser, "nothing stands between the parentheses of", word, "");
    }
    for (; suffix.size > 0; suffix = take_word(&group)) {
        if (!add_key(parser, prefix, suffix)) {
            return false;
        }
    }
    return true;
}

static bool parse_keys(struct parser *parser, struct slice line)
{
    if (parser->rule.setting_count + parser->rule.condition_count > 0) {
        return wrong_text(parser, "keys stand before everything else of a rule");
    }
    for (struct slice word = take_word(&line); word.size > 0; word = take_word(&line)) {
        if (!add_keys(parser, word)) {
            return false;
        }
    }
    return true;
}

/* ---- where values stand ---- */

static bool parse_steps(struct parser *parser, struct slice word, struct rule_source *source)
{
    while (word.size > 0) {
        size_t size = 0;
        uint32_t number;
        while (size < word.size && word.data[size] != '.') {
            size++;
        }
        if (source->steps == RULE_STEPS_MAX) {
            return wrong_text(parser, "an answer is looked into 4 levels deep at most");
        }
        if (!parse_count(slice_of(word.data, size), 255, &number)) {
            return wrong(parser, "an answer's elements are counted from 1 to 255, not", word, "");
        }
        source->step[source->steps++] = (uint8_t)number;
        slice_take(&word, size < word.size ? size + 1 : size);
    }
    return true;
}

static bool parse_field_name(struct parser *parser, struct slice *line, struct rule_source *source)
{
    struct slice name = take_word(line);
    if (name.size == 0) {
        return wrong_text(parser, "the name of the field is missing");
    }
    return add_text(parser, name, &source->text);
}

static bool is_decoding(struct slice word)
{
    return is_word(word, "msgpack") || is_word(word, "as") || is_word(word, "until") ||
           is_word(word, "json") || is_word(word, "tail") || is_word(word, "zlib");
}

static bool parse_reply(struct parser *parser, struct slice *line, struct rule_source *source)
{
    struct slice rest = *line;
    struct slice word = take_word(&rest);
    source->kind = RULE_SOURCE_REPLY;
    if (word.size > 0 && (uint8_t)(word.data[0] - '0') <= 9) {
        *line = rest;
        if (!parse_steps(parser, word, source)) {
            return false;
        }
        word = take_word(&rest);
    }
    if (!is_word(word, "field")) {
        return true;
    }
    *line = rest;
    source->kind = RULE_SOURCE_REPLY_FIELD;
    return parse_field_name(parser, line, source);
}

static bool parse_position(struct parser *parser, struct slice *line, struct rule_source *source)
{
    struct slice word = take_word(line);
    uint32_t number;
    bool is_argv = source->kind == RULE_SOURCE_ARGV;
    if (is_argv && !parser->rule.is_script) {
        return wrong_text(parser, "'argv' is for scripts (EVAL, EVALSHA, FCALL); here the "
                                  "arguments are 'argument 1', 'argument 2', ...");
    }
    bool is_from_end = !is_argv && !parser->rule.is_script && word.size > 1 && word.data[0] == '-';
    if (!parse_count(is_from_end ? slice_of(word.data + 1, word.size - 1) : word,
                     is_argv || is_from_end ? 31 : 63, &number)) {
        return wrong(parser,
                     is_argv
                         ? "'argv' needs a number from 1 to 31, not"
                         : "'argument' needs, with '-' from the end, a number from 1 to 63, not",
                     word.data != NULL ? word : SLICE(""), "");
    }
    source->position = (uint8_t)(is_from_end ? RULE_FROM_END + number : number);
    return true;
}

static bool parse_source(struct parser *parser, struct slice *line, struct rule_source *source)
{
    static const char *const kinds[] = {"argument", "argv", "field", "reply"};
    struct slice word = take_word(line);
    uint8_t kind;
    if (word.size == 0) {
        return wrong_text(parser, "where the value stands is missing: argument N, argv N, "
                                  "field NAME, reply, reply N");
    }
    if (!find_name(kinds, 4, word, &kind)) {
        return wrong_choice(parser, "a value stands in argument, argv, field or reply, not in",
                            word, kinds, 4, "");
    }
    source->kind = kind;
    switch ((enum rule_source_kind)kind) {
    case RULE_SOURCE_ARGUMENT:
    case RULE_SOURCE_ARGV:
        return parse_position(parser, line, source);
    case RULE_SOURCE_FIELD:
        return parse_field_name(parser, line, source);
    case RULE_SOURCE_REPLY:
    case RULE_SOURCE_REPLY_FIELD:
        break;
    }
    return parse_reply(parser, line, source);
}

/* A path is tried on a tree of its own, so that what is wrong with it has its line. */
static bool parse_json_path(struct parser *parser, struct slice path, struct rule_source *source)
{
    struct json_node nodes[1 + LIMIT_JSON_STEPS];
    size_t count = 1;
    if (path.size == 0) {
        return wrong_text(parser, "'json' needs the path to a value, as in: json job.id");
    }
    /* `a[-1]` is `a[]`, of which the last one counts. */
    static const char last[] = "[-1]";
    char any[LIMIT_JSON_STEPS * LIMIT_JSON_KEY];
    size_t last_size = sizeof last - 1;
    if (path.size >= last_size && path.size < sizeof any &&
        memcmp(path.data + path.size - last_size, last, last_size) == 0) {
        memcpy(any, path.data, path.size - last_size);
        memcpy(any + path.size - last_size, "[]", 2);
        path = slice_of(any, path.size - last_size + 2);
        source->is_last = true;
    }
    json_tree_init(nodes);
    if (!json_tree_add(nodes, 1 + LIMIT_JSON_STEPS, &count, path, 0)) {
        return wrong(parser, "this is no path of at most 8 names with 27 letters each:", path,
                     "; names have '.' between them, '[]' is any element, '[-1]' at the end the "
                     "last one, '*' any name");
    }
    return add_text(parser, path, &source->path);
}

/* What may follow a source: `json PATH`, `msgpack N`, `tail`, `until C`, `as UNIT`. Leaves what it
   does not know. */
static bool parse_decoding(struct parser *parser, struct slice *line, struct rule_value *value,
                           struct rule_source *source)
{
    static const char *const units[] = {NULL, "ms", "s", "iso"};
    struct slice rest = *line;
    uint32_t step;
    for (struct slice word = take_word(&rest); is_decoding(word); word = take_word(&rest)) {
        if (is_word(word, "zlib")) {
            if (value->variable != RULE_STACK || source->kind != RULE_SOURCE_FIELD) {
                return wrong_text(parser, "'zlib' is for a 'stack' that stands in a field");
            }
            source->is_packed = true;
            value->unit = RULE_UNIT_PACKED;
            *line = rest;
            continue;
        }
        if (is_word(word, "tail")) {
            source->is_tail = true;
            *line = rest;
            continue;
        }
        struct slice of = take_word(&rest);
        if (is_word(word, "json")) {
            if (source->path != 0) {
                return wrong_text(parser, "one place has one 'json'");
            }
            if (!parse_json_path(parser, of, source)) {
                return false;
            }
            if (value->decoding == RULE_MSGPACK) {
                value->decoding = RULE_PLAIN;
                source->element = value->decode_step;
            }
        } else if (is_word(word, "as")) {
            if (!find_name(units, 4, of, &value->unit)) {
                return wrong(parser, "a time is given as ms, s or iso, not as",
                             of.data != NULL ? of : SLICE(""), "");
            }
        } else if (is_word(word, "until")) {
            if (of.size != 1) {
                return wrong(parser, "'until' needs one character, in double quotes, not",
                             of.data != NULL ? of : SLICE(""), "");
            }
            value->decoding = RULE_UNTIL;
            value->decode_step = of.data[0];
        } else if (source->path != 0) {
            return wrong_text(parser, "'msgpack' stands before 'json': an element of an array may "
                                      "be JSON, but JSON holds no msgpack");
        } else if (parse_count(of, 15, &step)) {
            value->decoding = RULE_MSGPACK;
            value->decode_step = (uint8_t)step;
        } else {
            return wrong(parser, "'msgpack' needs the number of an element, from 1 to 15, not",
                         of.data != NULL ? of : SLICE(""), "");
        }
        *line = rest;
    }
    return true;
}

static bool parse_value(struct parser *parser, struct slice *line, struct rule_value *value)
{
    struct rule_source source = {.is_stack = value->variable == RULE_STACK};
    if (!parse_source(parser, line, &source) || !parse_decoding(parser, line, value, &source)) {
        return false;
    }
    bool is_argument = source.kind == RULE_SOURCE_ARGUMENT || source.kind == RULE_SOURCE_ARGV;
    if (source.element != 0 && !is_argument) {
        return wrong_text(parser, "JSON in msgpack is read in 'argument N' and 'argv N' alone");
    }
    return add_source(parser, &source, &value->source);
}

static bool at_end(struct parser *parser, struct slice line)
{
    struct slice word = take_word(&line);
    return word.data == NULL || wrong(parser, "nothing belongs behind the end:", word, "");
}

/* ---- statements ---- */

static bool is_number(uint8_t variable, struct slice word)
{
    static const uint64_t numbers = RULE_BIT(RULE_ATTEMPT) | RULE_BIT(RULE_ATTEMPTS) |
                                    RULE_BIT(RULE_DELAY) | RULE_BIT(RULE_STALLED) |
                                    RULE_BIT(RULE_PROGRESS_VALUE);
    bool is_right = true;
    for (size_t i = 0; i < word.size; i++) {
        is_right &= (uint8_t)(word.data[i] - '0') <= 9;
    }
    return is_right || (numbers >> variable & 1) == 0;
}

static bool parse_setting(struct parser *parser, uint8_t variable, struct slice line)
{
    struct rules *rules = parser->rules;
    struct rule_value value = {.source = RULE_NO_SOURCE, .variable = variable};
    struct slice word = take_word(&line);
    if (is_word(word, "from")) {
        if (!parse_value(parser, &line, &value)) {
            return false;
        }
    } else if (is_word(word, "is")) {
        word = take_word(&line);
        if (word.size == 0) {
            return wrong_text(parser, "the word behind 'is' is missing");
        }
        if (!is_number(variable, word)) {
            return wrong(parser, "this is told as a number, not as", word, "");
        }
        if (!add_text(parser, word, &value.text)) {
            return false;
        }
    } else {
        return wrong(parser, "behind a name comes 'from' and a place, or 'is' and a word, not",
                     word.data != NULL ? word : SLICE(""), "");
    }
    bool is_time = variable == RULE_STARTED || (RULE_TIMES >> variable & 1) != 0;
    if (is_time && value.unit == RULE_UNIT_NONE) {
        return wrong_text(parser, "a time needs its unit: as ms, as s or as iso");
    }
    if (rules->setting_count == LIMIT_RULE_SETTINGS || parser->rule.setting_count == UINT8_MAX) {
        return wrong_text(parser, "all rules together name too many values");
    }
    rules->settings[rules->setting_count++] = value;
    parser->rule.setting_count++;
    return at_end(parser, line);
}

/* when SOURCE [is WORD|WORD] / when SOURCE is not WORD|WORD / when SOURCE missing */
static bool parse_when(struct parser *parser, struct slice line)
{
    struct rules *rules = parser->rules;
    struct rule_condition condition = {0};
    struct slice rest = line;
    if (is_word(take_word(&rest), "claimed")) {
        parser->rule.needs_claim = true;
        return at_end(parser, rest);
    }
    if (!parse_value(parser, &line, &condition.value)) {
        return false;
    }
    if (rules->condition_count == LIMIT_RULE_CONDITIONS ||
        parser->rule.condition_count == UINT8_MAX) {
        return wrong_text(parser, "all rules together have too many conditions");
    }
    struct slice word = take_word(&line);
    if (is_word(word, "missing")) {
        condition.is_negated = true;
    } else if (is_word(word, "is")) {
        struct slice words = take_word(&line);
        if (is_word(words, "not")) {
            condition.is_negated = true;
            words = take_word(&line);
        }
        if (words.size == 0) {
            return wrong_text(parser, "the word behind 'is' is missing");
        }
        while (words.size > 0) {
            struct pattern pattern = {0};
            uint16_t offset;
            if (!put_pattern(parser, &pattern, take_choice(&words)) ||
                !add_text(parser, slice_of(pattern.bytes, pattern.used), &offset)) {
                return false;
            }
            condition.words = condition.word_count == 0 ? offset : condition.words;
            condition.word_count++;
        }
    } else if (word.data != NULL) {
        return wrong(parser, "a condition goes on with 'is' or 'missing', not with", word, "");
    }
    const struct rule_source *source = &rules->sources[condition.value.source];
    parser->rule.is_tentative |=
        !condition.is_negated && source->path != 0 &&
        (source->kind == RULE_SOURCE_REPLY || source->kind == RULE_SOURCE_REPLY_FIELD);
    rules->conditions[rules->condition_count++] = condition;
    parser->rule.condition_count++;
    return at_end(parser, line);
}

static bool sets_by_line(const struct parser *parser, uint8_t variable)
{
    const struct rule *rule = &parser->rule;
    for (uint32_t i = 0; i < rule->setting_count; i++) {
        if (parser->rules->settings[rule->first_setting + i].variable == variable) {
            return true;
        }
    }
    return false;
}

static bool sets(const struct parser *parser, uint8_t variable)
{
    const struct rules *rules = parser->rules;
    const struct rule *rule = &parser->rule;
    if (sets_by_line(parser, variable)) {
        return true;
    }
    for (uint32_t i = 0; i < rule->key_count; i++) {
        struct slice key = rules_text(rules, rules->keys[rule->first_key + i]);
        for (size_t at = 0; at + 1 < key.size; at++) {
            if (key.data[at] == RULE_CAPTURE && key.data[at + 1] == variable + 1) {
                return true;
            }
        }
    }
    return false;
}

static bool names_job(struct parser *parser)
{
    const struct rules *rules = parser->rules;
    uint64_t identity = rules->queues[parser->rule.queue].identity;
    for (uint8_t variable = 0; variable < RULE_VARIABLES; variable++) {
        bool is_needed = ((identity & ~RULE_TIMES) >> variable & 1) != 0;
        if (is_needed && !sets(parser, variable)) {
            return wrong(parser, "this rule does not tell the job's",
                         text_of(variable_names[variable]),
                         ", which is part of the queue's identity: capture it in a key, or add a "
                         "line for it");
        }
    }
    return true;
}

static bool is_of_reply(const struct rule_source *source)
{
    return source->kind == RULE_SOURCE_REPLY || source->kind == RULE_SOURCE_REPLY_FIELD;
}

/* Whether the rule is for whatever command has such keys: conditions on the answer choose none. */
static bool is_unconditional(const struct rules *rules, const struct rule *rule)
{
    for (uint32_t i = 0; i < rule->condition_count; i++) {
        uint16_t source = rules->conditions[rule->first_condition + i].value.source;
        if (!is_of_reply(&rules->sources[source])) {
            return false;
        }
    }
    return true;
}

/* Whether the key of one rule is whatever that of the other one may be. */
static bool covers_key(const struct rules *rules, uint16_t wide, uint16_t narrow)
{
    struct slice key = rules_text(rules, rules->keys[wide]);
    return (key.size == 2 && key.data[0] == RULE_CAPTURE) ||
           slice_equals(key, rules_text(rules, rules->keys[narrow]));
}

static bool covers_command(const struct rule *wide, uint16_t command)
{
    for (uint32_t i = 0; i < wide->command_count; i++) {
        if (wide->commands[i] == command) {
            return true;
        }
    }
    return false;
}

static bool covers(const struct rules *rules, const struct rule *wide, const struct rule *narrow)
{
    bool fits = wide->is_script && wide->key_count > 0 ? wide->key_count == narrow->key_count
                                                       : wide->key_count <= narrow->key_count;
    for (uint32_t i = 0; fits && i < wide->key_count; i++) {
        fits =
            covers_key(rules, (uint16_t)(wide->first_key + i), (uint16_t)(narrow->first_key + i));
    }
    for (uint32_t i = 0; fits && i < narrow->command_count; i++) {
        fits = covers_command(wide, narrow->commands[i]);
    }
    return fits && is_unconditional(rules, wide);
}

static void append_number(char *to, size_t capacity, uint32_t number)
{
    uint8_t digits[10];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    append(to, capacity, slice_of(digits + at, sizeof digits - at));
}

/* Of several rules that fit a command the first one counts. */
static bool is_reached(struct parser *parser)
{
    const struct rules *rules = parser->rules;
    struct rules_error *error = parser->error;
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        const struct rule *before = &rules->rules[i];
        if (before->file == parser->file && !before->is_next &&
            covers(rules, before, &parser->rule)) {
            wrong_text(parser, "this rule is never reached: the one in line ");
            append_number(error->text, sizeof error->text, before->line);
            append(error->text, sizeof error->text,
                   SLICE(" fits all of its commands; the narrower one goes first"));
            return false;
        }
    }
    return true;
}

/* The rule at hand has all its lines. */
static bool end_rule(struct parser *parser)
{
    struct rules *rules = parser->rules;
    uint32_t line = parser->line;
    if (!parser->has_rule) {
        return true;
    }
    parser->has_rule = false;
    parser->line = parser->rule_line;
    if (parser->rule.action == RULE_NONE) {
        return wrong_text(parser, "this rule does not say what the command does: submit, save, "
                                  "claim, read, complete, fail, retry, ...");
    }
    if (parser->rule.is_next && !sets_by_line(parser, RULE_ID)) {
        return wrong_text(parser, "behind 'then' another job is told of: it needs an 'id' of its "
                                  "own");
    }
    bool is_of_workflow =
        parser->rule.action == RULE_WORKFLOW_CANCEL || parser->rule.action == RULE_WORKFLOW_TIMEOUT;
    if (is_of_workflow && !sets(parser, RULE_WORKFLOW)) {
        return wrong_text(parser, "this rule does not tell the workflow: capture it in a key, or "
                                  "add a line for it");
    }
    if (parser->rule.action == RULE_ACK && !sets(parser, RULE_TAG)) {
        return wrong_text(parser, "an 'ack' needs the 'tag' that the job was handed out with");
    }
    if (parser->rule.action != RULE_FOLD && parser->rule.action != RULE_START &&
        parser->rule.action != RULE_ACK && !is_of_workflow && !names_job(parser)) {
        return false;
    }
    if (!parser->rule.is_next && !is_reached(parser)) {
        return false;
    }
    if (rules->rule_count == LIMIT_RULES) {
        return wrong_text(parser, "there are too many rules");
    }
    bool is_behind = parser->rule.action == RULE_MESSAGE || parser->rule.action == RULE_ARCHIVE;
    if (is_behind && (sets_by_line(parser, RULE_ERROR) || sets_by_line(parser, RULE_STACK))) {
        rules->queues[parser->rule.queue].flags |= RULE_QUEUE_LATE_WORDS;
    }
    rules->rules[rules->rule_count++] = parser->rule;
    parser->line = line;
    return true;
}

static bool is_script_command(struct slice name)
{
    static const char *const scripts[] = {"EVAL",    "EVALSHA",    "FCALL",
                                          "EVAL_RO", "EVALSHA_RO", "FCALL_RO"};
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        if (slice_equals_ignoring_case(name, text_of(scripts[i]))) {
            return true;
        }
    }
    return false;
}

static bool parse_on(struct parser *parser, struct slice line)
{
    struct slice words = take_word(&line);
    struct rules *rules = parser->rules;
    if (!parser->has_queue) {
        return wrong_text(parser, "a rule belongs to a queue: put 'queue NAME' before it");
    }
    if (words.size == 0) {
        return wrong_text(parser, "the command's name is missing");
    }
    parser->rule = (struct rule){
        .line = (uint16_t)parser->line,
        .file = parser->file,
        .queue = (uint8_t)(rules->queue_count - 1),
        .is_script = false,
        .first_key = rules->key_count,
        .first_setting = rules->setting_count,
        .first_condition = rules->condition_count,
    };
    parser->rule_line = parser->line;
    parser->has_rule = true;
    while (words.size > 0) {
        struct slice name = take_choice(&words);
        uint16_t entry = redis_command_entry(name);
        struct rule *rule = &parser->rule;
        if (entry == 0) {
            return wrong(parser, "no command of Redis is called", name, "");
        }
        if (rule->command_count == RULE_COMMANDS_MAX) {
            return wrong_text(parser, "one rule is for 6 commands at most");
        }
        if (rule->command_count > 0 && rule->is_script != is_script_command(name)) {
            return wrong(parser, "scripts and other commands do not go together:", name,
                         " needs a rule of its own");
        }
        rule->is_script = is_script_command(name);
        rule->commands[rule->command_count++] = entry;
    }
    return parse_keys(parser, line);
}

/* The queue at hand, if there is one, has all its lines. */
static bool end_queue(struct parser *parser)
{
    const struct rules *rules = parser->rules;
    bool is_empty =
        parser->has_queue && (rules->rule_count == 0 ||
                              rules->rules[rules->rule_count - 1].queue + 1 != rules->queue_count);
    if (is_empty) {
        parser->line = parser->queue_line;
        return wrong(parser, "there is no rule for the queue",
                     rules_text(rules, rules->queues[rules->queue_count - 1].name),
                     ": one begins with 'on COMMAND'");
    }
    return true;
}

static bool parse_queue(struct parser *parser, struct slice line)
{
    struct rules *rules = parser->rules;
    struct slice name = take_word(&line);
    if (name.size == 0) {
        return wrong_text(parser, "the queue's name is missing");
    }
    for (uint32_t i = 0; i < rules->queue_count; i++) {
        if (slice_equals(rules_text(rules, rules->queues[i].name), name)) {
            return wrong(parser, "there is a queue of that name already:", name, "");
        }
    }
    if (rules->queue_count == LIMIT_RULE_QUEUES) {
        return wrong_text(parser, "there are more than 24 queues");
    }
    if (!end_queue(parser)) {
        return false;
    }
    struct rule_queue queue = {.identity = RULE_BIT(RULE_ID)};
    if (!add_text(parser, name, &queue.name)) {
        return false;
    }
    rules->queues[rules->queue_count++] = queue;
    parser->has_queue = true;
    parser->queue_line = parser->line;
    return at_end(parser, line);
}

static struct rule_queue *queue_at_hand(struct parser *parser)
{
    return &parser->rules->queues[parser->rules->queue_count - 1];
}

static bool parse_identity(struct parser *parser, struct slice line)
{
    uint64_t identity = 0;
    for (struct slice word = take_word(&line); word.size > 0; word = take_word(&line)) {
        uint8_t variable;
        if (!find_name(variable_names, RULE_VARIABLES, word, &variable)) {
            return wrong_choice(parser, "nothing is known by the name", word, variable_names,
                                RULE_VARIABLES, "");
        }
        identity |= RULE_BIT(variable);
    }
    if ((identity & RULE_BIT(RULE_ID)) == 0) {
        return wrong_text(parser, "a queue's identity holds 'id' at least");
    }
    queue_at_hand(parser)->identity = identity;
    return true;
}

static bool parse_jobs(struct parser *parser, struct slice line)
{
    struct slice word = take_word(&line);
    if (word.size == 0) {
        return wrong_text(parser, "'jobs' needs fork, serial, unique or pool");
    }
    for (; word.size > 0; word = take_word(&line)) {
        static const char *const names[] = {"fork", "serial", "unique", "pool"};
        uint8_t number;
        if (!find_name(names, 4, word, &number)) {
            return wrong_choice(parser, "jobs are fork, serial, unique or pool, not", word, names,
                                4, "");
        }
        queue_at_hand(parser)->flags |= (uint8_t)(1u << number);
    }
    return true;
}

/* A line of a queue before its rules. */
static bool parse_queue_line(struct parser *parser, struct slice word, struct slice line)
{
    static const char *const names[] = {"identity", "jobs", "on", "queue"};
    if (!is_word(word, "identity") && !is_word(word, "jobs")) {
        return wrong_choice(parser, "a line begins with queue, identity, jobs or on, not with",
                            word, names, 4, "");
    }
    if (!parser->has_queue) {
        return wrong_text(parser, "there is no queue yet: put 'queue NAME' before it");
    }
    return is_word(word, "identity") ? parse_identity(parser, line) : parse_jobs(parser, line);
}

/* `then ACTION`: the lines behind it are about another job, which the same answer tells of. */
static bool parse_then(struct parser *parser, struct slice line)
{
    struct slice word = take_word(&line);
    uint8_t found;
    if (!find_name(action_names + 1, RULE_ACTIONS - 1, word, &found)) {
        return wrong_choice(parser, "behind 'then' comes what the answer does, not",
                            word.data != NULL ? word : SLICE(""), action_names, RULE_ACTIONS, "");
    }
    if (parser->rule.is_next) {
        return wrong_text(parser, "one rule has one 'then'");
    }
    struct rule next = parser->rule;
    parser->rule.has_next = true;
    if (!end_rule(parser)) {
        return false;
    }
    next.is_next = true;
    next.line = (uint16_t)parser->line;
    next.action = (uint8_t)(found + 1);
    next.first_setting = parser->rules->setting_count;
    next.first_condition = parser->rules->condition_count;
    next.setting_count = 0;
    next.condition_count = 0;
    parser->rule = next;
    parser->rule_line = parser->line;
    parser->has_rule = true;
    return at_end(parser, line);
}

static bool parse_rule_line(struct parser *parser, struct slice word, struct slice line)
{
    uint8_t found;
    if (is_word(word, "then")) {
        return parse_then(parser, line);
    }
    if (is_word(word, "keys")) {
        return parse_keys(parser, line);
    }
    if (is_word(word, "when")) {
        return parse_when(parser, line);
    }
    if (find_name(variable_names, RULE_VARIABLES, word, &found)) {
        return parse_setting(parser, found, line);
    }
    if (find_name(action_names + 1, RULE_ACTIONS - 1, word, &found)) {
        if (parser->rule.action != RULE_NONE) {
            return wrong(parser, "a rule says one thing that the command does; this one says",
                         text_of(action_names[parser->rule.action]), " already");
        }
        parser->rule.action = (uint8_t)(found + 1);
        return at_end(parser, line);
    }
    for (uint32_t i = 1; i < RULE_ACTIONS; i++) {
        if (is_near(word, text_of(action_names[i]))) {
            return wrong_choice(parser, "a rule knows nothing of", word, action_names, RULE_ACTIONS,
                                "");
        }
    }
    return wrong_choice(parser, "a rule knows nothing of", word, variable_names, RULE_VARIABLES,
                        ": a line begins with keys, when, what the command does, or the name of "
                        "what it tells");
}

static bool parse_line(struct parser *parser, struct slice line)
{
    struct slice word = take_word(&line);
    if (word.data == NULL) {
        return true;
    }
    if (is_word(word, "queue")) {
        /* `queue` begins a block where it stands alone with a name, and tells a job's queue where
           it goes on with `from` or `is`. */
        struct slice rest = line;
        take_word(&rest);
        bool is_setting = parser->has_rule && take_word(&rest).size > 0;
        if (!is_setting) {
            return end_rule(parser) && parse_queue(parser, line);
        }
    }
    if (is_word(word, "on")) {
        return end_rule(parser) && parse_on(parser, line);
    }
    return parser->has_rule ? parse_rule_line(parser, word, line)
                            : parse_queue_line(parser, word, line);
}

static bool check_bytes(struct parser *parser, struct slice line)
{
    for (size_t i = 0; i < line.size; i++) {
        uint8_t byte = line.data[i];
        if ((byte < 0x20 && !is_blank(byte)) || byte == 0x7f) {
            return wrong_text(parser, "a control character: a rule file is plain text");
        }
    }
    return line.size <= 1024 || wrong_text(parser, "a line is longer than 1024 bytes");
}

static bool check_quotes(struct parser *parser, struct slice line)
{
    while (line.size > 0) {
        bool is_quoted = line.data[0] == '"';
        if (is_blank(line.data[0])) {
            slice_take(&line, 1);
            continue;
        }
        struct slice rest = slice_of(line.data + 1, line.size - 1);
        if (is_quoted && memchr(rest.data, '"', rest.size) == NULL) {
            return wrong(parser, "this begins with a '\"' and does not end with one:", rest, "");
        }
        take_word(&line);
    }
    return true;
}

bool rules_parse(struct rules *rules, uint8_t file, struct slice text, struct rules_error *error)
{
    struct parser parser = {.rules = rules, .error = error, .file = file};
    if (text.size > LIMIT_RULE_FILE_BYTES) {
        return wrong_text(&parser, "the file is larger than 64 KiB");
    }
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        struct slice line = slice_take(&text, size);
        slice_take(&text, text.size > 0 ? 1 : 0);
        parser.line++;
        if (!check_bytes(&parser, line) || !check_quotes(&parser, line) ||
            !parse_line(&parser, line)) {
            return false;
        }
    }
    parser.line = parser.rule_line;
    return end_rule(&parser) && end_queue(&parser);
}

/* ---- lists ---- */

static bool add_member(struct rules *rules, struct rule_list *list, uint16_t number,
                       struct parser *parser)
{
    parser->line = rules->rules[number].line;
    if (list->count == LIMIT_RULES_OF_COMMAND || rules->member_count == LIMIT_RULE_MEMBERS) {
        return wrong_text(parser, "there are too many rules for this command");
    }
    list->is_script = rules->rules[number].is_script;
    rules->members[rules->member_count++] = number;
    list->count++;
    return true;
}

static bool list_has_field(const struct rules *rules, const struct rule_list *list, uint16_t source)
{
    for (uint32_t i = 0; i < list->field_count; i++) {
        if (rules->fields[list->first_field + i] == source) {
            return true;
        }
    }
    return false;
}

static bool note_source(struct rules *rules, struct rule_list *list, uint16_t number)
{
    if (number == RULE_NO_SOURCE) {
        return true;
    }
    const struct rule_source *source = &rules->sources[number];
    if (source->path != 0 && source->kind != RULE_SOURCE_FIELD) {
        return true; /* note_documents */
    }
    if (source->kind == RULE_SOURCE_ARGUMENT && source->position > RULE_FROM_END) {
        list->end_positions |= 1u << (source->position - RULE_FROM_END);
    } else if (source->kind == RULE_SOURCE_ARGUMENT) {
        list->positions |= UINT64_C(1) << source->position;
    } else if (source->kind == RULE_SOURCE_ARGV) {
        list->argv_positions |= 1u << source->position;
    } else if (source->kind == RULE_SOURCE_FIELD && !list_has_field(rules, list, number)) {
        if (rules->field_count == LIMIT_RULE_SOURCES) {
            return false;
        }
        rules->fields[rules->field_count++] = number;
        list->field_count++;
    }
    return true;
}

static bool note_rule(struct rules *rules, struct rule_list *list, const struct rule *rule)
{
    bool has_room = true;
    for (uint32_t i = 0; i < rule->key_count && !rule->is_script; i++) {
        list->positions |= UINT64_C(1) << (i + 1);
    }
    for (uint32_t i = 0; i < rule->setting_count; i++) {
        has_room &= note_source(rules, list, rules->settings[rule->first_setting + i].source);
    }
    for (uint32_t i = 0; i < rule->condition_count; i++) {
        has_room &=
            note_source(rules, list, rules->conditions[rule->first_condition + i].value.source);
    }
    return has_room;
}

/* ---- JSON ---- */

/* One tree for all that is wanted of one place. */
static bool make_document(struct rules *rules, uint16_t place)
{
    size_t count = 1;
    if (rules->document_count == LIMIT_RULE_DOCUMENTS ||
        rules->node_count == LIMIT_RULE_JSON_NODES) {
        return false;
    }
    struct rule_document *document = &rules->documents[rules->document_count++];
    *document = (struct rule_document){
        .place = place, .first_node = rules->node_count, .first_path = rules->path_count};
    struct json_node *nodes = rules->nodes + rules->node_count;
    json_tree_init(nodes);
    for (uint16_t i = place; i < rules->source_count; i++) {
        struct rule_source *source = &rules->sources[i];
        if (source->path == 0 || !same_place(rules, source, &rules->sources[place])) {
            continue;
        }
        if (document->path_count == JSON_NO_PATH ||
            !json_tree_add(nodes, LIMIT_RULE_JSON_NODES - (size_t)rules->node_count, &count,
                           rules_text(rules, source->path), (uint8_t)document->path_count)) {
            return false;
        }
        source->document = (uint8_t)rules->document_count;
        rules->paths[rules->path_count++] = i;
        document->path_count++;
    }
    rules->node_count = (uint16_t)(rules->node_count + count);
    return true;
}

static bool make_documents(struct rules *rules)
{
    for (uint16_t i = 0; i < rules->source_count; i++) {
        const struct rule_source *source = &rules->sources[i];
        if (source->path != 0 && source->document == 0 && !make_document(rules, i)) {
            return false;
        }
    }
    return true;
}

static bool note_document(struct rules *rules, struct rule_list *list, uint8_t document,
                          uint32_t member)
{
    for (uint32_t i = 0; i < list->document_count; i++) {
        struct rule_list_document *each = &rules->list_documents[list->first_document + i];
        if (each->document == document) {
            each->members |= UINT64_C(1) << member;
            return true;
        }
    }
    if (rules->list_document_count == 2 * LIMIT_RULE_DOCUMENTS) {
        return false;
    }
    rules->list_documents[rules->list_document_count++] =
        (struct rule_list_document){.members = UINT64_C(1) << member, .document = document};
    list->document_count++;
    return true;
}

/* Arguments in which the list's rules read JSON. */
static bool note_documents(struct rules *rules, struct rule_list *list)
{
    list->first_document = rules->list_document_count;
    for (uint32_t member = 0; member < list->count; member++) {
        const struct rule *rule = &rules->rules[rules->members[list->first + member]];
        uint32_t values = (uint32_t)rule->setting_count + rule->condition_count;
        for (uint32_t i = 0; i < values; i++) {
            uint16_t number =
                i < rule->setting_count
                    ? rules->settings[rule->first_setting + i].source
                    : rules->conditions[rule->first_condition + i - rule->setting_count]
                          .value.source;
            const struct rule_source *source =
                number == RULE_NO_SOURCE ? NULL : &rules->sources[number];
            bool is_argument =
                source != NULL && source->path != 0 &&
                (source->kind == RULE_SOURCE_ARGUMENT || source->kind == RULE_SOURCE_ARGV);
            if (is_argument &&
                !note_document(rules, list, (uint8_t)(source->document - 1), member)) {
                return false;
            }
        }
    }
    return true;
}

static bool is_for(const struct rule *rule, uint16_t entry)
{
    for (uint32_t i = 0; i < rule->command_count; i++) {
        if (rule->commands[i] == entry) {
            return true;
        }
    }
    return false;
}

/* Most commands are about keys of no queue: that is seen by their first byte. */
static void note_first_byte(struct rules *rules, struct rule_list *list, const struct rule *rule)
{
    struct slice key =
        rule->key_count == 0 ? slice_of(NULL, 0) : rules_text(rules, rules->keys[rule->first_key]);
    if (rule->is_script || key.size == 0 || key.data[0] == RULE_CAPTURE) {
        memset(list->first_bytes, 0xFF, sizeof list->first_bytes);
        return;
    }
    list->first_bytes[key.data[0] / 64] |= UINT64_C(1) << key.data[0] % 64;
}

static bool make_list(struct rules *rules, uint16_t entry, struct parser *parser)
{
    if (rules->list_count == LIMIT_RULE_LISTS) {
        return wrong_text(parser, "the rules are for more than 64 commands");
    }
    struct rule_list *list = &rules->lists[rules->list_count++];
    *list = (struct rule_list){.first = rules->member_count, .first_field = rules->field_count};
    rules->list_of[entry] = (uint8_t)rules->list_count;
    for (uint16_t i = 0; i < rules->rule_count; i++) {
        if (!is_for(&rules->rules[i], entry)) {
            continue;
        }
        if (!rules->rules[i].is_next && !add_member(rules, list, i, parser)) {
            return false;
        }
        note_first_byte(rules, list, &rules->rules[i]);
        if (!note_rule(rules, list, &rules->rules[i])) {
            return wrong_text(parser, "the rules name too many fields");
        }
    }
    return note_documents(rules, list) || wrong_text(parser, "the rules look into too much JSON");
}

bool rules_finish(struct rules *rules, struct rules_error *error)
{
    struct parser parser = {.rules = rules, .error = error};
    if (!make_documents(rules)) {
        return wrong_text(&parser, "the rules look into too much JSON");
    }
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        const struct rule *rule = &rules->rules[i];
        for (uint32_t c = 0; c < rule->command_count; c++) {
            if (rules->list_of[rule->commands[c]] == 0 &&
                !make_list(rules, rule->commands[c], &parser)) {
                return false;
            }
        }
    }
    return true;
}
