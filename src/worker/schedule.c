#include "worker/schedule.h"

void schedule_note_batch(struct schedule *schedule, uint64_t now_ns, bool rest)
{
    schedule->first_waiting_ns = rest ? now_ns : 0;
}

void schedule_note_export(struct schedule *schedule, uint64_t now_ns)
{
    schedule->has_exported = true;
    schedule->last_export_ns = now_ns;
}

uint64_t schedule_due(const struct schedule *schedule)
{
    if (schedule->first_waiting_ns == 0) {
        return SCHEDULE_NEVER;
    }
    if (schedule->has_exported) {
        return schedule->last_export_ns + schedule->delay_ns;
    }
    /* Quiet may never come. */
    uint64_t quiet = schedule->last_span_ns + SCHEDULE_QUIET_NS;
    uint64_t latest = schedule->first_waiting_ns + schedule->delay_ns;
    return quiet < latest ? quiet : latest;
}
