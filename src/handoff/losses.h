/* Loss is data: everything that was given up is counted by reason, in the segment. */
#pragma once

enum loss {
    LOSS_SEGMENT_FULL,     /* exchanges: no free record */
    LOSS_PIPELINE_FULL,    /* exchanges: too many unanswered on one connection */
    LOSS_SLAB_FULL,        /* connections: no memory for their state */
    LOSS_DESCRIPTOR_RANGE, /* connections: descriptor at or above LIMIT_DESCRIPTORS */
    LOSS_CONTENDED,        /* connections desynchronised: two threads in one direction at once */
    LOSS_MISSED_BYTES,     /* connections desynchronised: bytes passed that no hook could see */
    LOSS_MALFORMED,        /* connections given up: the bytes broke the protocol's rules */
    LOSS_UNMATCHED_REPLY,  /* replies that answer no known exchange */
    LOSS_ABANDONED,        /* exchanges open when their connection was given up */
    LOSS_RECORD_INVALID,   /* drainer: records that did not hold together */
    LOSS_QUEUE_FULL,       /* worker: spans that the buffer could not hold */
    LOSS_EXPORT_REFUSED,   /* worker: spans that the receiver refused for good */
    LOSS_EXPORT_EXPIRED,   /* worker: spans not delivered within the time for retries, or at exit */
    LOSS_EXPORT_PARTIAL,   /* worker: spans rejected by a partial success */
    LOSS_CONTEXT_CUT,      /* requests: tracestate or baggage that was not passed on whole */
    LOSS_COUNT
};

/* The name in reports: `segment_full`. Never NULL; "unknown" out of range. */
const char *loss_name(enum loss loss);
