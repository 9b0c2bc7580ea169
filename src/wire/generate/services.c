/* Writes the table of services (rules/services.rules, which says what the lines mean) as C for
   wire/service.c. Runs while the project is built; refuses what it does not understand. */
#include "wire/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/service_hash.h"

#define MAX_TEXT      16384u
#define MAX_ENDPOINTS 64u
#define MAX_FIELDS    1024u
#define MAX_CONSTANTS 256u
#define MAX_NODES     4096u
#define MAX_EVENTS    128u
#define MAX_WORDS     10u

static const char *path;
static unsigned line_number;
static char text[MAX_TEXT];
static size_t text_used;
static struct service_endpoint endpoints[MAX_ENDPOINTS];
static unsigned endpoint_count;
static struct service_field fields[MAX_FIELDS];
static unsigned field_count;
static struct service_constant constants[MAX_CONSTANTS];
static unsigned constant_count;
static struct service_event events[MAX_EVENTS];
static unsigned event_count;
static struct json_node nodes[MAX_NODES];
static size_t nodes_used;
static size_t tree_sizes[2];
static struct json_node trees[2][UINT8_MAX];
static char wanted_name[256];
static char wanted_needs[256];
static char wanted_run[256];
static bool reads_messages;
static bool reads_sent;
static bool reads_query;
static uint64_t first_bytes[2][4]; /* of those that are asked, and that are served */
static uint64_t last_bytes[2][4];

static _Noreturn void fail(const char *message, const char *word)
{
    fprintf(stderr, "%s:%u: %s%s%s\n", path, line_number, message, word == NULL ? "" : ": ",
            word == NULL ? "" : word);
    exit(1);
}

/* Pieces may lie in each other. */
static struct service_text add_text(const char *word)
{
    size_t size = strlen(word);
    for (size_t at = 0; at + size <= text_used; at++) {
        if (memcmp(text + at, word, size) == 0) {
            return (struct service_text){(uint16_t)at, (uint16_t)size};
        }
    }
    if (text_used + size > sizeof text) {
        fail("too much text", NULL);
    }
    memcpy(text + text_used, word, size);
    text_used += size;
    return (struct service_text){(uint16_t)(text_used - size), (uint16_t)size};
}

static struct service_endpoint *current(void)
{
    if (endpoint_count == 0) {
        fail("no endpoint yet: a line `on METHOD PATH` comes first", NULL);
    }
    return &endpoints[endpoint_count - 1];
}

/* The endpoint's field with this attribute. */
static uint8_t find_field(const struct service_endpoint *endpoint, const char *attribute)
{
    for (unsigned i = 0; i < endpoint->field_count; i++) {
        struct service_text known = fields[endpoint->first_field + i].attribute;
        if (known.size == strlen(attribute) &&
            memcmp(text + known.at, attribute, known.size) == 0) {
            return (uint8_t)i;
        }
    }
    return SERVICE_NO_FIELD;
}

static uint8_t wanted_field(const char *attribute)
{
    if (attribute[0] == '\0') {
        return SERVICE_NO_FIELD;
    }
    uint8_t found = find_field(current(), attribute);
    if (found == SERVICE_NO_FIELD) {
        fail("nothing fills this attribute", attribute);
    }
    return found;
}

static uint16_t keep_tree(int which)
{
    if (nodes_used + tree_sizes[which] > MAX_NODES) {
        fail("too many paths", NULL);
    }
    size_t first = nodes_used;
    memcpy(nodes + first, trees[which], tree_sizes[which] * sizeof nodes[0]);
    nodes_used += tree_sizes[which];
    return (uint16_t)first;
}

static void end_endpoint(void)
{
    if (endpoint_count == 0) {
        return;
    }
    struct service_endpoint *endpoint = current();
    endpoint->name_field = wanted_field(wanted_name);
    endpoint->needs = wanted_field(wanted_needs);
    endpoint->run_field = wanted_field(wanted_run);
    if (endpoint->event_count > 0 && endpoint->run_field == SERVICE_NO_FIELD) {
        fail("there is no line `run ATTRIBUTE as NAME`", NULL);
    }
    endpoint->reads_request = tree_sizes[0] > 1 && !reads_sent;
    endpoint->reads_sent = tree_sizes[0] > 1 && reads_sent;
    endpoint->reads_query = reads_query;
    endpoint->reads_reply = tree_sizes[1] > 1 && !reads_messages;
    endpoint->reads_messages = tree_sizes[1] > 1 && reads_messages;
    endpoint->request_nodes = keep_tree(0);
    endpoint->reply_nodes = keep_tree(1);
}

