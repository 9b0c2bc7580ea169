#include "app_thread/job_context.h"

#include <string.h>

#include "app_thread/inject.h"
#include "app_thread/readable.h"
#include "app_thread/slab.h"
#include "app_thread/trace_context.h"
#include "base/compiler.h"
#include "wire/resp_edit.h"

bool job_context_is_on;

bool job_context_plan(struct thread_state *self, const struct connection *connection,
                      const struct iovec *iov, size_t count, uint64_t start_ns,
                      struct job_context *plan)
{
    struct resp_edit edit;
    struct child_cause cause;
    struct slice bytes = slice_of(iov[0].iov_base, iov[0].iov_len);
    bytes.size = bytes.size < READABLE_BYTES ? bytes.size : READABLE_BYTES;
    struct iovec part = {iov[0].iov_base, bytes.size};
    if (count > LIMIT_CARRYING_PARTS || bytes.size == 0 || !readable_iov(&part, 1) ||
        !resp_edit_find(bytes, &edit) || !inject_may_owe() ||
        !trace_context_of_bytes(self, connection, start_ns, &cause)) {
        return false;
    }
    uint32_t block = slab_take(SLAB_BUFFER);
    uint32_t spare = block == 0 ? 0 : slab_take(SLAB_BUFFER);
    size_t size = spare == 0 ? 0
                             : resp_edit_write(bytes, &edit, cause.trace_id, cause.span_id,
                                               slab_address(block), SLAB_BLOCK_BYTES);
    *plan = (struct job_context){block, spare, (uint16_t)size, edit.at, edit.key_ends};
    if (size == 0) {
        job_context_end(plan);
        return false;
    }
    memcpy(slab_address(spare), slab_address(block), size);
    return true;
}

size_t job_context_build(const struct job_context *plan, const struct iovec *iov, size_t count,
                         struct iovec longer[LIMIT_CARRYING_PARTS + 2])
{
    longer[0] = (struct iovec){iov[0].iov_base, plan->at};
    longer[1] = (struct iovec){slab_address(plan->block), plan->size};
    longer[2] =
        (struct iovec){(uint8_t *)iov[0].iov_base + plan->ends, iov[0].iov_len - plan->ends};
    for (size_t i = 1; i < count; i++) {
        longer[i + 2] = iov[i];
    }
    return count + 2;
}

ssize_t job_context_settle(struct connection *connection, struct job_context *plan, ssize_t sent)
{
    ssize_t at = (ssize_t)plan->at;
    ssize_t size = (ssize_t)plan->size;
    if (sent <= at) {
        return sent;
    }
    if (sent < at + size) {
        inject_owe_buffer(connection, plan->spare, plan->size, (uint16_t)(sent - at));
        plan->spare = 0;
        return (ssize_t)plan->ends;
    }
    return sent - size + (ssize_t)(plan->ends - plan->at);
}

void job_context_end(struct job_context *plan)
{
    if (plan->block != 0) {
        slab_give(SLAB_BUFFER, plan->block);
    }
    if (plan->spare != 0) {
        slab_give(SLAB_BUFFER, plan->spare);
    }
}
