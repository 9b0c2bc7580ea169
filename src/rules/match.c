#include "rules/match.h"

#include "base/compiler.h"

/* Where the arguments of a script begin: script, count, keys. */
#define SCRIPT_COUNT_INDEX 2u
#define SCRIPT_KEYS_INDEX  3u

/* ---- values that are kept ---- */

/* A key that was found right and is needed no longer. */
#define CHECKED_KEY UINT16_MAX

static struct slice kept_value(const struct rule_capture *capture, uint16_t what)
{
    for (uint32_t i = 0; i < capture->kept_count; i++) {
        if (capture->kept[i].what == what && capture->kept[i].offset != CHECKED_KEY) {
            return slice_of(capture->text + capture->kept[i].offset, capture->kept[i].size);
        }
    }
    return slice_of(NULL, 0);
}

static bool is_checked_key(const struct rule_capture *capture, uint16_t what)
{
    for (uint32_t i = 0; i < capture->kept_count; i++) {
        if (capture->kept[i].what == what) {
            return capture->kept[i].offset == CHECKED_KEY;
        }
    }
    return false;
}

static void begin_value(struct rule_capture *capture, uint16_t target, bool is_name)
{
    capture->target = target;
    capture->is_name = is_name;
    capture->document = 0;
    capture->value_at = capture->text_used;
}

static bool takes_value(const struct rule_capture *capture)
{
    return capture->target != RULE_NO_SOURCE || capture->document != 0;
}

static size_t text_end(const struct rules *rules, const struct rule_capture *capture, size_t end)
{
    bool is_key = capture->document == 0 &&
                  capture->target < (RULE_KEPT_ARGUMENT | (SCRIPT_KEYS_INDEX + capture->keys));
    bool is_said = rules->lists[capture->list - 1].is_script && !capture->is_chosen && !is_key;
    return is_said && end > RULE_SCRIPT_TEXT ? RULE_SCRIPT_TEXT : end;
}

/* What does not fit pushes out what came before it. */
static void make_room(struct rule_capture *capture, size_t value_at, size_t end,
                      struct slice *piece)
{
    size_t room = end > value_at ? end - value_at : 0;
    if (piece->size > room) {
        slice_take(piece, piece->size - room);
    }
    size_t used = capture->text_used - value_at;
    if (used + piece->size > room) {
        size_t out = used + piece->size - room;
        memmove(capture->text + value_at, capture->text + value_at + out, used - out);
        capture->text_used = (uint16_t)(capture->text_used - out);
    }
}

/* Appends to a value that begins at `value_at`, as much as there is room for before `end`. */
static void append_bytes(struct rule_capture *capture, const struct rule_source *source,
                         size_t value_at, size_t end, struct slice piece)
{
    size_t room_of = source == NULL      ? (size_t)LIMIT_RULE_VALUE
                     : source->is_packed ? (size_t)LIMIT_RULE_PACKED
                     : source->is_stack  ? (size_t)LIMIT_RULE_STACK
                                         : (size_t)LIMIT_RULE_VALUE;
    size_t limit = value_at + room_of;
    end = limit < end ? limit : end;
    if (source != NULL && source->is_tail) {
        make_room(capture, value_at, end, &piece);
    }
    size_t room = end > capture->text_used ? end - capture->text_used : 0;
    size_t size = piece.size < room ? piece.size : room;
    capture->is_cut |= size < piece.size && !capture->is_name;
    if (size > 0) {
        memcpy(capture->text + capture->text_used, piece.data, size);
        capture->text_used = (uint16_t)(capture->text_used + size);
    }
}

static void keep(struct rule_capture *capture, uint16_t what, uint16_t offset, uint16_t size)
{
    if (capture->kept_count < RULE_KEPT_MAX) {
        capture->kept[capture->kept_count++] =
            (struct rule_kept){.what = what, .offset = offset, .size = size};
    } else {
        capture->is_cut = true;
        capture->text_used = offset;
    }
}

