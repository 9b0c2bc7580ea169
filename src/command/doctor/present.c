#include "command/doctor/present.h"

#include <jansson.h>
#include <string.h>

static const struct {
    const char *word;
    const char *mark;
    const char *colour;
    const char *verdict;
} levels[] = {
    [FINDING_GOOD] = {"good", "+", "\033[32m", "It can be seen."},
    [FINDING_NOTE] = {"note", "-", "\033[36m", "It can be seen."},
    [FINDING_PARTLY] = {"partly", "!", "\033[33m",
                        "It can be seen in part, or this cannot be told."},
    [FINDING_UNSEEN] = {"unseen", "x", "\033[31m", "It cannot be seen."},
};

static const char *verdict_word(enum finding_level worst)
{
    return worst <= FINDING_NOTE ? "seen" : levels[worst].word;
}

/* Names and paths are others': no control character of theirs reaches the terminal, neither those
   of ASCII nor those beyond it, which begin with this byte in UTF-8. */
#define C1_LEAD 0xC2

static void put_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        unsigned char next = (unsigned char)text[1];
        bool is_control =
            byte < 0x20 || byte == 0x7F || (byte == C1_LEAD && next >= 0x80 && next < 0xA0);
        fputc(is_control ? '?' : byte, out);
        text += byte == C1_LEAD && is_control;
    }
}

bool present_text(FILE *out, const struct presentation *presentation)
{
    const struct findings *findings = presentation->findings;
    const char *plain = presentation->has_colour ? "\033[0m" : "";
    put_text(out, presentation->title);
    fputc('\n', out);
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        fprintf(out, "  %s%s%s ", presentation->has_colour ? levels[finding->level].colour : "",
                levels[finding->level].mark, plain);
        put_text(out, finding->text);
        fputc('\n', out);
    }
    for (size_t i = 0; presentation->hooked != NULL && i < presentation->hooked->count; i++) {
        fputs(i == 0 ? "  hooked:" : "", out);
        fputc(' ', out);
        put_text(out, presentation->hooked->items[i]);
        fputs(i + 1 == presentation->hooked->count ? "\n" : "", out);
    }
    enum finding_level worst = findings_worst(findings);
    fprintf(out, "%s%s%s\n", presentation->has_colour ? levels[worst].colour : "",
            levels[worst].verdict, plain);
    return fflush(out) == 0 && ferror(out) == 0;
}

/* What is no UTF-8 is no JSON text: its bytes above ASCII become '?'. */
static json_t *text_of(const char *text)
{
    json_t *string = json_string(text);
    char *copy = string == NULL ? strdup(text) : NULL;
    for (size_t i = 0; copy != NULL && copy[i] != '\0'; i++) {
        copy[i] = (copy[i] & 0x80) != 0 ? '?' : copy[i];
    }
    if (copy != NULL) {
        string = json_string(copy);
    }
    free(copy);
    return string;
}

bool present_json(FILE *out, const struct presentation *presentation)
{
    const struct findings *findings = presentation->findings;
    json_t *root = json_object();
    json_t *list = json_array();
    bool is_complete = json_object_set_new(root, "subject", text_of(presentation->title)) == 0;
    is_complete &= json_object_set_new(root, "verdict",
                                       json_string(verdict_word(findings_worst(findings)))) == 0;
    is_complete &= json_object_set_new(root, "findings", list) == 0;
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        json_t *item = json_object();
        is_complete &= json_object_set_new(item, "id", json_string(finding->id)) == 0;
        is_complete &=
            json_object_set_new(item, "level", json_string(levels[finding->level].word)) == 0;
        is_complete &= json_object_set_new(item, "text", text_of(finding->text)) == 0;
        is_complete &= json_array_append_new(list, item) == 0;
    }
    if (presentation->hooked != NULL) {
        json_t *names = json_array();
        is_complete &= json_object_set_new(root, "hooked", names) == 0;
        for (size_t i = 0; i < presentation->hooked->count; i++) {
            is_complete &=
                json_array_append_new(names, text_of(presentation->hooked->items[i])) == 0;
        }
    }
    is_complete &= json_dumpf(root, out, JSON_INDENT(2)) == 0;
    json_decref(root);
    fputc('\n', out);
    return is_complete && fflush(out) == 0 && ferror(out) == 0;
}
