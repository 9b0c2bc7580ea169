#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Longer inputs are not split at every place but near their ends and at every 61st place (a prime,
   so that it falls in step with no line length). */
#define SPLIT_EVERYWHERE_BYTES 6000u
#define SPLIT_EDGE_BYTES       300u
#define SPLIT_STRIDE           61u

#define CASE_DIRECTIONS 16u

/* Longer inputs slow a fuzzer down and teach it nothing. */
#define CORPUS_FILE_BYTES 4096u

/* ---- growing text ---- */

struct text {
    char *data;
    size_t size;
    size_t capacity;
};

static void text_append(struct text *text, const void *data, size_t size)
{
    if (text->capacity - text->size < size + 1) {
        text->capacity = (text->capacity + size + 64) * 2;
        text->data = realloc(text->data, text->capacity);
        if (text->data == NULL) {
            abort();
        }
    }
    if (size > 0) {
        memcpy(text->data + text->size, data, size);
    }
    text->size += size;
    text->data[text->size] = '\0';
}

static void text_append_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

static void text_clear(struct text *text)
{
    text->size = 0;
    text_append(text, "", 0);
}

static void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

static void text_append_escaped(struct text *text, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.data[i];
        char escape[8];
        if (byte == '\r' || byte == '\n' || byte == '\t' || byte == '\\') {
            escape[0] = '\\';
            escape[1] = byte == '\r' ? 'r' : byte == '\n' ? 'n' : byte == '\t' ? 't' : '\\';
            text_append(text, escape, 2);
        } else if (byte < 0x20 || byte > 0x7e) {
            int size = snprintf(escape, sizeof escape, "\\x%02x", byte);
            text_append(text, escape, (size_t)size);
        } else {
            text_append(text, &byte, 1);
        }
    }
}

/* ---- the log of events ---- */

struct wire_log {
    struct text lines;
    char open_label[256]; /* of the line that may still grow; empty: none */
};

void wire_log_close(struct wire_log *log)
{
    if (log->open_label[0] != '\0') {
        text_append(&log->lines, "\n", 1);
        log->open_label[0] = '\0';
    }
}

void wire_log_line(struct wire_log *log, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    wire_log_close(log);
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text_append_string(&log->lines, line);
    text_append(&log->lines, "\n", 1);
}

void wire_log_piece(struct wire_log *log, const char *label, struct slice piece)
{
    if (strcmp(log->open_label, label) != 0) {
        wire_log_close(log);
        size_t size = strnlen(label, sizeof log->open_label - 1);
        memcpy(log->open_label, label, size);
        log->open_label[size] = '\0';
        text_append(&log->lines, label, size);
        text_append(&log->lines, " ", 1);
    }
    text_append_escaped(&log->lines, piece);
}

void wire_log_bytes(struct wire_log *log, const char *label, struct slice bytes)
{
    wire_log_close(log);
    wire_log_piece(log, label, bytes);
    wire_log_close(log);
}

void wire_log_clear(struct wire_log *log)
{
    text_clear(&log->lines);
    log->open_label[0] = '\0';
}

struct wire_log *wire_log_create(void)
{
    struct wire_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        abort();
    }
    wire_log_clear(log);
    return log;
}

const char *wire_log_text(struct wire_log *log)
{
    wire_log_close(log);
    return log->lines.data;
}

struct wire_log *wire_log_destroy(struct wire_log *log)
{
    if (log != NULL) {
        text_free(&log->lines);
        free(log);
    }
    return NULL;
}

/* ---- words of options ---- */

struct slice wire_next_word(const char **words)
{
    const char *start = *words + strspn(*words, " ");
    size_t size = strcspn(start, " ");
    *words = start + size;
    return slice_of(start, size);
}

void wire_feed(struct slice piece, bool *lost, struct wire_log *log,
               enum wire_progress (*next)(struct slice *piece, struct wire_log *log))
{
    while (!*lost) {
        switch (next(&piece, log)) {
        case WIRE_WENT_ON:
            break;
        case WIRE_NEEDS_MORE:
            if (piece.size > 0) {
                abort();
            }
            return;
        case WIRE_LOST:
            wire_log_line(log, "lost");
            *lost = true;
            break;
        }
    }
}

bool wire_skip(const char *words, struct wire_log *log, bool (*skip)(uint64_t count))
{
    if (!slice_equals(wire_next_word(&words), SLICE("skip"))) {
        return false;
    }
    uint64_t count = strtoull(words, NULL, 10);
    bool good = skip(count);
    wire_log_close(log);
    wire_log_line(log, "skip %lu: %s", count, good ? "good" : "lost");
    return true;
}