static void forget(struct rule_capture *capture, uint16_t what)
{
    for (uint32_t i = 0; i < capture->kept_count; i++) {
        struct rule_kept *kept = &capture->kept[i];
        if (kept->what != what) {
            continue;
        }
        if ((size_t)kept->offset + kept->size == capture->text_used) {
            capture->text_used = kept->offset;
        }
        *kept = capture->kept[--capture->kept_count];
        return;
    }
}

/* ---- an element of msgpack that holds JSON ---- */

enum pack_state { PACK_NONE, PACK_ARRAY, PACK_TYPE, PACK_SIZE, PACK_BODY, PACK_OVER };

/* What follows a byte that begins an element. False: nothing that is known here. */
static bool begin_element(struct rule_capture *capture, uint8_t type)
{
    uint8_t width = 0;
    uint32_t size = 0;
    bool is_text = true;
    if (type <= 0x7f || type >= 0xe0 || type == 0xc0 || type == 0xc2 || type == 0xc3) {
        is_text = false;
    } else if ((type & 0xe0) == 0xa0) {
        size = type & 0x1f;
    } else if (type >= 0xd9 && type <= 0xdb) {
        width = (uint8_t)(1u << (type - 0xd9));
    } else if (type >= 0xcc && type <= 0xd3) {
        is_text = false;
        size = 1u << (type & 3);
    } else if (type == 0xca || type == 0xcb) {
        is_text = false;
        size = type == 0xca ? 4 : 8;
    } else {
        return false;
    }
    capture->pack.element++;
    capture->pack.is_text = is_text;
    capture->pack.size = size;
    capture->pack.width = width;
    capture->pack.state = width > 0 ? PACK_SIZE : size > 0 ? PACK_BODY : PACK_TYPE;
    return true;
}

/* The next bytes of the wanted element's text; none once `piece` is used up. */
static struct slice next_packed(struct rule_capture *capture, uint8_t wanted, struct slice *piece)
{
    while (piece->size > 0 && capture->pack.state != PACK_OVER) {
        uint8_t byte = piece->data[0];
        if (capture->pack.state == PACK_BODY) {
            uint32_t left = capture->pack.size;
            struct slice text = slice_of(piece->data, left < piece->size ? left : piece->size);
            bool is_wanted = capture->pack.is_text && capture->pack.element == wanted;
            slice_take(piece, text.size);
            capture->pack.size = left - (uint32_t)text.size;
            capture->pack.state = capture->pack.size > 0 ? PACK_BODY : PACK_TYPE;
            if (is_wanted) {
                return text;
            }
            continue;
        }
        slice_take(piece, 1);
        if (capture->pack.state == PACK_ARRAY) {
            capture->pack.state = (byte & 0xf0) == 0x90 ? PACK_TYPE : PACK_OVER;
        } else if (capture->pack.state == PACK_SIZE) {
            capture->pack.size = capture->pack.size << 8 | byte;
            if (--capture->pack.width == 0) {
                capture->pack.state = capture->pack.size > 0 ? PACK_BODY : PACK_TYPE;
            }
        } else if (capture->pack.element == wanted || !begin_element(capture, byte)) {
            capture->pack.state = PACK_OVER;
        }
    }
    return slice_of(NULL, 0);
}

/* ---- JSON in a value ---- */

/* What the value is kept as by itself stands before what is found in it, with room for all of it.
 */
static void begin_document(const struct rules *rules, struct rule_capture *capture, uint16_t target,
                           uint8_t document)
{
    size_t whole = target == RULE_NO_SOURCE ? 0 : LIMIT_RULE_VALUE;
    begin_value(capture, target, false);
    if (document == 0) {
        return;
    }
    if (capture->text_used + whole >= sizeof capture->text_beside_json) {
        capture->is_cut = true;
        return;
    }
    const struct rule_source *place = &rules->sources[rules->documents[document - 1].place];
    capture->document = document;
    capture->member = RULE_NO_SOURCE;
    capture->whole_size = 0;
    capture->pack.state = place->element != 0 ? PACK_ARRAY : PACK_NONE;
    capture->pack.element = 0;
    capture->text_used = (uint16_t)(capture->text_used + whole);
    json_init(&capture->json, &rules->nodes[rules->documents[document - 1].first_node]);
}

