#include "handoff/losses.h"

const char *loss_name(enum loss loss)
{
    static const char *const names[LOSS_COUNT] = {
        [LOSS_SEGMENT_FULL] = "segment_full",     [LOSS_PIPELINE_FULL] = "pipeline_full",
        [LOSS_SLAB_FULL] = "slab_full",           [LOSS_DESCRIPTOR_RANGE] = "descriptor_range",
        [LOSS_CONTENDED] = "contended",           [LOSS_MISSED_BYTES] = "missed_bytes",
        [LOSS_MALFORMED] = "malformed",           [LOSS_UNMATCHED_REPLY] = "unmatched_reply",
        [LOSS_ABANDONED] = "abandoned",           [LOSS_RECORD_INVALID] = "record_invalid",
        [LOSS_QUEUE_FULL] = "queue_full",         [LOSS_EXPORT_REFUSED] = "export_refused",
        [LOSS_EXPORT_EXPIRED] = "export_expired", [LOSS_EXPORT_PARTIAL] = "export_partial",
        [LOSS_CONTEXT_CUT] = "context_cut",
    };
    return (unsigned)loss < LOSS_COUNT ? names[loss] : "unknown";
}
