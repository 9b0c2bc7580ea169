#include "rules/match.h"

#include "base/compiler.h"

/* Where the arguments of a script begin: script, count, keys. */
#define SCRIPT_COUNT_INDEX 2u
#define SCRIPT_KEYS_INDEX  3u

/* ---- values that are kept ---- */

static struct slice kept_value(const struct rule_capture *capture, uint16_t what)
{
    for (uint32_t i = 0; i < capture->kept_count; i++) {
        if (capture->kept[i].what == what) {
            return slice_of(capture->text + capture->kept[i].offset, capture->kept[i].size);
        }
    }
    return slice_of(NULL, 0);
}

static void begin_value(struct rule_capture *capture, uint16_t target, bool is_name)
{
    capture->target = target;
    capture->is_name = is_name;
    capture->value_at = capture->text_used;
}

static void take_bytes(struct rule_capture *capture, struct slice piece)
{
    size_t limit = capture->value_at + (size_t)LIMIT_RULE_VALUE;
    size_t end = limit < RULE_CAPTURE_TEXT ? limit : RULE_CAPTURE_TEXT;
    size_t room = end - capture->text_used;
    size_t size = piece.size < room ? piece.size : room;
    capture->is_cut |= size < piece.size && !capture->is_name;
    if (size > 0) {
        memcpy(capture->text + capture->text_used, piece.data, size);
        capture->text_used = (uint16_t)(capture->text_used + size);
    }
}

static struct slice value_at_hand(const struct rule_capture *capture)
{
    return slice_of(capture->text + capture->value_at,
                    (size_t)(capture->text_used - capture->value_at));
}

static void keep_value(struct rule_capture *capture)
{
    if (capture->kept_count < RULE_KEPT_MAX) {
        capture->kept[capture->kept_count++] = (struct rule_kept){
            .what = capture->target,
            .offset = capture->value_at,
            .size = (uint16_t)(capture->text_used - capture->value_at),
        };
    } else {
        capture->is_cut = true;
        capture->text_used = capture->value_at;
    }
    capture->target = RULE_NO_SOURCE;
}

/* The bytes of a name are needed no longer. */
static void drop_value(struct rule_capture *capture)
{
    capture->text_used = capture->value_at;
    capture->target = RULE_NO_SOURCE;
    capture->is_name = false;
}

