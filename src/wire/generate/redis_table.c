/* Writes the table of Redis commands (redis_commands.def) as C: `multiplier`, `displacements`,
   `entries`, `patterns`. Runs while the project is built; refuses a pattern that could not be
   followed. */
#include "wire/redis_table.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/redis_command.h"

struct command {
    const char *name;
    const char *pattern;
    uint8_t effect;
    uint8_t flags;
    uint16_t offset;
    uint64_t words[3];
};

#define BLOCKING REDIS_TABLE_BLOCKING
#define SCRIPT   REDIS_TABLE_SCRIPT
#define PATTERN  REDIS_TABLE_PATTERN
#define SHARD    REDIS_TABLE_SHARD

static struct command commands[] = {
#define COMMAND(the_name, the_effect, the_flags, the_pattern)                                      \
    {.name = (the_name),                                                                           \
     .pattern = (the_pattern),                                                                     \
     .effect = REDIS_##the_effect,                                                                 \
     .flags = (the_flags)},
#include "wire/redis_commands.def"
#undef COMMAND
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static uint8_t displacements[REDIS_TABLE_BUCKETS];
static const struct command *slots[REDIS_TABLE_SLOTS];

static void fail(const char *name, const char *message)
{
    fprintf(stderr, "redis_commands.def: %s: %s\n", name, message);
    exit(1);
}

static void set_words(struct command *command)
{
    size_t size = strlen(command->name);
    if (size == 0 || size > REDIS_TABLE_NAME_BYTES) {
        fail(command->name, "a name has 1 to 24 characters");
    }
    for (size_t i = 0; i < size; i++) {
        bool is_letter = command->name[i] >= 'A' && command->name[i] <= 'Z';
        command->flags |= is_letter ? 0 : REDIS_TABLE_SIGNS;
    }
    for (size_t i = 0; i < 3 && 8 * i < size; i++) {
        const uint8_t *word = (const uint8_t *)command->name + 8 * i;
        command->words[i] = redis_table_fold(redis_table_load(word, size - 8 * i));
    }
}

/* Brackets in pairs, options with words, and in every repetition something that takes an
   argument. */
static void check_pattern(const struct command *command)
{
    char open[8];
    size_t takes[8] = {0}; /* tokens at this level that take an argument */
    size_t depth = 0;
    bool word_expected = false;
    for (const char *at = command->pattern; *at != '\0'; at++) {
        if (strchr("({[", *at) != NULL) {
            if (depth == sizeof open) {
                fail(command->name, "nested too deep");
            }
            takes[depth] = 0;
            open[depth++] = *at;
            word_expected = *at != '(';
        } else if (strchr(")}]", *at) != NULL) {
            char wanted = *at == ')' ? '(' : *at == '}' ? '{' : '[';
            if (depth == 0 || open[--depth] != wanted || word_expected) {
                fail(command->name, "brackets do not match");
            }
            if (*at == ')' && takes[depth] == 0) {
                fail(command->name, "a repetition takes no argument");
            }
        } else if (*at == '|') {
            if (depth == 0 || open[depth - 1] == '(' || word_expected) {
                fail(command->name, "a '|' belongs between options");
            }
            word_expected = true;
        } else if (word_expected) {
            size_t size = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~=");
            if (size == 0 || strchr(" |}]", at[size]) == NULL) {
                fail(command->name, "an option begins with its word");
            }
            at += at[size] == ' ' ? size : size - 1;
            word_expected = false;
        } else if (strchr("kf?nNisHSR#", *at) != NULL) {
            takes[depth == 0 ? 0 : depth - 1] += depth > 0;
        } else if (strchr("KL!", *at) == NULL) {
            fail(command->name, "unknown token");
        }
    }
    if (depth != 0) {
        fail(command->name, "a bracket is not closed");
    }
}

/* Finds a displacement with which all names of the bucket fall on free slots. */
static bool place_bucket(uint32_t bucket, uint64_t multiplier)
{
    for (uint32_t displacement = 0; displacement < 256; displacement++) {
        const struct command *taken[REDIS_TABLE_SLOTS];
        memcpy(taken, slots, sizeof taken);
        bool fits = true;
        for (size_t i = 0; i < COMMANDS && fits; i++) {
            uint64_t hash = redis_table_hash(commands[i].words, multiplier);
            if (redis_table_bucket(hash) == bucket) {
                uint32_t slot = redis_table_slot(hash, displacement);
                fits = taken[slot] == NULL;
                taken[slot] = &commands[i];
            }
        }
        if (fits) {
            memcpy(slots, taken, sizeof slots);
            displacements[bucket] = (uint8_t)displacement;
            return true;
        }
    }
    return false;
}

/* Full buckets first: they are the hardest to place. */
static bool place_all(uint64_t multiplier)
{
    size_t sizes[REDIS_TABLE_BUCKETS] = {0};
    memset(slots, 0, sizeof slots);
    for (size_t i = 0; i < COMMANDS; i++) {
        sizes[redis_table_bucket(redis_table_hash(commands[i].words, multiplier))]++;
    }
    for (size_t size = COMMANDS; size > 0; size--) {
        for (uint32_t bucket = 0; bucket < REDIS_TABLE_BUCKETS; bucket++) {
            if (sizes[bucket] == size && !place_bucket(bucket, multiplier)) {
                return false;
            }
        }
    }
    return true;
}

/* Odd multipliers in a fixed order, so that every build gives the same table. */
static uint64_t place_commands(void)
{
    uint64_t multiplier = 0x9e3779b97f4a7c15u;
    for (int attempt = 0; attempt < 10000; attempt++) {
        if (place_all(multiplier)) {
            return multiplier;
        }
        multiplier = (multiplier * 6364136223846793005u + 1442695040888963407u) | 1;
    }
    fail("table", "no multiplier fits: make the table larger");
    return 0;
}

static void print_patterns(FILE *file)
{
    size_t offset = 1;
    fprintf(file, "static const char patterns[] = \"\"");
    for (size_t i = 0; i < COMMANDS; i++) {
        struct command *command = &commands[i];
        size_t size = strlen(command->pattern);
        size_t same = 0;
        while (same < i && strcmp(commands[same].pattern, command->pattern) != 0) {
            same++;
        }
        if (size == 0) {
            command->offset = 0;
        } else if (same < i) {
            command->offset = commands[same].offset;
        } else {
            fprintf(file, "\n    \"\\0%s\"", command->pattern);
            command->offset = (uint16_t)offset;
            offset += size + 1;
        }
    }
    fprintf(file, ";\n");
    if (offset > UINT16_MAX) {
        fail("patterns", "too long for 16-bit offsets");
    }
}

static void print_table(FILE *file, uint64_t multiplier)
{
    fprintf(file, "#define MULTIPLIER 0x%llxu\n\n", (unsigned long long)multiplier);
    fprintf(file, "static const uint8_t displacements[REDIS_TABLE_BUCKETS] = {");
    for (uint32_t i = 0; i < REDIS_TABLE_BUCKETS; i++) {
        fprintf(file, "%s%u,", i % 16 == 0 ? "\n    " : " ", displacements[i]);
    }
    fprintf(file, "\n};\n\n");
    print_patterns(file);
    fprintf(file, "\nstatic const struct redis_table_entry entries[REDIS_TABLE_SLOTS] = {\n");
    for (uint32_t i = 0; i < REDIS_TABLE_SLOTS; i++) {
        const struct command *command = slots[i];
        if (command != NULL) {
            fprintf(file, "    [%u] = {{0x%llxu, 0x%llxu, 0x%llxu}, %u, %zu, %u, %u}, /* %s */\n",
                    i, (unsigned long long)command->words[0], (unsigned long long)command->words[1],
                    (unsigned long long)command->words[2], command->offset, strlen(command->name),
                    command->effect, command->flags, command->name);
        }
    }
    fprintf(file, "};\n");
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "w") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: redis_table FILE\n");
        return 2;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        set_words(&commands[i]);
        check_pattern(&commands[i]);
    }
    print_table(file, place_commands());
    return fclose(file) == 0 ? 0 : 1;
}
