#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *script;

static char *repeated(size_t count)
{
    char *text = malloc(count + 1);
    if (!text)
        exit(3);
    memset(text, 'x', count);
    text[count] = '\0';
    return text;
}

int script_next(const char *path, struct step *step)
{
    char line[1024];

    if (!script)
        script = fopen(path, "r");
    if (!script)
        exit(3);
    if (!fgets(line, sizeof(line), script))
        return 0;
    char *copy = strdup(line);
    if (!copy)
        exit(3);
    step->count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(copy, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        if (step->count == SCRIPT_WORDS_MAX)
            exit(3);
        if (word[0] == '@')
            word = repeated((size_t)strtoul(word + 1, NULL, 10));
        step->words[step->count] = word;
        step->lengths[step->count] = strlen(word);
        step->count++;
    }
    return 1;
}