static bool parse_number(struct slice text, uint32_t *number)
{
    uint32_t value = 0;
    if (text.size == 0 || text.size > 9) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

/* ---- patterns ---- */

/* A run of literal bytes of a pattern, found from its end: `*pattern` loses it. */
static struct slice last_literal(struct slice *pattern)
{
    size_t begin = pattern->size;
    while (begin > 0 && (begin < 2 || pattern->data[begin - 2] != RULE_CAPTURE)) {
        begin--;
    }
    struct slice literal = slice_of(pattern->data + begin, pattern->size - begin);
    pattern->size = begin;
    return literal;
}

static bool ends_with(struct slice text, struct slice end)
{
    return text.size >= end.size &&
           slice_equals(slice_of(text.data + text.size - end.size, end.size), end);
}

/* The end of the last occurrence of `literal`, that leaves something behind it; 0: there is none.
 */
static size_t find_last(struct slice text, struct slice literal)
{
    for (size_t end = text.size; end-- > literal.size;) {
        if (slice_equals(slice_of(text.data + end - literal.size, literal.size), literal)) {
            return end;
        }
    }
    return 0;
}

static bool capture_value(uint8_t variable, struct slice value, struct rule_facts *facts)
{
    if (value.size == 0) {
        return false;
    }
    if (variable == RULE_ANYTHING || facts == NULL) {
        return true;
    }
    struct slice *known = &facts->values[variable - 1];
    if (known->data != NULL) {
        return slice_equals(*known, value);
    }
    *known = value;
    return true;
}

/* From its end: a capture reaches back to the nearest occurrence of the text before it. */
static bool match_pattern(struct slice pattern, struct slice key, struct rule_facts *facts)
{
    struct slice literal = last_literal(&pattern);
    if (pattern.size == 0) {
        return slice_equals(key, literal);
    }
    if (!ends_with(key, literal)) {
        return false;
    }
    key.size -= literal.size;
    while (pattern.size > 0) {
        uint8_t variable = pattern.data[pattern.size - 1];
        pattern.size -= 2;
        literal = last_literal(&pattern);
        size_t begin = literal.size;
        if (pattern.size > 0) {
            begin = find_last(key, literal);
            if (begin == 0) {
                return false;
            }
        } else if (!slice_starts_with(key, literal)) {
            return false;
        }
        if (!capture_value(variable, slice_of(key.data + begin, key.size - begin), facts)) {
            return false;
        }
        key.size = begin - literal.size;
    }
    return true;
}

static const struct rule *candidate(const struct rules *rules, const struct rule_list *list,
                                    uint32_t number)
{
    return &rules->rules[rules->members[list->first + number]];
}

static bool match_key(const struct rules *rules, const struct rule *rule, uint32_t number,
                      struct slice key, struct rule_facts *facts)
{
    return match_pattern(rules_text(rules, rules->keys[rule->first_key + number]), key, facts);
}

/* ---- arguments ---- */

void rules_begin(const struct rules *rules, struct rule_capture *capture, uint8_t list,
                 uint32_t arguments)
{
    memset(capture, 0, offsetof(struct rule_capture, kept));
    capture->list = list;
    capture->arguments = arguments;
    capture->target = RULE_NO_SOURCE;
    capture->wanted = RULE_NO_SOURCE;
    uint32_t count = rules->lists[list - 1].count;
    capture->candidates = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static bool is_wanted_argument(const struct rule_list *list, const struct rule_capture *capture,
                               uint32_t index)
{
    if (!list->is_script) {
        return index < 64 && (list->positions >> index & 1) != 0;
    }
    uint32_t behind = SCRIPT_KEYS_INDEX + capture->keys;
    if (index < behind) {
        return index < SCRIPT_KEYS_INDEX ? (list->positions >> index & 1) != 0
                                         : index - SCRIPT_KEYS_INDEX < LIMIT_RULE_SCRIPT_KEYS;
    }
    uint32_t number = index - behind + 1;
    return number < 32 && (list->argv_positions >> number & 1) != 0;
}

static void begin_argument(const struct rules *rules, struct rule_capture *capture, uint32_t index)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    if (capture->wanted != RULE_NO_SOURCE && capture->wanted_index == index) {
        begin_value(capture, capture->wanted, false);
        capture->wanted = RULE_NO_SOURCE;
    } else if (is_wanted_argument(list, capture, index)) {
        begin_value(capture, (uint16_t)(RULE_KEPT_ARGUMENT | index), false);
    } else if (list->is_script && index == SCRIPT_COUNT_INDEX) {
        begin_value(capture, RULE_KEPT_ARGUMENT | SCRIPT_COUNT_INDEX, true);
    } else if (list->field_count > 0 && (capture->arguments - index) % 2 == 0) {
        begin_value(capture, 0, true);
    }
}

static void end_name(const struct rules *rules, struct rule_capture *capture, uint32_t index)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    struct slice name = value_at_hand(capture);
    for (uint32_t i = 0; i < list->field_count; i++) {
        uint16_t source = rules->fields[list->first_field + i];
        if (slice_equals(name, rules_text(rules, rules->sources[source].text))) {
            capture->wanted = source;
            capture->wanted_index = index + 1;
            break;
        }
    }
    drop_value(capture);
}

/* Few commands are of a queue's: most leave by their first key. */
static void sift_by_key(const struct rules *rules, struct rule_capture *capture, uint32_t number)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    struct slice key = value_at_hand(capture);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct rule *rule = candidate(rules, list, i);
        if ((capture->candidates >> i & 1) != 0 && number < rule->key_count &&
            !match_key(rules, rule, number, key, NULL)) {
            capture->candidates &= ~(UINT64_C(1) << i);
        }
    }
}

static void sift_by_count(const struct rules *rules, struct rule_capture *capture)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    bool is_count = parse_number(value_at_hand(capture), &capture->keys);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct rule *rule = candidate(rules, list, i);
        if (!is_count || (rule->key_count > 0 && rule->key_count != capture->keys)) {
            capture->candidates &= ~(UINT64_C(1) << i);
        }
    }
}