static void set_bit(uint64_t bits[4], const char *two)
{
    uint8_t hash = service_hash((uint8_t)two[0], (uint8_t)two[1]);
    bits[hash / 64] |= UINT64_C(1) << hash % 64;
}

static void begin_endpoint(const char *method, const char *target, bool is_served)
{
    end_endpoint();
    if (endpoint_count == MAX_ENDPOINTS) {
        fail("too many endpoints", NULL);
    }
    size_t size = strlen(target);
    bool is_open = target[0] == '*';
    if (size < 3 || (!is_open && target[0] != '/') || (is_open && size < 4)) {
        fail("a path begins with /, and has two characters more; or with *, and three", target);
    }
    if (!is_open && target[1] != '*' && target[2] != '*') {
        set_bit(first_bytes[is_served], target + 1);
    } else if (is_open && method[0] != SERVICE_OPEN_METHODS) {
        fail("only POST, PUT and PATCH have paths that begin with *", target);
    } else if (is_open && target[size - 1] != '*' && target[size - 2] != '*') {
        set_bit(last_bytes[is_served], target + size - 2);
    } else {
        fail("a path that begins with * ends with two characters that are known", target);
    }
    endpoints[endpoint_count++] = (struct service_endpoint){
        .method = add_text(method),
        .path = add_text(target),
        .first_field = (uint16_t)field_count,
        .first_constant = (uint16_t)constant_count,
        .first_event = (uint16_t)event_count,
        .is_served = is_served,
    };
    for (int i = 0; i < 2; i++) {
        json_tree_init(trees[i]);
        tree_sizes[i] = 1;
    }
    wanted_name[0] = '\0';
    wanted_needs[0] = '\0';
    wanted_run[0] = '\0';
    reads_messages = false;
    reads_sent = false;
    reads_query = false;
}

static void set_name(const char *word, const char *braces)
{
    current()->name = add_text(word);
    if (braces != NULL) {
        size_t size = strlen(braces);
        if (size < 3 || braces[0] != '{' || braces[size - 1] != '}' || size > sizeof wanted_name) {
            fail("an attribute in braces comes last in a name", braces);
        }
        memcpy(wanted_name, braces + 1, size - 2);
        wanted_name[size - 2] = '\0';
    }
}

static unsigned number_of(const char *word, const char *const *words, const char *message)
{
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            return i;
        }
    }
    fail(message, word);
}

static void add_field(const char *attribute, const char *source, const char *where,
                      const char *type)
{
    static const char *const sources[] = {"request", "reply", "header", "message",
                                          "sent",    "query", NULL};
    static const char *const types[] = {"string",  "int",   "double", "bool",
                                        "strings", "count", "text",   NULL};
    struct service_endpoint *endpoint = current();
    if (field_count == MAX_FIELDS || endpoint->field_count == 64) {
        fail("too many attributes of one endpoint (64)", attribute);
    }
    uint8_t number = endpoint->field_count;
    uint8_t first = find_field(endpoint, attribute);
    struct service_field *field = &fields[field_count++];
    field->attribute = add_text(attribute);
    field->source = (uint8_t)number_of(
        source, sources, "a source is request, reply, header, message, sent or query");
    field->type = (uint8_t)number_of(type, types, "no type of attribute");
    field->first = first == SERVICE_NO_FIELD ? number : first;
    bool is_named = field->source == SERVICE_HEADER || field->source == SERVICE_QUERY;
    field->header = add_text(is_named ? where : "");
    endpoint->field_count++;
    reads_query |= field->source == SERVICE_QUERY;
    if (is_named) {
        return;
    }
    unsigned tree = field->source == SERVICE_REQUEST || field->source == SERVICE_SENT ? 0 : 1;
    if (tree == 1 && tree_sizes[1] > 1 && reads_messages != (field->source == SERVICE_MESSAGE)) {
        fail("an endpoint has a reply or messages, not both", where);
    }
    if (tree == 0 && tree_sizes[0] > 1 && reads_sent != (field->source == SERVICE_SENT)) {
        fail("an endpoint has a request or messages, not both", where);
    }
    reads_messages |= field->source == SERVICE_MESSAGE;
    reads_sent |= field->source == SERVICE_SENT;
    if (!json_tree_add(trees[tree], UINT8_MAX, &tree_sizes[tree], slice_of(where, strlen(where)),
                       number)) {
        fail("a path that is malformed, too deep, or there already", where);
    }
}

