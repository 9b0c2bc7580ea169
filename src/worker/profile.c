#include "worker/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "worker/proc_file.h"

#define PATH_BYTES 512u
#define WORDS_MAX  4u

struct addition {
    struct slice attribute;
    struct slice from; /* NULL data: `value` as it stands */
    struct slice value;
};

struct rename {
    struct slice on;
    struct slice when;      /* NULL data: always */
    struct slice before;    /* of the name; NULL data: stays as it is */
    struct slice attribute; /* whose value follows; NULL data: none */
    struct slice after;
    bool is_usual;
    uint32_t line;
    uint32_t first_addition;
    uint32_t addition_count;
};

struct profile {
    char *file;     /* owned; NULL: the text is the caller's */
    uint32_t first; /* the chosen profile's */
    uint32_t end;
    uint32_t rename_count; /* with those of the text's other profiles */
    uint32_t addition_count;
    struct rename renames[LIMIT_PROFILE_RULES];
    struct addition additions[LIMIT_PROFILE_ADDITIONS];
};

static const char shipped[] =
#include "worker/profiles.inc"
    ;

struct slice profile_shipped(void)
{
    return slice_of(shipped, sizeof(shipped) - 1);
}

/* ---- the text ---- */

struct parser {
    struct profile *profile;
    struct profile_error *error;
    struct slice wanted; /* empty: the first */
    uint32_t line;
    bool is_found;
    bool is_inside; /* the profile at hand is the wanted one */
    bool has_profile;
    bool has_rule;
};

