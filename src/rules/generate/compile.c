/* Writes the shipped rules as C: the compiled table and the texts. Runs while the project is built;
   refuses a rule file that is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/rules.h"

static struct rules rules;
static char texts[16][LIMIT_RULE_FILE_BYTES + 1];

static size_t read_file(const char *path, char *into)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t size = fread(into, 1, LIMIT_RULE_FILE_BYTES + 1, file);
    fclose(file);
    return size;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void print_bytes(FILE *file, const unsigned char *bytes, size_t size)
{
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        fprintf(file, "%u,%s", bytes[i], i % 24 == 23 ? "\n" : "");
    }
}

int main(int argc, char **argv)
{
    struct rules_error error;
    FILE *file = argc > 2 && argc < 18 ? fopen(argv[1], "w") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: compile_rules OUTPUT RULES...\n");
        return 2;
    }
    rules_init(&rules);
    for (int i = 2; i < argc; i++) {
        char *text = texts[i - 2];
        size_t size = read_file(argv[i], text);
        if (!rules_parse(&rules, (uint8_t)(i - 2), slice_of(text, size), &error)) {
            fprintf(stderr, "%s:%u: %s\n", argv[i], error.line, error.text);
            return 1;
        }
        fprintf(file, "static const unsigned char text_%d[] = {\n", i - 2);
        print_bytes(file, (const unsigned char *)text, size);
        fprintf(file, "\n};\n");
    }
    if (!rules_finish(&rules, &error)) {
        fprintf(stderr, "line %u: %s\n", error.line, error.text);
        return 1;
    }
    fprintf(file, "static const struct shipped_rules files[] = {\n");
    for (int i = 2; i < argc; i++) {
        fprintf(file, "    {\"%s\", {text_%d, sizeof text_%d}},\n", base_name(argv[i]), i - 2,
                i - 2);
    }
    fprintf(file, "};\nstatic const union {\n    unsigned char bytes[sizeof(struct rules)];\n"
                  "    struct rules rules;\n} table = {.bytes = {\n");
    print_bytes(file, (const unsigned char *)&rules, sizeof rules);
    fprintf(file, "\n}};\n");
    return fclose(file) == 0 ? 0 : 1;
}