static void take_member(const struct rules *rules, struct rule_capture *capture,
                        const struct json_item *item)
{
    const struct rule_document *document = &rules->documents[capture->document - 1];
    uint16_t source = rules->paths[document->first_path + item->path];
    if (item->begins) {
        bool is_scalar = item->type != JSON_VALUE_NULL && item->type != JSON_VALUE_ARRAY &&
                         item->type != JSON_VALUE_OBJECT;
        if (is_scalar && rules->sources[source].is_last) {
            forget(capture, source);
        }
        bool is_first = kept_value(capture, source).data == NULL;
        capture->member = is_scalar && is_first ? source : RULE_NO_SOURCE;
        capture->member_at = capture->text_used;
    }
    if (capture->member == RULE_NO_SOURCE) {
        return;
    }
    append_bytes(capture, &rules->sources[source], capture->member_at,
                 text_end(rules, capture, sizeof capture->text_beside_json), item->bytes);
    if (item->ends) {
        keep(capture, source, capture->member_at,
             (uint16_t)(capture->text_used - capture->member_at));
        capture->member = RULE_NO_SOURCE;
    }
}

/* A value that has no end is none. */
static void drop_member(struct rule_capture *capture)
{
    if (capture->member != RULE_NO_SOURCE) {
        capture->text_used = capture->member_at;
        capture->member = RULE_NO_SOURCE;
    }
}

static void read_json(const struct rules *rules, struct rule_capture *capture, struct slice piece)
{
    struct json_item item;
    enum json_event event;
    while ((event = json_next(&capture->json, &piece, &item)) == JSON_VALUE) {
        take_member(rules, capture, &item);
    }
    if (event == JSON_STOPPED) {
        drop_member(capture);
    }
}

static void read_document(const struct rules *rules, struct rule_capture *capture,
                          struct slice piece)
{
    if (capture->target != RULE_NO_SOURCE) {
        size_t room = (size_t)LIMIT_RULE_VALUE - capture->whole_size;
        size_t size = piece.size < room ? piece.size : room;
        capture->is_cut |= size < piece.size;
        if (size > 0) {
            memcpy(capture->text + capture->value_at + capture->whole_size, piece.data, size);
            capture->whole_size = (uint16_t)(capture->whole_size + size);
        }
    }
    if (capture->pack.state == PACK_NONE) {
        read_json(rules, capture, piece);
        return;
    }
    const struct rule_document *document = &rules->documents[capture->document - 1];
    uint8_t wanted = rules->sources[document->place].element;
    for (struct slice text = next_packed(capture, wanted, &piece); text.size > 0;
         text = next_packed(capture, wanted, &piece)) {
        read_json(rules, capture, text);
    }
}

/* What stands behind the value moves up to it. */
static void end_document(struct rule_capture *capture)
{
    drop_member(capture);
    capture->document = 0;
    if (capture->target == RULE_NO_SOURCE) {
        return;
    }
    uint32_t behind = (uint32_t)capture->value_at + LIMIT_RULE_VALUE;
    uint32_t gap = LIMIT_RULE_VALUE - (uint32_t)capture->whole_size;
    memmove(capture->text + behind - gap, capture->text + behind, capture->text_used - behind);
    capture->text_used = (uint16_t)(capture->text_used - gap);
    for (uint32_t i = 0; i < capture->kept_count; i++) {
        if (capture->kept[i].offset >= behind && capture->kept[i].offset != CHECKED_KEY) {
            capture->kept[i].offset = (uint16_t)(capture->kept[i].offset - gap);
        }
    }
    keep(capture, capture->target, capture->value_at, capture->whole_size);
    capture->target = RULE_NO_SOURCE;
}

/* ---- values that pass ---- */

static void take_bytes(const struct rules *rules, struct rule_capture *capture, struct slice piece)
{
    if (capture->document != 0) {
        read_document(rules, capture, piece);
    } else {
        bool is_source = (capture->target & RULE_KEPT_ARGUMENT) == 0 && !capture->is_name;
        append_bytes(capture, is_source ? &rules->sources[capture->target] : NULL,
                     capture->value_at, text_end(rules, capture, RULE_CAPTURE_TEXT), piece);
    }
}