static void end_argument(const struct rules *rules, struct rule_capture *capture, uint32_t index)
{
    bool is_script = rules->lists[capture->list - 1].is_script;
    if (is_script && index == SCRIPT_COUNT_INDEX) {
        sift_by_count(rules, capture);
        drop_value(capture);
        return;
    }
    if (capture->is_name) {
        end_name(rules, capture, index);
        return;
    }
    uint32_t first_key = is_script ? SCRIPT_KEYS_INDEX : 1;
    if (index == first_key) {
        sift_by_key(rules, capture, 0);
    }
    keep_value(capture);
}

bool rules_argument(const struct rules *rules, struct rule_capture *capture, uint32_t index,
                    struct slice piece, bool last)
{
    if (index == 0) {
        return true;
    }
    if (capture->target == RULE_NO_SOURCE) {
        begin_argument(rules, capture, index);
        if (capture->target == RULE_NO_SOURCE) {
            /* Pieces of an argument that nobody wants come here one by one. */
            return capture->candidates != 0;
        }
    }
    take_bytes(capture, piece);
    if (last) {
        end_argument(rules, capture, index);
    }
    return capture->candidates != 0;
}

/* ---- values ---- */

/* One value of msgpack: how many bytes it has, and where its text stands. 0: none that is known
   here. */
static size_t read_msgpack(struct slice in, struct slice *text, uint64_t *number, bool *is_number)
{
    *is_number = false;
    *text = slice_of(NULL, 0);
    if (in.size == 0) {
        return 0;
    }
    uint8_t type = in.data[0];
    size_t head = 1;
    size_t size = 0;
    size_t width = 0;
    if (type <= 0x7f || type == 0xc0 || type == 0xc2 || type == 0xc3) {
        *is_number = type <= 0x7f;
        *number = type;
        return 1;
    }
    if ((type & 0xe0) == 0xa0) {
        size = type & 0x1f;
    } else if (type >= 0xd9 && type <= 0xdb) {
        width = (size_t)1 << (type - 0xd9);
    } else if (type >= 0xcc && type <= 0xcf) {
        width = (size_t)1 << (type - 0xcc);
        *is_number = true;
    } else if (type == 0xcb) {
        width = 8;
        *is_number = true;
    } else {
        return 0;
    }
    if (in.size < head + width) {
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        value = value << 8 | in.data[head + i];
    }
    head += width;
    if (type == 0xcb) {
        double real;
        memcpy(&real, &value, sizeof real);
        value = real >= 0 && real < 9e18 ? (uint64_t)real : 0;
    }
    if (*is_number) {
        *number = value;
        return head;
    }
    size = width > 0 ? (size_t)value : size;
    if (size > in.size - head) {
        return 0;
    }
    *text = slice_of(in.data + head, size);
    return head + size;
}

/* Element `wanted` (from 1) of an array. Numbers are not text: their bytes stand in the capture as
   they are, so they are told by `*number`. */
static bool find_in_msgpack(struct slice in, uint8_t wanted, struct slice *text, uint64_t *number,
                            bool *is_number)
{
    if (in.size == 0 || (in.data[0] & 0xf0) != 0x90) {
        return false;
    }
    slice_take(&in, 1);
    for (uint32_t i = 1;; i++) {
        size_t size = read_msgpack(in, text, number, is_number);
        if (size == 0) {
            return false;
        }
        if (i == wanted) {
            return *is_number || text->data != NULL;
        }
        slice_take(&in, size);
    }
}

