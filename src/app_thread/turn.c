#include "app_thread/turn.h"

#include <string.h>

#include "app_thread/attachment.h"
#include "app_thread/clock.h"
#include "app_thread/epoll_names.h"
#include "app_thread/trace_context.h"
#include "base/compiler.h"
#include "base/limits.h"

#define TOO_MANY 0xFFu

static void become_foreign(struct thread_state *self)
{
    if ((self->turn.state == TURN_OWN && self->runs_a_loop) || self->turn.is_first) {
        self->context.is_known = false;
    }
    self->turn.state = TURN_FOREIGN;
    self->turn.by_message = false;
    self->turn.is_first = false;
}

void turn_ends(struct thread_state *self, int64_t timeout_ns)
{
    struct thread_turn *turn = &self->turn;
    uint64_t now = clock_now_ns();
    if (turn->is_first && turn->state != TURN_OWN) {
        become_foreign(self);
    }
    turn->is_first = false;
    if (turn->pending != 0 ||
        (turn->state == TURN_OWN &&
         (!trace_context_is_current(&self->context) || now >= turn->foreign_ns))) {
        become_foreign(self); /* also what was quiet, where this wait does not block either */
    }
    turn->pending = 0;
    turn->by_message = false;
    turn->is_idle = turn->state == TURN_OWN && timeout_ns < 0;
    if (timeout_ns == 0 || turn->state == TURN_OWN) {
        return;
    }
    turn->state = TURN_QUIET;
    turn->foreign_ns = UINT64_MAX;
    if (timeout_ns > 0) {
        /* The loop has asked for the time since the last wait, and rounds it. */
        uint64_t timeout = (uint64_t)timeout_ns;
        uint64_t due = turn->returned_ns + timeout;
        turn->foreign_ns = due > LIMIT_TIMER_ROUNDING_NS ? due - LIMIT_TIMER_ROUNDING_NS : 0;
    }
}

/* The list is the request's whose turns are its own, and there is only one such. */
static bool owns(const struct sole_request *sole, uint32_t serial)
{
    for (uint32_t i = 0; i < sole->count; i++) {
        if (sole->connections[i] == serial) {
            return true;
        }
    }
    return false;
}

static bool is_owner(const struct thread_state *self)
{
    return attachment != NULL &&
           atomic_load_explicit(&attachment->sole.owner, memory_order_relaxed) == (uintptr_t)self;
}

/* Whatever happens to it, it happens to the request. */
static bool is_of_own_connection(const struct thread_state *self, int fd)
{
    struct touch touch;
    if (self->turn.state != TURN_OWN || !is_owner(self) || !connection_find(fd, &touch)) {
        return false;
    }
    uint32_t serial = touch.connection->serial;
    return serial == self->context.connection || owns(&attachment->sole, serial);
}

static int descriptor_of(const struct epoll_event *event, enum turn_naming naming)
{
    return naming == EVENTS_BY_NAME ? epoll_names_find(event->data.u64)
                                    : (int)(uint32_t)event->data.u64;
}

/* All of them, or they are counted. */
static bool are_named(const struct epoll_event *events, int count, enum turn_naming naming)
{
    if (naming != EVENTS_BY_NAME) {
        return naming == EVENTS_BY_DESCRIPTOR;
    }
    for (int i = 0; i < count; i++) {
        if (epoll_names_find(events[i].data.u64) < 0) {
            return false;
        }
    }
    return true;
}

void turn_begins(struct thread_state *self, const struct epoll_event *events, int count,
                 int64_t timeout_ns, enum turn_naming naming)
{
    struct thread_turn *turn = &self->turn;
    turn->returned_ns = clock_now_ns();
    if (count <= 0) {
        bool is_own_timer =
            count == 0 && turn->state == TURN_OWN && turn->returned_ns < turn->foreign_ns;
        if (count < 0 || (timeout_ns != 0 && !is_own_timer)) {
            become_foreign(self);
        }
        return;
    }
    bool has_descriptors = are_named(events, count, naming);
    turn->has_descriptors = has_descriptors;
    memset(turn->events, 0, sizeof(turn->events));
    uint32_t pending = 0;
    for (int i = 0; i < count; i++) {
        int fd = descriptor_of(&events[i], naming);
        if (has_descriptors && is_of_own_connection(self, fd)) {
            continue;
        }
        if (pending == TURN_EVENTS) {
            pending = TOO_MANY;
            break;
        }
        turn->events[pending++] = has_descriptors ? (uint32_t)fd : 0;
    }
    turn->pending = (uint8_t)pending;
}

/* One of the events is found again. Where they can only be counted, `serial` is counted once. */
static void find_event(struct thread_turn *turn, int fd, uint32_t serial)
{
    if (turn->pending == 0 || turn->pending == TOO_MANY) {
        return;
    }
    uint32_t wanted = turn->has_descriptors ? (uint32_t)fd : 0;
    for (unsigned i = 0; i < TURN_EVENTS; i++) {
        if (!turn->has_descriptors && turn->events[i] == serial) {
            return;
        }
        if (turn->events[i] == wanted) {
            turn->events[i] = turn->has_descriptors ? UINT32_MAX : serial;
            turn->pending--;
            return;
        }
    }
}