static struct slice value_at_hand(const struct rule_capture *capture)
{
    size_t size = capture->document != 0 ? capture->whole_size
                                         : (size_t)(capture->text_used - capture->value_at);
    return slice_of(capture->text + capture->value_at, size);
}

static void keep_value(struct rule_capture *capture)
{
    if (capture->document != 0) {
        end_document(capture);
        return;
    }
    keep(capture, capture->target, capture->value_at,
         (uint16_t)(capture->text_used - capture->value_at));
    capture->target = RULE_NO_SOURCE;
}

/* The bytes of a name are needed no longer. */
static void drop_value(struct rule_capture *capture)
{
    capture->document = 0;
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

/* What is known already stands at the key's beginning as it is. False: it does not. */
static bool take_known(struct slice *pattern, struct slice *key, const struct rule_facts *facts)
{
    while (pattern->size > 0) {
        struct slice known = slice_of(pattern->data, 1);
        size_t size = 1;
        if (pattern->data[0] == RULE_CAPTURE) {
            uint8_t variable = pattern->data[1];
            known = variable == RULE_ANYTHING ? slice_of(NULL, 0) : facts->values[variable - 1];
            size = 2;
        }
        if (known.data == NULL) {
            return true;
        }
        if (!slice_starts_with(*key, known)) {
            return false;
        }
        slice_take(pattern, size);
        slice_take(key, known.size);
    }
    return true;
}

/* Behind what is known, from its end: a capture reaches back to the nearest occurrence of the text
   before it. */
static bool match_pattern(struct slice pattern, struct slice key, struct rule_facts *facts)
{
    if (facts != NULL && !take_known(&pattern, &key, facts)) {
        return false;
    }
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

/* Where a source's argument stands; 0: the command has none. */
static uint32_t argument_index(const struct rule_capture *capture, const struct rule_source *source)
{
    if (source->kind == RULE_SOURCE_ARGV) {
        return SCRIPT_KEYS_INDEX + capture->keys + source->position - 1;
    }
    if (source->position <= RULE_FROM_END) {
        return source->position;
    }
    uint32_t behind = source->position - RULE_FROM_END;
    return capture->arguments > behind ? capture->arguments - behind : 0;
}

/* 1 + the document that some rule wants to read in that argument; 0: none. */
static uint8_t document_in_argument(const struct rules *rules, const struct rule_list *list,
                                    const struct rule_capture *capture, uint32_t index)
{
    for (uint32_t i = 0; i < list->document_count; i++) {
        const struct rule_list_document *each = &rules->list_documents[list->first_document + i];
        const struct rule_source *place = &rules->sources[rules->documents[each->document].place];
        if ((each->members & capture->candidates) != 0 && argument_index(capture, place) == index) {
            return (uint8_t)(each->document + 1);
        }
    }
    return 0;
}

static bool is_wanted_argument(const struct rule_list *list, const struct rule_capture *capture,
                               uint32_t index)
{
    if (!list->is_script) {
        uint32_t from_end = capture->arguments - index;
        return (index < 64 && (list->positions >> index & 1) != 0) ||
               (from_end < 32 && (list->end_positions >> from_end & 1) != 0);
    }
    uint32_t behind = SCRIPT_KEYS_INDEX + capture->keys;
    if (index < behind) {
        return index < SCRIPT_KEYS_INDEX ? (list->positions >> index & 1) != 0
                                         : index - SCRIPT_KEYS_INDEX < LIMIT_RULE_SCRIPT_KEYS;
    }
    uint32_t number = index - behind + 1;
    return number < 32 && (list->argv_positions >> number & 1) != 0;
}

/* Whether the argument may be the name of a field. */
static bool is_name(const struct rule_list *list, const struct rule_capture *capture,
                    uint32_t index)
{
    return list->field_count > 0 && (capture->arguments - index) % 2 == 0;
}

static void begin_argument(const struct rules *rules, struct rule_capture *capture, uint32_t index)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    uint8_t document = document_in_argument(rules, list, capture, index);
    if ((capture->wanted != RULE_NO_SOURCE || capture->wanted_document != 0) &&
        capture->wanted_index == index) {
        document = capture->wanted_document != 0 ? capture->wanted_document : document;
        begin_document(rules, capture, capture->wanted, document);
        capture->wanted = RULE_NO_SOURCE;
        capture->wanted_document = 0;
    } else if (is_wanted_argument(list, capture, index)) {
        begin_document(rules, capture, (uint16_t)(RULE_KEPT_ARGUMENT | index), document);
    } else if (document != 0) {
        begin_document(rules, capture, RULE_NO_SOURCE, document);
    } else if (list->is_script && index == SCRIPT_COUNT_INDEX) {
        begin_value(capture, RULE_KEPT_ARGUMENT | SCRIPT_COUNT_INDEX, true);
    } else if (is_name(list, capture, index)) {
        begin_value(capture, 0, true);
    }
}

/* A name has passed: whether its value, the next argument, is wanted. */
static void find_field(const struct rules *rules, struct rule_capture *capture, struct slice name,
                       uint32_t index)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    capture->wanted = RULE_NO_SOURCE;
    capture->wanted_document = 0;
    for (uint32_t i = 0; i < list->field_count; i++) {
        uint16_t number = rules->fields[list->first_field + i];
        const struct rule_source *source = &rules->sources[number];
        if (slice_equals(name, rules_text(rules, source->text))) {
            capture->wanted = source->path == 0 ? number : capture->wanted;
            capture->wanted_document =
                source->path == 0 ? capture->wanted_document : source->document;
            capture->wanted_index = index + 1;
        }
    }
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

/* Names of queues may be long, and a script's keys have them all: what keys say is told by few of
   them, and the others need no more than to be found right. `last` is the key that has come. */
static bool is_telling(struct slice pattern, const struct rule_facts *known)
{
    for (size_t at = 0; at + 1 < pattern.size; at++) {
        uint8_t variable = (uint8_t)(pattern.data[at + 1] - 1);
        if (pattern.data[at] == RULE_CAPTURE && variable < RULE_VARIABLES &&
            known->values[variable].data == NULL) {
            return true;
        }
    }
    return false;
}

static uint32_t find_telling_keys(const struct rules *rules, struct rule_capture *capture,
                                  uint32_t count)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    uint32_t telling = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct rule *rule = candidate(rules, list, i);
        struct rule_facts facts = {0};
        bool fits = (capture->candidates >> i & 1) != 0;
        for (uint32_t k = 0; fits && k < count && k < rule->key_count; k++) {
            uint16_t what = (uint16_t)(RULE_KEPT_ARGUMENT | (SCRIPT_KEYS_INDEX + k));
            if (is_checked_key(capture, what)) {
                continue;
            }
            if (is_telling(rules_text(rules, rules->keys[rule->first_key + k]), &facts)) {
                telling |= 1u << k;
            }
            fits = match_key(rules, rule, k, kept_value(capture, what), &facts);
        }
        if (!fits) {
            capture->candidates &= ~(UINT64_C(1) << i);
        }
    }
    return telling;
}