static struct slice decimal(uint64_t number, char room[20])
{
    size_t at = 20;
    do {
        room[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return slice_of(room + at, 20 - at);
}

static struct slice decode(const struct rule_value *value, struct slice bytes, char room[20])
{
    if (value->decoding == RULE_PLAIN || bytes.data == NULL) {
        return bytes;
    }
    if (value->decoding == RULE_UNTIL) {
        const uint8_t *end = memchr(bytes.data, value->decode_step, bytes.size);
        return end == NULL ? bytes : slice_of(bytes.data, (size_t)(end - bytes.data));
    }
    struct slice text;
    uint64_t number;
    bool is_number;
    if (!find_in_msgpack(bytes, value->decode_step, &text, &number, &is_number)) {
        return slice_of(NULL, 0);
    }
    return is_number ? decimal(number, room) : text;
}

static bool is_of_reply(const struct rule_source *source)
{
    return source->kind == RULE_SOURCE_REPLY || source->kind == RULE_SOURCE_REPLY_FIELD;
}

static struct slice find_value(const struct rules *rules, const struct rule_capture *capture,
                               const struct rule_value *value)
{
    if (value->source == RULE_NO_SOURCE) {
        return rules_text(rules, value->text);
    }
    const struct rule_source *source = &rules->sources[value->source];
    switch ((enum rule_source_kind)source->kind) {
    case RULE_SOURCE_ARGUMENT:
        return kept_value(capture, (uint16_t)(RULE_KEPT_ARGUMENT | source->position));
    case RULE_SOURCE_ARGV:
        return kept_value(capture,
                          (uint16_t)(RULE_KEPT_ARGUMENT |
                                     (SCRIPT_KEYS_INDEX + capture->keys + source->position - 1)));
    case RULE_SOURCE_FIELD:
    case RULE_SOURCE_REPLY:
    case RULE_SOURCE_REPLY_FIELD:
        break;
    }
    return kept_value(capture, value->source);
}

static bool condition_holds(const struct rules *rules, const struct rule_capture *capture,
                            const struct rule_condition *condition)
{
    char room[20];
    struct slice value =
        decode(&condition->value, find_value(rules, capture, &condition->value), room);
    bool holds = condition->word_count == 0 && value.data != NULL;
    uint16_t word = condition->words;
    for (uint32_t i = 0; i < condition->word_count && value.data != NULL; i++) {
        struct slice text = rules_text(rules, word);
        holds |= slice_equals(text, value);
        word = (uint16_t)(word + sizeof(uint16_t) + text.size);
    }
    return holds != condition->is_negated;
}

static bool conditions_hold(const struct rules *rules, const struct rule_capture *capture,
                            const struct rule *rule, bool is_answered)
{
    for (uint32_t i = 0; i < rule->condition_count; i++) {
        const struct rule_condition *condition = &rules->conditions[rule->first_condition + i];
        bool is_due = is_answered || !is_of_reply(&rules->sources[condition->value.source]);
        if (is_due && !condition_holds(rules, capture, condition)) {
            return false;
        }
    }
    return true;
}

static bool keys_match(const struct rules *rules, const struct rule_capture *capture,
                       const struct rule *rule, struct rule_facts *facts)
{
    uint32_t first = rule->is_script ? SCRIPT_KEYS_INDEX : 1;
    for (uint32_t i = 0; i < rule->key_count; i++) {
        struct slice key = kept_value(capture, (uint16_t)(RULE_KEPT_ARGUMENT | (first + i)));
        if (key.data == NULL || !match_key(rules, rule, i, key, facts)) {
            return false;
        }
    }
    return true;
}

bool rules_choose(const struct rules *rules, struct rule_capture *capture)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    struct rule_facts facts;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct rule *rule = candidate(rules, list, i);
        if ((capture->candidates >> i & 1) == 0) {
            continue;
        }
        memset(&facts, 0, sizeof facts);
        if (keys_match(rules, capture, rule, &facts) &&
            conditions_hold(rules, capture, rule, false)) {
            capture->rule = rules->members[list->first + i];
            capture->wanted = RULE_NO_SOURCE;
            capture->target = RULE_NO_SOURCE;
            return true;
        }
    }
    return false;
}

/* Numbers in msgpack become text behind what the capture holds: the caller's facts borrow it. */
static struct slice decode_into(struct rule_capture *capture, const struct rule_value *value,
                                struct slice bytes)
{
    char room[20];
    struct slice decoded = decode(value, bytes, room);
    bool is_inside = decoded.data < (const uint8_t *)room || decoded.data >= (uint8_t *)room + 20;
    if (decoded.data == NULL || is_inside) {
        return decoded;
    }
    if (decoded.size > RULE_CAPTURE_TEXT - (size_t)capture->text_used) {
        return slice_of(NULL, 0);
    }
    uint8_t *at = capture->text + capture->text_used;
    memcpy(at, decoded.data, decoded.size);
    capture->text_used = (uint16_t)(capture->text_used + decoded.size);
    return slice_of(at, decoded.size);
}

