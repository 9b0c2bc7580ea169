/* wirespan rules: what rule files say, and what is wrong with them. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/subcommands.h"
#include "rules/rules.h"
#include "rules/shipped.h"

struct request {
    const char *action;
    char **files;
    int file_count;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct request *request = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (request->action != NULL) {
            request->files = &state->argv[state->next - 1];
            request->file_count = state->argc - state->next + 1;
            state->next = state->argc;
            return 0;
        }
        request->action = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "say what: check FILE..., list, or show NAME");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The file's text, to be freed; NULL with a message. */
static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : malloc(LIMIT_RULE_FILE_BYTES + 1);
    if (text != NULL) {
        *size = fread(text, 1, LIMIT_RULE_FILE_BYTES + 1, file);
        if (ferror(file)) {
            free(text);
            text = NULL;
        }
    }
    if (text == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    }
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

static void print_slice(struct slice text)
{
    fwrite(text.data, 1, text.size, stdout);
}

static void print_key(struct slice key)
{
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] != RULE_CAPTURE || i + 1 == key.size) {
            putchar(key.data[i]);
            continue;
        }
        uint8_t variable = key.data[++i];
        printf("{%s}", variable == RULE_ANYTHING
                           ? "*"
                           : rules_variable_name((enum rule_variable)(variable - 1)));
    }
}

static void print_place(const struct rules *rules, const struct rule_source *source)
{
    static const char *const kinds[] = {"argument", "argv", "field", "reply", "reply"};
    fputs(kinds[source->kind], stdout);
    if (source->position > RULE_FROM_END) {
        printf(" -%u", source->position - RULE_FROM_END);
    } else if (source->position > 0) {
        printf(" %u", source->position);
    }
    for (uint32_t i = 0; i < source->steps; i++) {
        printf("%c%u", i == 0 ? ' ' : '.', source->step[i]);
    }
    if (source->text != 0) {
        fputs(source->kind == RULE_SOURCE_FIELD ? " " : " field ", stdout);
        print_slice(rules_text(rules, source->text));
    }
    if (source->path != 0) {
        fputs(" json ", stdout);
        print_slice(rules_text(rules, source->path));
    }
}

/* " if argument 2 is workers", as the rule has it. */
static void explain_condition(const struct rules *rules, const struct rule_condition *condition,
                              bool is_first)
{
    uint16_t offset = condition->words;
    fputs(is_first ? " if " : " and ", stdout);
    print_place(rules, &rules->sources[condition->value.source]);
    if (condition->word_count == 0) {
        fputs(condition->is_negated ? " is missing" : " is there", stdout);
        return;
    }
    fputs(condition->is_negated ? " is not " : " is ", stdout);
    for (uint32_t i = 0; i < condition->word_count; i++) {
        struct slice word = rules_text(rules, offset);
        if (i > 0) {
            putchar('|');
        }
        print_key(word);
        offset = (uint16_t)(offset + sizeof(uint16_t) + word.size);
    }
}

/* "12: claim, by ZPOPMAX on jobs:pending; tells id, queue". */
static void explain_rule(const struct rules *rules, const struct rule *rule, struct slice commands)
{
    printf("  line %u: %s, by ", rule->line, rules_action_name((enum rule_action)rule->action));
    print_slice(commands);
    if (rule->key_count > 0) {
        fputs(rule->is_script ? " with the keys" : " on", stdout);
    }
    for (uint32_t i = 0; i < rule->key_count; i++) {
        putchar(' ');
        print_key(rules_text(rules, rules->keys[rule->first_key + i]));
    }
    for (uint32_t i = 0; i < rule->condition_count; i++) {
        explain_condition(rules, &rules->conditions[rule->first_condition + i], i == 0);
    }
    if (rule->needs_claim) {
        fputs(rule->condition_count == 0 ? " if it is claimed here" : " and it is claimed here",
              stdout);
    }
    uint64_t told = 0;
    for (uint32_t i = 0; i < rule->setting_count; i++) {
        uint8_t variable = rules->settings[rule->first_setting + i].variable;
        if ((told >> variable & 1) == 0) {
            printf("%s%s", told == 0 ? "; tells " : ", ",
                   rules_variable_name((enum rule_variable)variable));
        }
        told |= RULE_BIT(variable);
    }
    putchar('\n');
}

/* The commands as the file has them: the word behind 'on' in the rule's line, or in the one that a
   'then' belongs to. */