bool wire_word_number(struct slice word, const char *name, uint64_t *number)
{
    size_t size = strlen(name);
    if (word.size <= size + 1 || memcmp(word.data, name, size) != 0 || word.data[size] != '=') {
        return false;
    }
    *number = strtoull((const char *)word.data + size + 1, NULL, 10);
    return true;
}

/* ---- cases ---- */

struct direction {
    size_t at; /* offset in the bytes before which it stands */
    char words[64];
};

struct wire_case {
    const char *file;
    unsigned line;
    char title[200];
    char options[200];
    struct text bytes;
    struct text expected;
    struct direction directions[CASE_DIRECTIONS];
    size_t direction_count;
    bool has_why;
    bool has_events;
};

static void fail_case(const struct wire_case *test, const char *message, const char *detail)
{
    fprintf(stderr, "%s:%u: %s: %s\n", test->file, test->line, message, detail);
    exit(2);
}

/* Decodes one line: escapes \r \n \t \0 \\ \} \xHH, repeats \*COUNT{text}, directions \{words}.
   Returns where it stopped: at the end, or behind the '}' that ends a repeat. */
static const char *decode(struct wire_case *test, const char *in, struct text *out, bool in_repeat)
{
    while (*in != '\0') {
        if (in_repeat && *in == '}') {
            return in + 1;
        }
        if (*in != '\\') {
            text_append(out, in++, 1);
            continue;
        }
        char kind = in[1];
        const char *simple = strchr("rnt0\\}", kind);
        if (kind != '\0' && simple != NULL) {
            text_append(out, &"\r\n\t\0\\}"[simple - "rnt0\\}"], 1);
            in += 2;
        } else if (kind == 'x') {
            char digits[3] = {in[2], in[2] == '\0' ? '\0' : in[3], '\0'};
            char *end;
            uint8_t byte = (uint8_t)strtoul(digits, &end, 16);
            if (end != digits + 2) {
                fail_case(test, "\\x needs two digits", in);
            }
            text_append(out, &byte, 1);
            in += 4;
        } else if (kind == '*') {
            char *end;
            unsigned long count = strtoul(in + 2, &end, 10);
            if (end == in + 2 || *end != '{') {
                fail_case(test, "a repeat is \\*COUNT{text}", in);
            }
            struct text once = {0};
            in = decode(test, end + 1, &once, true);
            for (unsigned long i = 0; i < count; i++) {
                text_append(out, once.data, once.size);
            }
            text_free(&once);
        } else if (kind == '{') {
            size_t size = strcspn(in + 2, "}");
            struct direction *direction = &test->directions[test->direction_count];
            if (in[2 + size] != '}' || size >= sizeof direction->words ||
                test->direction_count == CASE_DIRECTIONS || out != &test->bytes) {
                fail_case(test, "bad \\{words}", in);
            }
            memcpy(direction->words, in + 2, size);
            direction->words[size] = '\0';
            direction->at = out->size;
            test->direction_count++;
            in += 2 + size + 1;
        } else {
            fail_case(test, "unknown escape", in);
        }
    }
    if (in_repeat) {
        fail_case(test, "repeat without its }", "");
    }
    return in;
}

static void take_expected_line(struct wire_case *test, const char *line)
{
    struct text decoded = {0};
    decode(test, line, &decoded, false);
    text_append_escaped(&test->expected, slice_of(decoded.data, decoded.size));
    text_append(&test->expected, "\n", 1);
    text_free(&decoded);
}

/* ---- one case in all ways ---- */

struct page_end {
    uint8_t *start;
    size_t size; /* readable; behind it lies the unreadable page */
};

static struct page_end make_page_end(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t readable = (size + page) / page * page;
    uint8_t *start =
        mmap(NULL, readable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + readable, page, PROT_NONE) != 0) {
        perror("mmap");
        exit(2);
    }
    return (struct page_end){start, readable};
}

struct run {
    const struct wire_subject *subject;
    const struct wire_case *test;
    struct wire_log log;
    struct page_end page;
    bool at_page_end;
};

/* Feeds a copy of the bytes [from, to) and overwrites the copy. */
static void feed_piece(struct run *run, size_t from, size_t to)
{
    size_t size = to - from;
    uint8_t *copy =
        run->at_page_end ? run->page.start + run->page.size - size : malloc(size ? size : 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, run->test->bytes.data + from, size);
    run->subject->feed(slice_of(copy, size), &run->log);
    memset(copy, 0xA5, size);
    if (!run->at_page_end) {
        free(copy);
    }
}