static bool fail(struct parser *parser, const char *problem, struct slice word)
{
    parser->error->line = parser->line;
    snprintf(parser->error->text, sizeof(parser->error->text), "%s%s%.*s", problem,
             word.size > 0 ? ": " : "", (int)(word.size < 60 ? word.size : 60),
             (const char *)word.data);
    return false;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* Words are divided by blanks. Returns how many there are, or WORDS_MAX + 1. */
static uint32_t split(struct slice line, struct slice words[WORDS_MAX])
{
    uint32_t count = 0;
    for (;;) {
        while (line.size > 0 && is_blank(line.data[0])) {
            slice_take(&line, 1);
        }
        if (line.size == 0 || line.data[0] == '#') {
            return count;
        }
        size_t size = 0;
        while (size < line.size && !is_blank(line.data[size])) {
            size++;
        }
        if (count == WORDS_MAX) {
            return WORDS_MAX + 1;
        }
        words[count++] = slice_take(&line, size);
    }
}

static bool is_word(struct slice word, const char *text)
{
    return slice_equals(word, slice_of(text, strlen(text)));
}

static void end_profile(struct parser *parser)
{
    if (parser->is_inside) {
        parser->profile->end = parser->profile->rename_count;
    }
}

static bool begin_profile(struct parser *parser, struct slice name)
{
    bool is_wanted =
        parser->wanted.size == 0 ? !parser->has_profile : slice_equals(name, parser->wanted);
    if (is_wanted && parser->is_found) {
        return fail(parser, "this profile was there before", name);
    }
    end_profile(parser);
    parser->has_profile = true;
    parser->has_rule = false;
    parser->is_found |= is_wanted;
    parser->is_inside = is_wanted;
    if (is_wanted) {
        parser->profile->first = parser->profile->rename_count;
    }
    return true;
}

static struct rename *current(const struct parser *parser)
{
    return &parser->profile->renames[parser->profile->rename_count - 1];
}

static bool begin_rule(struct parser *parser, struct slice on)
{
    if (!parser->has_profile) {
        return fail(parser, "no profile yet: a line `profile NAME` comes first", SLICE(""));
    }
    if (parser->profile->rename_count == LIMIT_PROFILE_RULES) {
        return fail(parser, "too many rules", SLICE(""));
    }
    parser->has_rule = true;
    parser->profile->renames[parser->profile->rename_count++] = (struct rename){
        .on = on,
        .line = parser->line,
        .first_addition = parser->profile->addition_count,
    };
    return true;
}

/* Text, then perhaps one {attribute}, then text. */
static bool set_name(struct parser *parser, struct slice name)
{
    struct rename *rename = current(parser);
    if (rename->before.data != NULL || rename->is_usual) {
        return fail(parser, "a second name", name);
    }
    if (is_word(name, "usual")) {
        rename->is_usual = true;
        return true;
    }
    const uint8_t *open = memchr(name.data, '{', name.size);
    const uint8_t *close = memchr(name.data, '}', name.size);
    rename->before = name;
    if (open == NULL && close == NULL) {
        return true;
    }
    if (open == NULL || close == NULL || close < open + 2) {
        return fail(parser, "braces hold the name of one attribute", name);
    }
    size_t end = (size_t)(close - name.data);
    rename->before.size = (size_t)(open - name.data);
    rename->attribute = slice_of(open + 1, (size_t)(close - open) - 1);
    rename->after = slice_of(close + 1, name.size - end - 1);
    return memchr(rename->after.data, '{', rename->after.size) == NULL ||
           fail(parser, "a name has room for one attribute", name);
}

static bool add_addition(struct parser *parser, struct addition addition)
{
    struct profile *profile = parser->profile;
    if (profile->addition_count == LIMIT_PROFILE_ADDITIONS) {
        return fail(parser, "too many attributes", SLICE(""));
    }
    profile->additions[profile->addition_count++] = addition;
    current(parser)->addition_count++;
    return true;
}

static bool parse_of_rule(struct parser *parser, const struct slice words[WORDS_MAX],
                          uint32_t count)
{
    if (!parser->has_rule) {
        return fail(parser, "no rule yet: a line `on SPAN` comes first", words[0]);
    }
    if (count == 2 && is_word(words[0], "when")) {
        if (current(parser)->when.data != NULL) {
            return fail(parser, "a second condition", words[1]);
        }
        current(parser)->when = words[1];
        return true;
    }
    if (count == 2 && is_word(words[0], "name")) {
        return set_name(parser, words[1]);
    }
    if (count == 3 && is_word(words[1], "from")) {
        return add_addition(parser, (struct addition){.attribute = words[0], .from = words[2]});
    }
    if (count == 4 && is_word(words[0], "set") && is_word(words[2], "to")) {
        return add_addition(parser, (struct addition){.attribute = words[1], .value = words[3]});
    }
    return fail(parser, "not understood", words[0]);
}

static bool parse_line(struct parser *parser, struct slice line)
{
    struct slice words[WORDS_MAX];
    uint32_t count = split(line, words);
    if (count == 0) {
        return true;
    }
    if (count > WORDS_MAX) {
        return fail(parser, "too many words", words[0]);
    }
    if (count == 2 && is_word(words[0], "profile")) {
        return begin_profile(parser, words[1]);
    }
    if (count == 2 && is_word(words[0], "on")) {
        return begin_rule(parser, words[1]);
    }
    return parse_of_rule(parser, words, count);
}

static bool parse(struct parser *parser, struct slice text)
{
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        struct slice line = slice_take(&text, end == NULL ? text.size : (size_t)(end - text.data));
        slice_take(&text, text.size > 0 ? 1 : 0);
        parser->line++;
        if (!parse_line(parser, line)) {
            return false;
        }
    }
    end_profile(parser);
    parser->line = 0;
    return parser->is_found || fail(parser, "there is no profile of this name", parser->wanted);
}

struct profile *profile_create(struct slice text, struct slice name, struct profile_error *error)
{
    struct profile *profile = calloc(1, sizeof(*profile));
    struct parser parser = {.profile = profile, .error = error, .wanted = name};
    if (profile == NULL) {
        fail(&parser, "no memory", SLICE(""));
        return NULL;
    }
    return parse(&parser, text) ? profile : profile_destroy(profile);
}