void turn_accepts_slow(struct thread_state *self, int listener)
{
    self->turn.is_idle = false;
    self->turn.session = TURN_SESSIONS;
    /* No connection has this number. */
    find_event(&self->turn, listener, UINT32_MAX - (uint32_t)listener);
}

/* What a WebSocket brings is the work's own that its last message began, and that of the request
   that made it; else it is foreign, unless it turns out to be a message that begins some. */
static void read_websocket(struct thread_state *self, const struct connection *connection)
{
    uint32_t serial = connection->serial;
    if (self->turn.state == TURN_QUIET) {
        become_foreign(self);
        self->turn.by_message = true;
    } else if (self->turn.state != TURN_OWN || !is_owner(self) ||
               (serial != self->context.connection && !owns(&attachment->sole, serial))) {
        become_foreign(self);
    }
}

void turn_reads_slow(struct thread_state *self, int fd, const struct connection *connection)
{
    struct thread_turn *turn = &self->turn;
    uint8_t protocol = atomic_load_explicit(&connection->protocol, memory_order_relaxed);
    find_event(turn, fd, connection->serial);
    turn->is_idle &= connection->serial == self->context.connection;
    if (turn->session != connection->serial) {
        turn->session = turn->session == 0 ? connection->serial : TURN_SESSIONS;
    }
    if (turn->is_first && turn->state != TURN_OWN &&
        connection->serial != self->context.connection) {
        become_foreign(self);
        return;
    }
    if (protocol == PROTOCOL_WEBSOCKET) {
        read_websocket(self, connection);
    } else if (connection->role == ROLE_SERVER) {
        bool asks = protocol == PROTOCOL_HTTP1 || protocol == PROTOCOL_UNDECIDED;
        if (!asks || (turn->state == TURN_OWN && connection->serial != self->context.connection)) {
            become_foreign(self);
        }
    } else if (turn->state == TURN_QUIET ||
               (turn->state == TURN_OWN &&
                (!is_owner(self) || !owns(&attachment->sole, connection->serial)))) {
        become_foreign(self);
    }
}

bool turn_is_own(struct thread_state *self, uint64_t now)
{
    const struct thread_turn *turn = &self->turn;
    return turn->pending == 0 && now < turn->foreign_ns &&
           (turn->is_first ||
            (turn->state == TURN_OWN && is_owner(self) &&
             atomic_load_explicit(&attachment->sole.begun, memory_order_relaxed) == turn->begun));
}

void turn_sends_slow(struct thread_state *self, const struct connection *connection)
{
    if (connection->role == ROLE_SERVER || !is_owner(self)) {
        return;
    }
    struct sole_request *sole = &attachment->sole;
    if (owns(sole, connection->serial)) {
        return;
    }
    if (sole->count == LIMIT_SOLE_CONNECTIONS || !trace_context_is_current(&self->context) ||
        !turn_is_own(self, clock_now_ns())) {
        return; /* its answer will be foreign */
    }
    sole->connections[sole->count++] = connection->serial;
}

bool turn_begins_message(struct thread_state *self, const struct connection *connection)
{
    struct thread_turn *turn = &self->turn;
    if (!(turn->by_message || turn->is_idle) || turn->pending != 0 || attachment == NULL) {
        return false;
    }
    struct sole_request *sole = &attachment->sole;
    turn->begun = atomic_load_explicit(&sole->begun, memory_order_relaxed);
    turn->is_first = turn->session == connection->serial;
    turn->is_idle = false;
    if (atomic_load_explicit(&sole->open, memory_order_relaxed) != 0) {
        if (!turn->is_first) {
            become_foreign(self);
            return false;
        }
        turn->state = TURN_FOREIGN;
        turn->by_message = false;
        return true;
    }
    atomic_store_explicit(&sole->owner, (uintptr_t)self, memory_order_relaxed);
    sole->count = 0;
    turn->state = TURN_OWN;
    turn->by_message = false;
    return true;
}

bool turn_begins_request(struct thread_state *self)
{
    struct thread_turn *turn = &self->turn;
    if (turn->state != TURN_QUIET || turn->pending != 0 || attachment == NULL) {
        become_foreign(self);
        return false;
    }
    struct sole_request *sole = &attachment->sole;
    turn->begun = atomic_load_explicit(&sole->begun, memory_order_relaxed);
    if (atomic_load_explicit(&sole->open, memory_order_relaxed) != 1) {
        become_foreign(self);
        return false;
    }
    /* Of two threads that both saw one open request, neither finds `begun` unchanged later, and
       the one that comes second has the list. */
    atomic_store_explicit(&sole->owner, (uintptr_t)self, memory_order_relaxed);
    sole->count = 0;
    turn->state = TURN_OWN;
    return true;
}