static void drop_key(struct rule_capture *capture, uint16_t what)
{
    for (uint32_t i = 0; i < capture->kept_count; i++) {
        struct rule_kept *kept = &capture->kept[i];
        if (kept->what != what || kept->offset == CHECKED_KEY) {
            continue;
        }
        uint32_t behind = (uint32_t)kept->offset + kept->size;
        memmove(capture->text + kept->offset, capture->text + behind, capture->text_used - behind);
        capture->text_used = (uint16_t)(capture->text_used - kept->size);
        for (uint32_t k = 0; k < capture->kept_count; k++) {
            if (capture->kept[k].offset != CHECKED_KEY && capture->kept[k].offset >= behind) {
                capture->kept[k].offset = (uint16_t)(capture->kept[k].offset - kept->size);
            }
        }
        kept->offset = CHECKED_KEY;
        kept->size = 0;
    }
}

static void drop_keys(const struct rules *rules, struct rule_capture *capture, uint32_t count)
{
    const struct rule_list *list = &rules->lists[capture->list - 1];
    uint32_t telling = find_telling_keys(rules, capture, count);
    for (uint32_t k = 0; k < count && k < LIMIT_RULE_SCRIPT_KEYS; k++) {
        uint32_t index = SCRIPT_KEYS_INDEX + k;
        if ((telling >> k & 1) == 0 && (list->positions >> index & 1) == 0) {
            drop_key(capture, (uint16_t)(RULE_KEPT_ARGUMENT | index));
        }
    }
}

