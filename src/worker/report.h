/* What the worker side says on stderr: lines that start with "wirespan: ", few of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "handoff/losses.h"
#include "process/config.h"
#include "worker/tail.h"

/* A loss of one kind, or trouble with one way out, is said at most this often. */
#define REPORT_INTERVAL_NS UINT64_C(60000000000)

/* Writes whole lines in one go; never blocks for long, never fails visibly. */
typedef void report_writer(void *context, const char *text, size_t size);

struct report_pace {
    bool has_spoken;
    uint64_t last_ns;
    uint64_t unsaid;
};

struct report {
    enum log_level level;
    report_writer *write;
    void *context;
    struct report_pace losses[LOSS_COUNT];
    struct report_pace transports[LIMIT_TRANSPORTS];
};

/* One line, if `level` is wanted. */
__attribute__((format(printf, 3, 4))) void
report_line(const struct report *report, enum log_level level, const char *format, ...);

/* `count` more were lost. Says so now or, if it did within the last minute, adds them to the next
   time. `detail` may be empty. */
void report_loss(struct report *report, uint64_t now_ns, enum loss loss, uint64_t count,
                 const char *detail);

/* An attempt of that way out failed and will be repeated. */
void report_retry(struct report *report, uint64_t now_ns, uint32_t number, const char *name,
                  const char *detail);

/* At the end, at level info: what the tail policy kept and dropped. */
void report_tail(const struct report *report, const struct tail_counts *counts);

struct report_exports {
    const char *name;
    uint64_t exported;
};

/* At the end, at level info: what was exported and what was lost, in one block. */
void report_summary(const struct report *report, const struct report_exports *exports,
                    uint32_t count, const uint64_t losses[LOSS_COUNT]);
