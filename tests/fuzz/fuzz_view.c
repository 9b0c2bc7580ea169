/*
 * What `wirespan view` receives, down to the drawing: the first byte chooses the encoding and the
 * style, the second the width, the rest is the message.
 *
 * Whatever comes, lines keep to the width and the terminal sees no control character of a sender.
 */
#include "fuzz.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "command/view/cells.h"
#include "command/view/decode.h"
#include "command/view/draw.h"
#include "command/view/store.h"
#include "command/view/tree.h"

static void check_text(char *text, size_t size, size_t width, bool utf8)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if ((byte < 0x20 && byte != '\n') || byte == 0x7F || (!utf8 && byte > 0x7F)) {
            fuzz_fail("a byte that no terminal should get");
        }
    }
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (cells_measure(line, utf8) > width) {
            fuzz_fail("a line is wider than asked");
        }
    }
}

static void draw_all_traces(const struct store *store, struct draw_style style)
{
    char *text = NULL;
    size_t size = 0;
    size_t spans = 0;
    style.out = open_memstream(&text, &size);
    if (style.out == NULL) {
        abort();
    }
    for (const struct store_trace *trace = store_quietest(store); trace != NULL;
         trace = trace->livelier) {
        struct tree *tree = tree_create(store, trace);
        if (tree == NULL) {
            abort();
        }
        for (size_t i = 0; i < tree->trace_count; i++) {
            spans += tree->traces[i]->span_count;
        }
        if (tree->row_count != spans) {
            fuzz_fail("a span has no row, or two");
        }
        spans = 0;
        draw_tree(&style, tree);
        tree_destroy(tree);
    }
    draw_services(&style, store);
    draw_losses(&style, store);
    fclose(style.out);
    check_text(text, size, style.width, style.utf8);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool has_locale;
    char why[DECODE_WHY_BYTES];
    if (size < 2) {
        return 0;
    }
    if (!has_locale) {
        has_locale = setlocale(LC_CTYPE, "C.UTF-8") != NULL;
    }
    struct slice body = slice_of(data + 2, size - 2);
    uint8_t *exact = fuzz_exact_copy(body);
    body.data = exact;
    Otlp__ExportTraceServiceRequest *message =
        (data[0] & 1) != 0 ? decode_json(body, why) : decode_protobuf(body, why);
    if (message != NULL) {
        /* Few enough that dropping is part of the game. */
        struct store *store = store_create((struct store_limits){64, 1u << 20}, data[0]);
        struct draw_style style = {
            .width = data[1], .utf8 = (data[0] & 2) != 0, .all = (data[0] & 4) != 0};
        if (store == NULL) {
            abort();
        }
        store_add(store, message, 1);
        store_add(store, message, 2); /* what is there already changes nothing */
        draw_all_traces(store, style);
        store_destroy(store);
        otlp__export_trace_service_request__free_unpacked(message, NULL);
    }
    free(exact);
    return 0;
}