/* JSON is read beside what has been kept. */
static bool reads_documents(const struct rules *rules, const struct rule_list *list,
                            const struct rule_capture *capture)
{
    uint64_t members = 0;
    for (uint32_t i = 0; i < list->document_count; i++) {
        members |= rules->list_documents[list->first_document + i].members;
    }
    return (members & capture->candidates) != 0;
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
    const struct rule_list *list = &rules->lists[capture->list - 1];
    bool is_script = list->is_script;
    if (is_script && index == SCRIPT_COUNT_INDEX) {
        sift_by_count(rules, capture);
        drop_value(capture);
        return;
    }
    if (capture->is_name) {
        find_field(rules, capture, value_at_hand(capture), index);
        drop_value(capture);
        return;
    }
    uint32_t first_key = is_script ? SCRIPT_KEYS_INDEX : 1;
    if (index == first_key) {
        sift_by_key(rules, capture, 0);
    }
    /* One argument may be a field's value and of interest by its position, or so its name. */
    bool is_of_field = (capture->target & RULE_KEPT_ARGUMENT) == 0;
    struct slice value = value_at_hand(capture);
    keep_value(capture);
    if (is_of_field && is_wanted_argument(list, capture, index)) {
        keep(capture, (uint16_t)(RULE_KEPT_ARGUMENT | index),
             (uint16_t)(value.data - capture->text), (uint16_t)value.size);
    } else if (!is_of_field && index > first_key && is_name(list, capture, index)) {
        find_field(rules, capture, value, index);
    }
    uint32_t number = index - first_key + 1;
    if (is_script && index >= first_key && number <= capture->keys &&
        (capture->text_used > RULE_KEYS_TEXT ||
         (number == capture->keys && reads_documents(rules, list, capture)))) {
        drop_keys(rules, capture, number);
    }
}