bool rules_facts(const struct rules *rules, struct rule_capture *capture, uint16_t number,
                 struct rule_facts *facts)
{
    const struct rule *rule = &rules->rules[number];
    struct rule_facts captured = {0};
    memset(facts, 0, sizeof *facts);
    if (!keys_match(rules, capture, rule, &captured) ||
        !conditions_hold(rules, capture, rule, true)) {
        return false;
    }
    for (uint32_t i = 0; i < rule->setting_count; i++) {
        const struct rule_value *value = &rules->settings[rule->first_setting + i];
        struct slice found = decode_into(capture, value, find_value(rules, capture, value));
        if (found.size > 0 && facts->values[value->variable].data == NULL) {
            facts->values[value->variable] = found;
            facts->units[value->variable] = value->unit;
        }
    }
    /* The id in a key is that of the job that the command is about. */
    for (uint32_t i = 0; i < RULE_VARIABLES; i++) {
        if (facts->values[i].data == NULL && !(rule->is_next && i == RULE_ID)) {
            facts->values[i] = captured.values[i];
        }
    }
    return true;
}

/* ---- the answer ---- */

static bool path_leads(const struct rule_source *source, const struct rule_capture *capture)
{
    for (uint32_t i = 0; i < source->steps; i++) {
        if (source->step[i] != capture->path[i + 1]) {
            return false;
        }
    }
    return true;
}

/* The source of the chosen rule that wants this item; RULE_NO_SOURCE: none. `*is_name`: it wants
   its name first. */
static uint16_t find_in_rule(const struct rules *rules, const struct rule *rule,
                             const struct rule_capture *capture, const struct resp_item *item,
                             struct slice name, bool *is_name)
{
    uint32_t values = (uint32_t)rule->setting_count + rule->condition_count;
    for (uint32_t i = 0; i < values; i++) {
        const struct rule_value *value =
            i < rule->setting_count
                ? &rules->settings[rule->first_setting + i]
                : &rules->conditions[rule->first_condition + i - rule->setting_count].value;
        if (value->source == RULE_NO_SOURCE) {
            continue;
        }
        const struct rule_source *source = &rules->sources[value->source];
        if (source->kind == RULE_SOURCE_REPLY && name.data == NULL &&
            source->steps == item->depth && path_leads(source, capture)) {
            *is_name = false;
            return value->source;
        }
        bool is_pair = source->kind == RULE_SOURCE_REPLY_FIELD &&
                       source->steps + 1u == item->depth && item->index % 2 == 0;
        if (is_pair && path_leads(source, capture) &&
            (name.data == NULL || slice_equals(name, rules_text(rules, source->text)))) {
            *is_name = true;
            return value->source;
        }
    }
    return RULE_NO_SOURCE;
}

static uint16_t find_reply_source(const struct rules *rules, const struct rule_capture *capture,
                                  const struct resp_item *item, struct slice name, bool *is_name)
{
    const struct rule *rule = &rules->rules[capture->rule];
    uint16_t source = find_in_rule(rules, rule, capture, item, name, is_name);
    if (source == RULE_NO_SOURCE && rule->has_next) {
        source = find_in_rule(rules, rule + 1, capture, item, name, is_name);
    }
    return source;
}

/* An error tells nothing of a job. */
static bool is_scalar(const struct resp_item *item)
{
    return item->type != '*' && item->type != '%' && item->type != '~' && item->type != '>' &&
           item->type != '-' && item->type != '!' && !item->null;
}

void rules_reply_item(const struct rules *rules, struct rule_capture *capture,
                      const struct resp_item *item)
{
    if (item->depth > RULE_STEPS_MAX + 1) {
        return;
    }
    capture->path[item->depth] = item->index + 1;
    if (!is_scalar(item)) {
        return;
    }
    if (item->first) {
        bool is_name = false;
        uint16_t source;
        if (capture->wanted != RULE_NO_SOURCE && capture->wanted_depth == item->depth &&
            capture->wanted_index == item->index) {
            source = capture->wanted;
            capture->wanted = RULE_NO_SOURCE;
        } else {
            source = find_reply_source(rules, capture, item, slice_of(NULL, 0), &is_name);
        }
        begin_value(capture, source, is_name);
    }
    if (capture->target == RULE_NO_SOURCE) {
        return;
    }
    take_bytes(capture, item->bytes);
    if (!item->last) {
        return;
    }
    if (!capture->is_name) {
        keep_value(capture);
        return;
    }
    bool is_name;
    capture->wanted = find_reply_source(rules, capture, item, value_at_hand(capture), &is_name);
    capture->wanted_depth = item->depth;
    capture->wanted_index = item->index + 1;
    drop_value(capture);
}
