#include "app_thread/prepared.h"

#include "app_thread/attachment.h"
#include "app_thread/trace_context.h"
#include "base/limits.h"

/* Of a connection, by its serial; a later one takes the place of an earlier one. */
struct place {
    _Atomic uint32_t version; /* odd while it is written */
    uint32_t serial;
    uint32_t epoch;
    struct thread_context work;
};

static struct place prepared_places[LIMIT_PREPARED];

static struct place *place_of(const struct connection *connection)
{
    return &prepared_places[connection->serial % LIMIT_PREPARED];
}

static bool put(struct place *place, uint32_t serial, const struct thread_context *work)
{
    uint32_t version = atomic_load_explicit(&place->version, memory_order_relaxed);
    if ((version & 1) != 0 ||
        !atomic_compare_exchange_strong_explicit(&place->version, &version, version + 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return false;
    }
    atomic_thread_fence(memory_order_release); /* pairs with the fence in get */
    place->serial = serial;
    place->epoch = attachment_epoch();
    place->work = *work;
    /* release: pairs with the acquire in get */
    atomic_store_explicit(&place->version, version + 2, memory_order_release);
    return true;
}

static bool get(const struct place *place, uint32_t serial, struct thread_context *work)
{
    uint32_t version = atomic_load_explicit(&place->version, memory_order_acquire);
    bool is_it = place->serial == serial && attachment_is_of_process(place->epoch);
    *work = place->work;
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in put */
    return (version & 1) == 0 && is_it &&
           atomic_load_explicit(&place->version, memory_order_relaxed) == version;
}

void prepared_note_slow(struct thread_state *self, struct connection *connection)
{
    struct thread_context work;
    bool is_known =
        trace_context_lend(self, &work) && put(place_of(connection), connection->serial, &work);
    atomic_store_explicit(&connection->is_prepared, is_known, memory_order_relaxed);
}

bool prepared_lend_slow(struct thread_state *self, const struct connection *connection)
{
    struct thread_context work;
    if (trace_context_is_current(&self->context) ||
        !get(place_of(connection), connection->serial, &work)) {
        return false;
    }
    trace_context_borrow(self, &work);
    return self->context.is_lent && trace_context_is_current(&self->context);
}