bool rules_argument(const struct rules *rules, struct rule_capture *capture, uint32_t index,
                    struct slice piece, bool last)
{
    if (index == 0) {
        return true;
    }
    if (!takes_value(capture)) {
        begin_argument(rules, capture, index);
        if (!takes_value(capture)) {
            /* Pieces of an argument that nobody wants come here one by one. */
            return capture->candidates != 0;
        }
    }
    take_bytes(rules, capture, piece);
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
        size = in.size - head; /* what was kept of it */
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
        size_t size = 0;
        while (size < bytes.size && bytes.data[size] != value->decode_step &&
               bytes.data[size] != '\n') {
            size++;
        }
        return slice_of(bytes.data, size);
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
    bool is_argument = source->kind == RULE_SOURCE_ARGUMENT || source->kind == RULE_SOURCE_ARGV;
    if (is_argument && source->path == 0) {
        return kept_value(capture,
                          (uint16_t)(RULE_KEPT_ARGUMENT | argument_index(capture, source)));
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
        holds |= match_pattern(text, value, NULL);
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

static bool keys_match_from(const struct rules *rules, const struct rule_capture *capture,
                            const struct rule *rule, uint32_t begin, struct rule_facts *facts)
{
    uint32_t first = rule->is_script ? SCRIPT_KEYS_INDEX : 1;
    for (uint32_t n = 0; n < rule->key_count; n++) {
        uint32_t i = (begin + n) % rule->key_count;
        uint16_t what = (uint16_t)(RULE_KEPT_ARGUMENT | (first + i));
        struct slice key = kept_value(capture, what);
        if (rule->is_script && is_checked_key(capture, what)) {
            continue;
        }
        if (key.data == NULL || !match_key(rules, rule, i, key, facts)) {
            return false;
        }
    }
    return true;
}

/* An id may look like more than one part of the first key, which the others make clear. */
static bool keys_match(const struct rules *rules, const struct rule_capture *capture,
                       const struct rule *rule, struct rule_facts *facts)
{
    if (keys_match_from(rules, capture, rule, 0, facts)) {
        return true;
    }
    if (rule->key_count < 2) {
        return false;
    }
    memset(facts, 0, sizeof *facts);
    return keys_match_from(rules, capture, rule, 1, facts);
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
            capture->is_chosen = true;
            capture->wanted = RULE_NO_SOURCE;
            capture->wanted_document = 0;
            capture->target = RULE_NO_SOURCE;
            capture->document = 0;
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

bool rules_keys(const struct rules *rules, const struct rule_capture *capture, uint16_t number,
                struct rule_facts *facts)
{
    memset(facts, 0, sizeof *facts);
    return keys_match(rules, capture, &rules->rules[number], facts);
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

/* What of a rule wants an item of the answer: the value by itself, JSON in it, or what follows it
   as a name. */
struct wanting {
    uint16_t whole;   /* a source; RULE_NO_SOURCE: none */
    uint8_t document; /* 1 + its number */
    bool is_name;
};

static void add_wanting(struct wanting *wanting, uint16_t number, const struct rule_source *source)
{
    if (source->path != 0) {
        wanting->document = source->document;
    } else if (wanting->whole == RULE_NO_SOURCE) {
        wanting->whole = number;
    }
}

/* With `name`: what wants the value that follows it. */
static void find_in_rule(const struct rules *rules, const struct rule *rule,
                         const struct rule_capture *capture, const struct resp_item *item,
                         struct slice name, struct wanting *wanting)
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
            add_wanting(wanting, value->source, source);
        }
        bool is_pair = source->kind == RULE_SOURCE_REPLY_FIELD &&
                       source->steps + 1u == item->depth && item->index % 2 == 0;
        if (is_pair && path_leads(source, capture)) {
            wanting->is_name |= name.data == NULL;
            if (name.data != NULL && slice_equals(name, rules_text(rules, source->text))) {
                add_wanting(wanting, value->source, source);
            }
        }
    }
}

static struct wanting find_reply_source(const struct rules *rules,
                                        const struct rule_capture *capture,
                                        const struct resp_item *item, struct slice name)
{
    const struct rule *rule = &rules->rules[capture->rule];
    struct wanting wanting = {.whole = RULE_NO_SOURCE};
    find_in_rule(rules, rule, capture, item, name, &wanting);
    if (rule->has_next) {
        find_in_rule(rules, rule + 1, capture, item, name, &wanting);
    }
    return wanting;
}

/* An error tells nothing of a job. */
static bool is_scalar(const struct resp_item *item)
{
    return item->type != '*' && item->type != '%' && item->type != '~' && item->type != '>' &&
           item->type != '-' && item->type != '!' && !item->null;
}

static void begin_reply_item(const struct rules *rules, struct rule_capture *capture,
                             const struct resp_item *item)
{
    bool is_wanted = capture->wanted != RULE_NO_SOURCE || capture->wanted_document != 0;
    if (is_wanted && capture->wanted_depth == item->depth && capture->wanted_index == item->index) {
        begin_document(rules, capture, capture->wanted, capture->wanted_document);
        capture->wanted = RULE_NO_SOURCE;
        capture->wanted_document = 0;
        return;
    }
    struct wanting wanting = find_reply_source(rules, capture, item, slice_of(NULL, 0));
    if (wanting.whole != RULE_NO_SOURCE || wanting.document != 0) {
        begin_document(rules, capture, wanting.whole, wanting.document);
    } else {
        begin_value(capture, wanting.is_name ? 0 : RULE_NO_SOURCE, wanting.is_name);
    }
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
        begin_reply_item(rules, capture, item);
    }
    if (!takes_value(capture)) {
        return;
    }
    take_bytes(rules, capture, item->bytes);
    if (!item->last) {
        return;
    }
    if (!capture->is_name) {
        keep_value(capture);
        return;
    }
    struct wanting wanting = find_reply_source(rules, capture, item, value_at_hand(capture));
    capture->wanted = wanting.whole;
    capture->wanted_document = wanting.document;
    capture->wanted_depth = item->depth;
    capture->wanted_index = item->index + 1;
    drop_value(capture);
}