struct profile *profile_destroy(struct profile *profile)
{
    if (profile != NULL) {
        free(profile->file);
        free(profile);
    }
    return NULL;
}

/* ---- files ---- */

static struct profile *open_file(struct slice name, struct profile_error *error)
{
    struct parser parser = {.error = error};
    char path[PATH_BYTES];
    if (name.size >= sizeof(path)) {
        fail(&parser, "the path is too long", SLICE(""));
        return NULL;
    }
    memcpy(path, name.data, name.size);
    path[name.size] = '\0';
    char *text = malloc(LIMIT_RULE_FILE_BYTES + 1);
    struct slice read = {NULL, 0};
    if (text != NULL) {
        read = proc_file_read("", path, text, LIMIT_RULE_FILE_BYTES + 1);
    }
    struct profile *profile = NULL;
    if (read.data == NULL) {
        fail(&parser, "it cannot be read", SLICE(""));
    } else if (read.size > LIMIT_RULE_FILE_BYTES) {
        fail(&parser, "it is too large", SLICE(""));
    } else {
        profile = profile_create(read, SLICE(""), error);
    }
    if (profile == NULL) {
        free(text);
    } else {
        profile->file = text;
    }
    return profile;
}

struct profile *profile_open(struct slice name, struct profile_error *error)
{
    error->text[0] = '\0';
    if (name.size == 0 || slice_equals(name, SLICE("library"))) {
        return NULL;
    }
    if (memchr(name.data, '/', name.size) != NULL) {
        return open_file(name, error);
    }
    return profile_create(profile_shipped(), name, error);
}

/* ---- spans ---- */

static const struct attribute *find_attribute(const struct span *span, struct slice key)
{
    for (uint32_t i = 0; i < span->attribute_count; i++) {
        if (slice_equals(span->attributes[i].key, key)) {
            return &span->attributes[i];
        }
    }
    return NULL;
}

static void add_copies(const struct profile *profile, const struct rename *rename,
                       struct span *span)
{
    for (uint32_t i = 0; i < rename->addition_count; i++) {
        const struct addition *addition = &profile->additions[rename->first_addition + i];
        if (addition->from.data == NULL) {
            span_add_literal(span, addition->attribute, addition->value);
            continue;
        }
        const struct attribute *from = find_attribute(span, addition->from);
        if (from != NULL && find_attribute(span, addition->attribute) == NULL) {
            span_add_copy(span, addition->attribute, from);
        }
    }
}

/* Without the value the name ends before it, and before the dot that would have led to it. */
static struct slice name_without_value(struct slice before)
{
    while (before.size > 0 &&
           (before.data[before.size - 1] == '.' || before.data[before.size - 1] == ' ')) {
        before.size--;
    }
    return before;
}

static struct slice make_name(const struct rename *rename, struct span *span)
{
    if (rename->is_usual) {
        return span->usual_name.data != NULL ? span->usual_name : span->name;
    }
    if (rename->attribute.data == NULL) {
        return rename->before.data != NULL ? rename->before : span->name;
    }
    const struct attribute *attribute = find_attribute(span, rename->attribute);
    if (attribute == NULL || attribute->type != ATTRIBUTE_STRING || attribute->string.size == 0) {
        return name_without_value(rename->before);
    }
    const struct slice parts[] = {rename->before, attribute->string, rename->after};
    struct slice joined = span_join(span, parts, 3);
    return joined.data != NULL ? joined : name_without_value(rename->before);
}

void profile_apply(const struct profile *profile, struct span *span)
{
    struct slice name = span->is_http_server ? SLICE("http.server") : span->name;
    for (uint32_t i = profile->first; i < profile->end; i++) {
        const struct rename *rename = &profile->renames[i];
        if (slice_equals(rename->on, name) &&
            (rename->when.data == NULL || find_attribute(span, rename->when) != NULL)) {
            add_copies(profile, rename, span);
            span->name = make_name(rename, span);
            return;
        }
    }
}