/* Feeds everything, cut every `step` bytes and at `split`. */
static void run_once(struct run *run, size_t step, size_t split)
{
    const struct wire_case *test = run->test;
    size_t at = 0;
    size_t next = 0;
    wire_log_clear(&run->log);
    if (!run->subject->reset(test->options)) {
        fail_case(test, "the subject does not know these options", test->options);
    }
    for (;;) {
        while (next < test->direction_count && test->directions[next].at == at) {
            const char *words = test->directions[next++].words;
            if (run->subject->direct == NULL || !run->subject->direct(words, &run->log)) {
                fail_case(test, "the subject does not know this direction", words);
            }
        }
        if (at == test->bytes.size) {
            break;
        }
        size_t end = test->bytes.size - at > step ? at + step : test->bytes.size;
        if (next < test->direction_count && test->directions[next].at < end) {
            end = test->directions[next].at;
        }
        if (at < split && split < end) {
            end = split;
        }
        feed_piece(run, at, end);
        at = end;
    }
    if (run->subject->finish != NULL) {
        run->subject->finish(&run->log);
    }
    wire_log_close(&run->log);
}

/* A line for people: long runs of one byte are written as repeats, so that it can be pasted. */
static void print_line(const char *mark, const char *line, size_t size)
{
    fprintf(stderr, "%s    ", mark);
    for (size_t i = 0; i < size;) {
        size_t run = 1;
        while (i + run < size && line[i + run] == line[i]) {
            run++;
        }
        if (run >= 24 && line[i] != '\\') {
            fprintf(stderr, "\\*%zu{%c}", run, line[i]);
        } else if (i + run == size && line[i] == ' ') {
            fprintf(stderr, "%*s\\x20", (int)run - 1, "");
        } else {
            fprintf(stderr, "%.*s", (int)run, line + i);
        }
        i += run;
    }
    fputc('\n', stderr);
}

static void print_lines(const char *text, const char *other)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        size_t other_size = strcspn(other, "\n");
        bool same = size == other_size && memcmp(text, other, size) == 0;
        print_line(same ? "  " : "! ", text, size);
        text += size + (text[size] == '\n');
        other += other_size + (other[other_size] == '\n');
    }
}

static bool matches(struct run *run, const char *way, size_t split)
{
    const struct text *got = &run->log.lines;
    const struct text *expected = &run->test->expected;
    if (got->size == expected->size && memcmp(got->data, expected->data, got->size) == 0) {
        return true;
    }
    fprintf(stderr, "FAILED %s:%u: %s\n", run->test->file, run->test->line, run->test->title);
    fprintf(stderr, "  fed %s", way);
    if (split > 0) {
        fprintf(stderr, " at byte %zu of %zu", split, run->test->bytes.size);
    }
    fprintf(stderr, "%s\n  expected:\n", run->at_page_end ? ", ending at an unreadable page" : "");
    print_lines(expected->data, got->data);
    fprintf(stderr, "  got:\n");
    print_lines(got->data, expected->data);
    return false;
}

static bool is_tried_split(size_t split, size_t size)
{
    return size <= SPLIT_EVERYWHERE_BYTES || split <= SPLIT_EDGE_BYTES ||
           size - split <= SPLIT_EDGE_BYTES || split % SPLIT_STRIDE == 0;
}