static void add_constant(const char *attribute, const char *value)
{
    if (constant_count == MAX_CONSTANTS) {
        fail("too many lines `set`", NULL);
    }
    constants[constant_count].attribute = add_text(attribute);
    constants[constant_count++].value = add_text(value);
    current()->constant_count++;
}

/* OUTCOME [when ATTRIBUTE is TEXT] [without ATTRIBUTE] [by ATTRIBUTE] */
static void add_event(char **words, unsigned count)
{
    static const char *const outcomes[] = {"begins",     "goes-on",   "started", "completed",
                                           "failed",     "cancelled", "named",   "noted",
                                           "progressed", NULL};
    if (event_count == MAX_EVENTS) {
        fail("too many events", NULL);
    }
    struct service_event *event = &events[event_count++];
    event->outcome = (uint8_t)number_of(words[0], outcomes,
                                        "a run begins, goes-on, started, completed, failed, "
                                        "cancelled, named, noted or progressed");
    event->field = event->without = event->error = SERVICE_NO_FIELD;
    event->value = add_text("");
    unsigned at = 1;
    if (at + 3 < count && strcmp(words[at], "when") == 0 && strcmp(words[at + 2], "is") == 0) {
        event->field = wanted_field(words[at + 1]);
        event->value = add_text(words[at + 3]);
        at += 4;
    }
    if (at + 1 < count && strcmp(words[at], "without") == 0) {
        event->without = wanted_field(words[at + 1]);
        at += 2;
    }
    if (at + 1 < count && strcmp(words[at], "by") == 0) {
        event->error = wanted_field(words[at + 1]);
        at += 2;
    }
    if (at != count) {
        fail("an event ends with `when ATTRIBUTE is TEXT`, `without ATTRIBUTE`, `by ATTRIBUTE`",
             words[at]);
    }
    current()->event_count++;
}

static void set_run(const char *attribute, const char *name)
{
    snprintf(wanted_run, sizeof wanted_run, "%s", attribute);
    current()->run_name = add_text(name);
}

static bool is(const char *word, const char *known)
{
    return strcmp(word, known) == 0;
}

static void read_line(char *line)
{
    char *words[MAX_WORDS + 1];
    unsigned count = 0;
    for (char *word = strtok(line, " \t\n"); word != NULL; word = strtok(NULL, " \t\n")) {
        if (word[0] == '#') {
            break;
        }
        if (count == MAX_WORDS) {
            fail("too many words", NULL);
        }
        words[count++] = word;
    }
    if (count == 0 || (count == 2 && is(words[0], "service"))) {
        return;
    }
    if (count == 3 && is(words[0], "on")) {
        begin_endpoint(words[1], words[2], false);
    } else if (count == 3 && is(words[0], "serve")) {
        begin_endpoint(words[1], words[2], true);
    } else if ((count == 2 || count == 3) && is(words[0], "name")) {
        set_name(words[1], count == 3 ? words[2] : NULL);
    } else if (count == 2 && is(words[0], "needs")) {
        snprintf(wanted_needs, sizeof wanted_needs, "%s", words[1]);
    } else if (count == 4 && is(words[0], "run") && is(words[2], "as")) {
        set_run(words[1], words[3]);
    } else if (count >= 2 && is(words[0], "run")) {
        add_event(words + 1, count - 1);
    } else if (count == 4 && is(words[0], "set") && is(words[2], "to")) {
        add_constant(words[1], words[3]);
    } else if ((count == 4 || (count == 6 && is(words[4], "as"))) && is(words[1], "from")) {
        add_field(words[0], words[2], words[3], count == 6 ? words[5] : "string");
    } else {
        fail("this line means nothing; the file's head says what may stand there", words[0]);
    }
}

/* ---- writing ---- */