static struct slice commands_in(struct slice text, uint32_t wanted)
{
    struct slice found = SLICE("");
    for (uint32_t line = 1; line <= wanted && text.size > 0; line++) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        struct slice content = slice_take(&text, size);
        slice_take(&text, text.size > 0);
        while (content.size > 0 && (content.data[0] == ' ' || content.data[0] == '\t')) {
            slice_take(&content, 1);
        }
        if (slice_starts_with(content, SLICE("on "))) {
            slice_take(&content, 3);
            size_t word = 0;
            while (word < content.size && content.data[word] > ' ') {
                word++;
            }
            found = slice_of(content.data, word);
        }
    }
    return found;
}

static void explain(const struct rules *rules, struct slice text)
{
    uint8_t queue = UINT8_MAX;
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        const struct rule *rule = &rules->rules[i];
        if (rule->queue != queue) {
            queue = rule->queue;
            fputs("queue ", stdout);
            print_slice(rules_text(rules, rules->queues[queue].name));
            fputs("; a job is named by", stdout);
            for (uint32_t variable = 0; variable < RULE_VARIABLES; variable++) {
                if ((rules->queues[queue].identity >> variable & 1) != 0) {
                    printf(" %s", rules_variable_name((enum rule_variable)variable));
                }
            }
            putchar('\n');
        }
        explain_rule(rules, rule, commands_in(text, rule->line));
    }
}

static int check_text(const char *name, struct slice text, bool explains)
{
    struct rules *rules = malloc(sizeof *rules);
    struct rules_error error = {0};
    if (rules == NULL) {
        fprintf(stderr, "%s: %s\n", name, strerror(ENOMEM));
        return EXIT_FAILED;
    }
    rules_init(rules);
    bool is_right = rules_parse(rules, 0, text, &error) && rules_finish(rules, &error);
    if (!is_right && error.line > 0) {
        fprintf(stderr, "%s:%u: %s\n", name, error.line, error.text);
    } else if (!is_right) {
        fprintf(stderr, "%s: %s\n", name, error.text);
    } else {
        printf("%s: %u queues, %u rules\n", name, rules->queue_count, rules->rule_count);
        if (explains) {
            explain(rules, text);
        }
    }
    free(rules);
    return is_right ? EXIT_DONE : EXIT_FAILED;
}

static int check_files(const struct request *request)
{
    int status = EXIT_DONE;
    for (int i = 0; i < request->file_count; i++) {
        size_t size = 0;
        char *text = read_file(request->files[i], &size);
        if (text == NULL ||
            check_text(request->files[i], slice_of(text, size), true) != EXIT_DONE) {
            status = EXIT_FAILED;
        }
        free(text);
    }
    return status;
}

static int list_shipped(void)
{
    for (uint32_t i = 0; rules_shipped_file(i) != NULL; i++) {
        check_text(rules_shipped_file(i)->name, rules_shipped_file(i)->text, false);
    }
    return EXIT_DONE;
}

static int show_shipped(const char *name)
{
    for (uint32_t i = 0; rules_shipped_file(i) != NULL; i++) {
        if (strcmp(rules_shipped_file(i)->name, name) == 0) {
            print_slice(rules_shipped_file(i)->text);
            return EXIT_DONE;
        }
    }
    fprintf(stderr, "wirespan rules: no shipped file is called '%s'; 'wirespan rules list' tells\n",
            name);
    return EXIT_FAILED;
}

int rules_main(int argc, char **argv)
{
    static const struct argp parser = {
        .parser = parse_option,
        .args_doc = "check FILE...\nlist\nshow NAME",
        .doc = "What the commands of job queues mean is written in rule files. 'check' reads files "
               "as a process would, and explains them, or tells the line that is wrong and why. "
               "'list' names the files that are built in, 'show' prints one.",
    };
    struct request request = {0};
    if (argp_parse(&parser, argc, argv, 0, NULL, &request) != 0) {
        return EXIT_FAILED;
    }
    if (strcmp(request.action, "check") == 0 && request.file_count > 0) {
        return check_files(&request);
    }
    if (strcmp(request.action, "list") == 0 && request.file_count == 0) {
        return list_shipped();
    }
    if (strcmp(request.action, "show") == 0 && request.file_count == 1) {
        return show_shipped(request.files[0]);
    }
    fprintf(stderr, "wirespan rules: say 'check FILE...', 'list', or 'show NAME'\n");
    return EXIT_USAGE;
}