static bool run_case(struct run *run)
{
    size_t size = run->test->bytes.size;
    for (int at_page_end = 0; at_page_end < 2; at_page_end++) {
        run->at_page_end = at_page_end != 0;
        run_once(run, SIZE_MAX, 0);
        if (!matches(run, "whole", 0)) {
            return false;
        }
        run_once(run, 1, 0);
        if (!matches(run, "byte by byte", 0)) {
            return false;
        }
        for (size_t split = 1; split < size; split++) {
            if (!is_tried_split(split, size)) {
                continue;
            }
            run_once(run, SIZE_MAX, split);
            if (!matches(run, "in two pieces, split", split)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- files ---- */

struct session {
    const struct wire_subject *subject;
    const char *corpus; /* folder to write to, or NULL */
    unsigned cases;
    unsigned failed;
};

static void write_corpus_file(struct session *session, const struct wire_case *test)
{
    char path[4096];
    const char *const *options = session->subject->fuzz_options;
    const char *base = strrchr(test->file, '/');
    base = base == NULL ? test->file : base + 1;
    if (test->bytes.size > CORPUS_FILE_BYTES) {
        return;
    }
    int start = snprintf(path, sizeof path, "%s/", session->corpus);
    snprintf(path + start, sizeof path - (size_t)start, "%.*s-%s", (int)strcspn(base, "."), base,
             test->title);
    for (char *at = path + start; *at != '\0'; at++) {
        if (!(*at >= '0' && *at <= '9') &&
            !(ascii_lower((uint8_t)*at) >= 'a' && ascii_lower((uint8_t)*at) <= 'z')) {
            *at = '-';
        }
    }
    FILE *file = fopen(path, "wb");
    if (file != NULL && options != NULL) {
        int chosen = 0;
        for (int i = 0; options[i] != NULL; i++) {
            if (strcmp(options[i], test->options) == 0) {
                chosen = i;
            }
        }
        fputc(chosen, file);
    }
    if (file == NULL || fwrite(test->bytes.data, 1, test->bytes.size, file) != test->bytes.size ||
        fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

static void finish_case(struct session *session, struct wire_case *test)
{
    if (test->line == 0) {
        return;
    }
    if (!test->has_why || !test->has_events) {
        fail_case(test, "a case needs why: and events:", test->title);
    }
    text_append(&test->bytes, "", 0);
    text_append(&test->expected, "", 0);
    session->cases++;
    if (session->corpus != NULL) {
        write_corpus_file(session, test);
    } else {
        struct run run = {.subject = session->subject, .test = test};
        run.page = make_page_end(test->bytes.size);
        if (!run_case(&run)) {
            session->failed++;
        }
        munmap(run.page.start, run.page.size + (size_t)sysconf(_SC_PAGESIZE));
        text_free(&run.log.lines);
    }
    text_free(&test->bytes);
    text_free(&test->expected);
}

enum section { SECTION_NONE, SECTION_WHY, SECTION_BYTES, SECTION_EVENTS };

static enum section take_heading(struct wire_case *test, const char *line)
{
    if (strncmp(line, "why:", 4) == 0) {
        test->has_why = line[4] != '\0';
        return SECTION_WHY;
    }
    if (strncmp(line, "options:", 8) == 0) {
        const char *options = line + 8 + strspn(line + 8, " ");
        snprintf(test->options, sizeof test->options, "%s", options);
        return SECTION_NONE;
    }
    if (strcmp(line, "bytes:") == 0) {
        return SECTION_BYTES;
    }
    if (strcmp(line, "events:") == 0) {
        test->has_events = true;
        return SECTION_EVENTS;
    }
    fail_case(test, "no such heading", line);
    return SECTION_NONE;
}

static void take_content(struct wire_case *test, enum section section, const char *line)
{
    const char *content = line + 4;
    switch (section) {
    case SECTION_NONE:
        fail_case(test, "a line under no heading", line);
        break;
    case SECTION_WHY:
        break;
    case SECTION_BYTES:
        decode(test, content, &test->bytes, false);
        break;
    case SECTION_EVENTS:
        take_expected_line(test, content);
        break;
    }
}

static void run_file(struct session *session, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    unsigned number = 0;
    enum section section = SECTION_NONE;
    struct wire_case test = {.file = path};
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    while (getline(&line, &capacity, file) >= 0) {
        number++;
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "== ", 3) == 0) {
            finish_case(session, &test);
            test = (struct wire_case){.file = path, .line = number};
            snprintf(test.title, sizeof test.title, "%s", line + 3);
            section = SECTION_NONE;
        } else if (test.line == 0 || line[0] == '\0' || line[0] == '#') {
            continue; /* prose before the first case, blank lines and comments */
        } else if (strncmp(line, "    ", 4) == 0) {
            take_content(&test, section, line);
        } else {
            section = take_heading(&test, line);
        }
    }
    finish_case(session, &test);
    free(line);
    fclose(file);
}

static int is_case_file(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 5 && strcmp(entry->d_name + size - 5, ".case") == 0;
}

static void run_path(struct session *session, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        run_file(session, path);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, is_case_file, alphasort);
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        run_file(session, file);
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
}

int wire_main(const struct wire_subject *subject, int argc, char **argv)
{
    struct session session = {.subject = subject};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--corpus") == 0 && i + 1 < argc) {
            session.corpus = argv[++i];
        } else {
            run_path(&session, argv[i]);
        }
    }
    printf("%s: %u cases, %u failed\n", subject->name, session.cases, session.failed);
    return session.cases == 0 || session.failed > 0 ? 1 : 0;
}