static void write_text(FILE *out, struct service_text piece)
{
    fprintf(out, "{%u, %u}", piece.at, piece.size);
}

static void write_bits(FILE *out, const char *name, uint64_t bits[2][4])
{
    fprintf(out, "static const uint64_t %s[2][4] = {", name);
    for (int i = 0; i < 8; i++) {
        fprintf(out, "%sUINT64_C(0x%llx)%s, ", i % 4 == 0 ? "{" : "",
                (unsigned long long)bits[i / 4][i % 4], i % 4 == 3 ? "}" : "");
    }
    fprintf(out, "};\n");
}

static void write_table(FILE *out)
{
    fprintf(out, "static const char text[] = {");
    for (size_t i = 0; i < text_used; i++) {
        fprintf(out, "%d, ", text[i]);
    }
    fprintf(out, "};\nstatic const struct json_node nodes[] = {\n");
    for (size_t i = 0; i < nodes_used; i++) {
        const struct json_node *node = &nodes[i];
        fprintf(out, "{%u, %u, %u, %u, %u, {", node->step, node->path, node->child, node->sibling,
                node->size);
        for (unsigned j = 0; j < node->size; j++) {
            fprintf(out, "%d, ", node->key[j]);
        }
        fprintf(out, "%s}},\n", node->size == 0 ? "0" : "");
    }
    fprintf(out, "};\nstatic const struct service_field fields[] = {\n");
    for (unsigned i = 0; i < field_count; i++) {
        fprintf(out, "{");
        write_text(out, fields[i].attribute);
        fprintf(out, ", ");
        write_text(out, fields[i].header);
        fprintf(out, ", %u, %u, %u},\n", fields[i].source, fields[i].type, fields[i].first);
    }
    fprintf(out, "};\nstatic const struct service_constant constants[] = {\n");
    for (unsigned i = 0; i < constant_count; i++) {
        fprintf(out, "{");
        write_text(out, constants[i].attribute);
        fprintf(out, ", ");
        write_text(out, constants[i].value);
        fprintf(out, "},\n");
    }
    fprintf(out, "};\nstatic const struct service_event events[] = {\n");
    for (unsigned i = 0; i < event_count; i++) {
        fprintf(out, "{");
        write_text(out, events[i].value);
        fprintf(out, ", %u, %u, %u, %u},\n", events[i].outcome, events[i].field, events[i].without,
                events[i].error);
    }
    fprintf(out, "};\nstatic const struct service_endpoint endpoints[] = {\n");
    for (unsigned i = 0; i < endpoint_count; i++) {
        const struct service_endpoint *endpoint = &endpoints[i];
        fprintf(out, "{");
        write_text(out, endpoint->method);
        fprintf(out, ", ");
        write_text(out, endpoint->path);
        fprintf(out, ", ");
        write_text(out, endpoint->name);
        fprintf(out, ", %u, %u, %u, %u, %u, %u, %u, %u, %u, %u, %u, %d, %d, %d, %d, %d, %d, ",
                endpoint->name_field, endpoint->needs, endpoint->field_count,
                endpoint->constant_count, endpoint->run_field, endpoint->event_count,
                endpoint->first_field, endpoint->first_constant, endpoint->first_event,
                endpoint->request_nodes, endpoint->reply_nodes, endpoint->reads_request,
                endpoint->reads_reply, endpoint->reads_messages, endpoint->reads_sent,
                endpoint->reads_query, endpoint->is_served);
        write_text(out, endpoint->run_name);
        fprintf(out, "},\n");
    }
    fprintf(out, "};\n");
    write_bits(out, "first_bytes", first_bytes);
    write_bits(out, "last_bytes", last_bytes);
}

int main(int argc, char **argv)
{
    char line[1024];
    if (argc != 3) {
        fprintf(stderr, "usage: services RULES OUTPUT\n");
        return 2;
    }
    path = argv[1];
    FILE *in = fopen(path, "r");
    FILE *out = fopen(argv[2], "w");
    if (in == NULL || out == NULL) {
        perror(in == NULL ? argv[1] : argv[2]);
        return 2;
    }
    while (fgets(line, sizeof line, in) != NULL) {
        line_number++;
        read_line(line);
    }
    end_endpoint();
    write_table(out);
    fclose(in);
    return fclose(out) == 0 ? 0 : 2;
}
