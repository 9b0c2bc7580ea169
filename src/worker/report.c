#include "worker/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES    512
#define SUMMARY_BYTES 2048

struct text {
    char bytes[SUMMARY_BYTES];
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    size_t room = sizeof(text->bytes) - text->used;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text->bytes + text->used, room, format, arguments);
    va_end(arguments);
    if (size > 0) {
        text->used += (size_t)size < room ? (size_t)size : room - 1;
    }
}

void report_line(const struct report *report, enum log_level level, const char *format, ...)
{
    static const char prefix[] = "wirespan: ";
    char line[LINE_BYTES];
    if (level > report->level || report->write == NULL) {
        return;
    }
    memcpy(line, prefix, sizeof(prefix) - 1);
    size_t room = sizeof(line) - sizeof(prefix); /* the newline is in the prefix's NUL */
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line + sizeof(prefix) - 1, room, format, arguments);
    va_end(arguments);
    if (size < 0) {
        return;
    }
    size_t used = sizeof(prefix) - 1 + ((size_t)size < room ? (size_t)size : room - 1);
    line[used++] = '\n';
    report->write(report->context, line, used);
}

/* Whether it may be said now; counts what may not. */
static bool may_speak(struct report_pace *pace, uint64_t now_ns, uint64_t *count)
{
    pace->unsaid += *count;
    if (pace->has_spoken && now_ns - pace->last_ns < REPORT_INTERVAL_NS) {
        return false;
    }
    *count = pace->unsaid;
    *pace = (struct report_pace){.has_spoken = true, .last_ns = now_ns};
    return true;
}

void report_loss(struct report *report, uint64_t now_ns, enum loss loss, uint64_t count,
                 const char *detail)
{
    /* What the exporter loses is trouble that somebody can mend; what the application's side gave
       up is told to those who ask. */
    enum log_level level = loss >= LOSS_QUEUE_FULL ? LOG_LEVEL_WARN : LOG_LEVEL_INFO;
    if (count > 0 && may_speak(&report->losses[loss], now_ns, &count)) {
        report_line(report, level, "lost: %s %llu%s%s", loss_name(loss), (unsigned long long)count,
                    detail[0] != '\0' ? ": " : "", detail);
    }
}

void report_retry(struct report *report, uint64_t now_ns, uint32_t number, const char *name,
                  const char *detail)
{
    uint64_t count = 1;
    if (may_speak(&report->transports[number], now_ns, &count)) {
        report_line(report, LOG_LEVEL_WARN, "%s: %s; trying again", name,
                    detail[0] != '\0' ? detail : "not delivered");
    }
}

void report_tail(const struct report *report, const struct tail_counts *counts)
{
    report_line(report, LOG_LEVEL_INFO,
                "tail policy: kept %llu traces, %llu spans; dropped %llu traces, %llu spans",
                (unsigned long long)counts->kept_traces, (unsigned long long)counts->kept_spans,
                (unsigned long long)counts->dropped_traces,
                (unsigned long long)counts->dropped_spans);
    if (counts->hurried_traces > 0) {
        report_line(report, LOG_LEVEL_INFO,
                    "tail policy: %llu traces were judged early, for want of memory",
                    (unsigned long long)counts->hurried_traces);
    }
}

void report_summary(const struct report *report, const struct report_exports *exports,
                    uint32_t count, const uint64_t losses[LOSS_COUNT])
{
    if (report->level < LOG_LEVEL_INFO || report->write == NULL) {
        return;
    }
    struct text text = {.used = 0};
    for (uint32_t i = 0; i < count; i++) {
        add(&text, "wirespan: %llu spans exported by %s\n", (unsigned long long)exports[i].exported,
            exports[i].name);
    }
    bool any = false;
    add(&text, "wirespan: lost:");
    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        if (losses[loss] > 0) {
            add(&text, "%s %s %llu", any ? "," : "", loss_name((enum loss)loss),
                (unsigned long long)losses[loss]);
            any = true;
        }
    }
    add(&text, any ? "\n" : " nothing\n");
    report->write(report->context, text.bytes, text.used);
}
