#include "app_thread/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "app_thread/attachment.h"
#include "app_thread/clock.h"
#include "app_thread/exchange.h"
#include "app_thread/http_exchange.h"
#include "app_thread/inject.h"
#include "app_thread/jobs.h"
#include "app_thread/protocol.h"
#include "app_thread/tls_insertion.h"
#include "app_thread/transaction.h"
#include "app_thread/witness.h"
#include "base/system_call.h"

_Atomic uint8_t descriptor_kinds[LIMIT_DESCRIPTORS];
/* The block of a descriptor's connection; 0: none. */
static _Atomic uint32_t descriptor_connections[LIMIT_DESCRIPTORS];
/* No descriptor above has ever had a connection. */
static _Atomic uint32_t highest_descriptor;

/* Each try after the first means that somebody came and went in between. */
#define SETTLE_TRIES 64

static struct connection *connection_at(uint32_t block)
{
    return slab_address(block);
}

/* ---- both directions at once ---- */

static bool try_lock(struct connection *connection, enum direction_name name)
{
    uint8_t free = 0;
    return atomic_compare_exchange_strong_explicit(&connection->busy[name], &free, 1,
                                                   memory_order_seq_cst, memory_order_relaxed);
}

static void unlock(struct connection *connection, enum direction_name name)
{
    /* seq_cst: ordered before the look at `pending` that follows; pairs with connection_set_adrift
       and descriptor_closing, which set it before they try the locks */
    atomic_store_explicit(&connection->busy[name], 0, memory_order_seq_cst);
}

/* A connect() whose outcome nobody asked for before the descriptor was closed. */
static SLOW void report_given_up(struct thread_state *self, struct connection *connection)
{
    const struct direction *directions = connection->directions;
    int system_error;
    enum record_error error = connection_failure(connection, &system_error);
    if (error != RECORD_OK && connection->opened_ns != 0 && directions[DIRECTION_OUT].bytes == 0 &&
        directions[DIRECTION_IN].bytes == 0) {
        uint16_t slot = exchange_begin(self, connection, RECORD_CONNECT, connection->opened_ns);
        exchange_complete(self, slot, clock_now_ns(), error, system_error);
    }
}

static void finish_and_free(struct thread_state *self, struct connection *connection)
{
    if (unlikely(connection_is_connecting(connection))) {
        report_given_up(self, connection);
    }
    inject_forget_owed(connection);
    protocol_finish(self, connection, RECORD_ERROR_CANCELLED, clock_now_ns());
    atomic_store_explicit(&connection->pending, 0, memory_order_relaxed);
    /* release: a thread that still sees the old generation sees nothing of the next connection */
    atomic_fetch_add_explicit(&connection->generation, 1, memory_order_release);
    if (unlikely(atomic_load_explicit(&tls_insertions_kept, memory_order_relaxed) > 0)) {
        tls_insertion_forget_gone();
    }
}

static void go_adrift(struct thread_state *self, struct connection *connection, bool for_good)
{
    uint8_t protocol = atomic_load_explicit(&connection->protocol, memory_order_relaxed);
    /* Only what is done here: a close may have been asked for since. */
    atomic_fetch_and_explicit(&connection->pending,
                              ~(uint32_t)(PENDING_ADRIFT | PENDING_ADRIFT_FOR_GOOD),
                              memory_order_seq_cst);
    if (protocol == PROTOCOL_COUNTED || (protocol == PROTOCOL_ADRIFT && !for_good)) {
        return;
    }
    uint64_t now = clock_now_ns();
    if (connection_is_malformed(connection)) {
        protocol_finish(self, connection, RECORD_ERROR_PROTOCOL, now);
        protocol = PROTOCOL_COUNTED;
    } else {
        protocol_abandon(self, connection, now);
        if (protocol == PROTOCOL_WEBSOCKET) {
            /* There is no boundary to come back at. */
            protocol_finish(self, connection, RECORD_OK, now);
            protocol = PROTOCOL_COUNTED;
        } else if (for_good) {
            protocol = PROTOCOL_COUNTED;
        } else {
            connection->adrift_protocol = protocol;
            atomic_store_explicit(&connection->replied, false, memory_order_relaxed);
            protocol = PROTOCOL_ADRIFT;
        }
    }
    atomic_store_explicit(&connection->protocol, protocol, memory_order_release);
}

/* Does what is pending if both directions can be had now; otherwise their holder will. Returns
   false if it is left to the holder. */
static SLOW bool settle(struct thread_state *self, struct connection *connection)
{
    if (!try_lock(connection, DIRECTION_OUT)) {
        return false;
    }
    if (!try_lock(connection, DIRECTION_IN)) {
        unlock(connection, DIRECTION_OUT);
        /* Its holder may have left in between and found us in its way: then nobody would be left to
           do it. seq_cst: ordered after the unlock; pairs with the holder's unlock and try_lock */
        return atomic_load_explicit(&connection->busy[DIRECTION_IN], memory_order_seq_cst) == 0;
    }
    if (unlikely((atomic_load_explicit(&connection->generation, memory_order_acquire) & 1) == 0)) {
        /* Freed just now: what a late thread asked for is void. */
        unlock(connection, DIRECTION_IN);
        unlock(connection, DIRECTION_OUT);
        return false;
    }
    uint32_t pending = atomic_load_explicit(&connection->pending, memory_order_seq_cst);
    uint32_t freed = 0;
    if (unlikely(pending & PENDING_UPGRADE)) {
        /* What was held back is the other protocol's. */
        atomic_fetch_and_explicit(&connection->pending, ~(uint32_t)PENDING_UPGRADE,
                                  memory_order_seq_cst);
        http_exchange_upgrade(self, connection);
    }
    if (unlikely(pending & PENDING_HELD)) {
        atomic_fetch_and_explicit(&connection->pending, ~(uint32_t)PENDING_HELD,
                                  memory_order_seq_cst);
        protocol_release(self, connection, pending);
        pending = atomic_load_explicit(&connection->pending, memory_order_seq_cst);
    }
    if (pending & PENDING_CLOSE) {
        freed = connection->block;
        finish_and_free(self, connection);
    } else if (pending & PENDING_ADRIFT) {
        go_adrift(self, connection, (pending & PENDING_ADRIFT_FOR_GOOD) != 0);
    }
    unlock(connection, DIRECTION_IN);
    unlock(connection, DIRECTION_OUT);
    if (freed != 0) {
        slab_give(SLAB_CONNECTION, freed);
    }
    return true;
}

static void settle_if_pending(struct thread_state *self, struct connection *connection)
{
    /* Again: what was set while settle held the directions is seen by the next look. */
    for (int i = 0; i < SETTLE_TRIES; i++) {
        if (likely(atomic_load_explicit(&connection->pending, memory_order_seq_cst) == 0) ||
            !settle(self, connection)) {
            return;
        }
    }
}

void connection_set_adrift(struct connection *connection)
{
    atomic_fetch_or_explicit(&connection->pending, PENDING_ADRIFT, memory_order_seq_cst);
}

void connection_set_adrift_for_good(struct connection *connection)
{
    atomic_fetch_or_explicit(&connection->pending, PENDING_ADRIFT | PENDING_ADRIFT_FOR_GOOD,
                             memory_order_seq_cst);
}

/* ---- taking a direction ---- */

/* The exchange stays in its place without a record: the old segment has it. */
static void leave_record_behind(uint16_t *slot)
{
    if (*slot != SEGMENT_NO_SLOT) {
        exchange_count_loss(LOSS_ABANDONED);
        *slot = SEGMENT_NO_SLOT;
    }
}

/* The segment was replaced since: what is open has its record in the old one, and is lost; what
   follows is not. False if another thread has a direction now. */
static bool move_to_new_segment(struct connection *connection)
{
    if (!try_lock(connection, DIRECTION_OUT)) {
        return false;
    }
    bool has_both = try_lock(connection, DIRECTION_IN);
    if (has_both) {
        uint16_t current = connection_requests(connection)->current_slot;
        struct pairing_entry entry;
        for (uint32_t left = pairing_count(&connection->pairing); left > 0; left--) {
            pairing_oldest(&connection->pairing, &entry);
            pairing_pop(&connection->pairing);
            current = entry.slot == current ? SEGMENT_NO_SLOT : current;
            leave_record_behind(&entry.slot);
            if (!pairing_push(&connection->pairing, entry)) {
                jobs_drop(entry);
                connection_set_adrift(connection);
            }
        }
        transaction_forget(connection);
        leave_record_behind(&current);
        leave_record_behind(&connection->session_slot);
        connection_requests(connection)->current_slot = SEGMENT_NO_SLOT;
        unlock(connection, DIRECTION_IN);
    }
    unlock(connection, DIRECTION_OUT);
    return has_both;
}

/* The process was forked since, and what is open belongs to the parent; or the segment was
   replaced. False if another thread is not yet done with it. */
static SLOW bool adopt(struct connection *connection, uint32_t epoch)
{
    uint32_t before = atomic_load_explicit(&connection->epoch, memory_order_relaxed);
    /* Epochs are odd: an even one says that somebody is at it. Who comes in between goes
       unobserved. */
    uint32_t adopting = epoch - 1;
    if (before == epoch || before == adopting ||
        !atomic_compare_exchange_strong_explicit(&connection->epoch, &before, adopting,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return before == epoch;
    }
    if (attachment_is_of_process(before)) {
        bool has_moved = move_to_new_segment(connection);
        /* release pairs with the acquire in connection_enter */
        atomic_store_explicit(&connection->epoch, has_moved ? epoch : before, memory_order_release);
        return has_moved;
    }
    /* Locks that threads of the parent held at the fork are held by nobody here, and what their
       holders had begun nobody will end. */
    if (atomic_exchange_explicit(&connection->busy[DIRECTION_OUT], 0, memory_order_relaxed) +
            atomic_exchange_explicit(&connection->busy[DIRECTION_IN], 0, memory_order_relaxed) >
        0) {
        connection_set_adrift_for_good(connection);
    }
    /* What waited was the parent's. */
    bool has_held = (atomic_fetch_and_explicit(&connection->pending, ~(uint32_t)PENDING_HELD,
                                               memory_order_relaxed) &
                     PENDING_HELD) != 0;
    protocol_drop_held(connection);
    atomic_store_explicit(&connection->unframed, false, memory_order_relaxed);
    bool was_open = has_held || pairing_count(&connection->pairing) > 0 ||
                    connection_requests(connection)->current_slot != SEGMENT_NO_SLOT;
    struct pairing_entry entry;
    while (pairing_oldest(&connection->pairing, &entry)) {
        pairing_pop(&connection->pairing);
        jobs_drop(entry);
    }
    transaction_forget(connection);
    connection->directions[DIRECTION_OUT].current_slot = SEGMENT_NO_SLOT;
    connection->directions[DIRECTION_IN].current_slot = SEGMENT_NO_SLOT;
    connection->session_slot = SEGMENT_NO_SLOT;
    connection->directions[DIRECTION_OUT].bytes = 0;
    connection->directions[DIRECTION_IN].bytes = 0;
    atomic_store_explicit(&connection->encrypted_bytes[DIRECTION_OUT], 0, memory_order_relaxed);
    atomic_store_explicit(&connection->encrypted_bytes[DIRECTION_IN], 0, memory_order_relaxed);
    if (was_open) {
        connection_set_adrift(connection);
    }
    /* release pairs with the acquire in connection_enter */
    atomic_store_explicit(&connection->epoch, epoch, memory_order_release);
    return true;
}

bool connection_enter(struct thread_state *self, const struct touch *touch,
                      enum direction_name name, bool bytes_pass)
{
    struct connection *connection = touch->connection;
    if (unlikely(attachment_segment() == NULL)) {
        return false;
    }
    uint32_t epoch = attachment_epoch();
    /* acquire pairs with the release in adopt */
    if (unlikely(atomic_load_explicit(&connection->epoch, memory_order_acquire) != epoch)) {
        if (!adopt(connection, epoch)) {
            if (bytes_pass) {
                exchange_count_loss(LOSS_CONTENDED);
                connection_set_adrift_for_good(connection);
            }
            return false;
        }
        settle_if_pending(self, connection);
    }
    if (unlikely(!try_lock(connection, name))) {
        bool is_there = atomic_load_explicit(&connection->generation, memory_order_acquire) ==
                        touch->generation;
        if (bytes_pass && is_there) {
            exchange_count_loss(LOSS_CONTENDED);
            /* Threads that use one direction at once pipeline: that a request follows a reply does
               not mean that all requests before it are answered. */
            connection_set_adrift_for_good(connection);
            settle_if_pending(self, connection);
        }
        return false;
    }
    if (unlikely(atomic_load_explicit(&connection->generation, memory_order_acquire) !=
                 touch->generation)) {
        unlock(connection, name);
        settle_if_pending(self, connection);
        return false;
    }
    return true;
}

void connection_leave(struct thread_state *self, struct connection *connection,
                      enum direction_name name)
{
    unlock(connection, name);
    settle_if_pending(self, connection);
}

void connection_let_go(struct connection *connection, enum direction_name name)
{
    unlock(connection, name);
}

/* ---- making connections ---- */

static void drop_reference(struct thread_state *self, struct connection *connection)
{
    if (atomic_fetch_sub_explicit(&connection->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (attachment_segment() != NULL) {
        uint32_t epoch = attachment_epoch();
        if (atomic_load_explicit(&connection->epoch, memory_order_relaxed) != epoch) {
            adopt(connection, epoch);
        }
    }
    atomic_fetch_or_explicit(&connection->pending, PENDING_CLOSE, memory_order_seq_cst);
    settle_if_pending(self, connection);
}

/* False if the number has a connection already, be it the same one. */
static bool link_descriptor(int fd, uint32_t block)
{
    uint32_t highest = atomic_load_explicit(&highest_descriptor, memory_order_relaxed);
    while (highest < (uint32_t)fd &&
           !atomic_compare_exchange_weak_explicit(&highest_descriptor, &highest, (uint32_t)fd,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    uint32_t linked = 0;
    bool is_ours = atomic_compare_exchange_strong_explicit(
        &descriptor_connections[fd], &linked, block, memory_order_acq_rel, memory_order_acquire);
    if (is_ours) {
        linked = block;
    }
    /* Also for another's: a number that is announced while it is used is a connection already. */
    atomic_store_explicit(&descriptor_kinds[fd], DESCRIPTOR_CONNECTION, memory_order_release);
    if (unlikely(atomic_load_explicit(&descriptor_connections[fd], memory_order_acquire) !=
                 linked)) {
        /* Closed by another thread just now: its kind is not to outlive it. */
        atomic_store_explicit(&descriptor_kinds[fd], DESCRIPTOR_UNKNOWN, memory_order_release);
    }
    return is_ours;
}

static void initialize(struct connection *connection, uint32_t block, int fd,
                       enum connection_role role)
{
    uint32_t generation = atomic_load_explicit(&connection->generation, memory_order_relaxed);
    /* Not the generation, nor the locks, which somebody late may be looking at: they are free. */
    size_t kept = offsetof(struct connection, block);
    memset((uint8_t *)connection + kept, 0, sizeof(*connection) - kept);
    atomic_store_explicit(&connection->unframed, false, memory_order_relaxed);
    atomic_store_explicit(&connection->protocol, PROTOCOL_UNDECIDED, memory_order_relaxed);
    atomic_store_explicit(&connection->plaintext_of, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->pending, 0, memory_order_relaxed);
    connection->block = block;
    connection->descriptor = fd;
    connection->role = (uint8_t)role;
    connection->unannounced = role == ROLE_UNKNOWN;
    connection->serial =
        atomic_fetch_add_explicit(&attachment->next_serial, 1, memory_order_relaxed) + 1;
    connection->session_slot = SEGMENT_NO_SLOT;
    connection->directions[DIRECTION_OUT].current_slot = SEGMENT_NO_SLOT;
    connection->directions[DIRECTION_IN].current_slot = SEGMENT_NO_SLOT;
    atomic_store_explicit(&connection->references, 1, memory_order_relaxed);
    atomic_store_explicit(&connection->epoch, attachment_epoch(), memory_order_relaxed);
    atomic_store_explicit(&connection->generation, generation + 1, memory_order_release);
}

static bool make(struct thread_state *self, int fd, enum connection_role role, struct touch *touch)
{
    if (attachment_segment() == NULL) {
        return false;
    }
    uint32_t block = slab_take(SLAB_CONNECTION);
    if (block == 0) {
        exchange_count_loss(LOSS_SLAB_FULL);
        atomic_store_explicit(&descriptor_kinds[fd], DESCRIPTOR_OTHER, memory_order_relaxed);
        return false;
    }
    struct connection *connection = connection_at(block);
    initialize(connection, block, fd, role);
    if (!link_descriptor(fd, block)) {
        /* Another thread was first. By the usual way: somebody late may hold a reference. */
        drop_reference(self, connection);
    }
    return connection_find(fd, touch);
}

static int socket_option(int fd, int option)
{
    int value = 0;
    socklen_t size = sizeof(value);
    long result =
        raw_system_call(SYS_getsockopt, fd, SOL_SOCKET, option, (long)&value, (long)&size, 0);
    return result == 0 ? value : -1;
}

/* A descriptor that came by none of the ways that are watched: inherited, received, or older than
   this library. */
static SLOW enum descriptor_kind classify(int fd)
{
    enum descriptor_kind kind = DESCRIPTOR_OTHER;
    if (unlikely(witness != NULL) && witness->accepting != NULL) {
        witness->accepting();
    }
    if (socket_option(fd, SO_TYPE) == SOCK_STREAM) {
        int domain = socket_option(fd, SO_DOMAIN);
        bool is_known = domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX;
        if (is_known && socket_option(fd, SO_ACCEPTCONN) == 0) {
            return DESCRIPTOR_UNKNOWN;
        }
    }
    atomic_store_explicit(&descriptor_kinds[fd], (uint8_t)kind, memory_order_relaxed);
    return kind;
}

static SLOW bool touch_slow(struct thread_state *self, int fd, struct touch *touch)
{
    if (self->is_ours || !atomic_load_explicit(&attachment_is_on, memory_order_relaxed)) {
        return false;
    }
    if ((unsigned)fd >= LIMIT_DESCRIPTORS) {
        if (fd >= 0) {
            exchange_count_loss(LOSS_DESCRIPTOR_RANGE);
        }
        return false;
    }
    switch (atomic_load_explicit(&descriptor_kinds[fd], memory_order_acquire)) {
    case DESCRIPTOR_UNKNOWN:
        return classify(fd) == DESCRIPTOR_UNKNOWN && make(self, fd, ROLE_UNKNOWN, touch);
    case DESCRIPTOR_STREAM:
        return make(self, fd, ROLE_CLIENT, touch);
    case DESCRIPTOR_ACCEPTED:
        return make(self, fd, ROLE_SERVER, touch);
    case DESCRIPTOR_CONNECTION:
        return connection_find(fd, touch);
    default:
        return false;
    }
}

static inline bool find(int fd, struct touch *touch)
{
    uint32_t block = atomic_load_explicit(&descriptor_connections[fd], memory_order_acquire);
    if (block == 0) {
        return false;
    }
    touch->connection = connection_at(block);
    touch->generation = atomic_load_explicit(&touch->connection->generation, memory_order_acquire);
    /* If the descriptor was closed in between, the block may be another's by now, generation and
       all: it is this descriptor's only if it is still linked. */
    return (touch->generation & 1) != 0 &&
           atomic_load_explicit(&descriptor_connections[fd], memory_order_acquire) == block;
}

bool connection_find(int fd, struct touch *touch)
{
    return (unsigned)fd < LIMIT_DESCRIPTORS && find(fd, touch);
}

bool connection_touch(struct thread_state *self, int fd, struct touch *touch)
{
    if (likely((unsigned)fd < LIMIT_DESCRIPTORS &&
               atomic_load_explicit(&descriptor_kinds[fd], memory_order_acquire) ==
                   DESCRIPTOR_CONNECTION &&
               atomic_load_explicit(&attachment_is_on, memory_order_relaxed) && !self->is_ours)) {
        return find(fd, touch);
    }
    return touch_slow(self, fd, touch);
}

/* ---- descriptors ---- */

/* Before the last descriptor of a connection that is not known to stand is closed: asks the kernel
   how far it came, in ways that take nothing from the program. */
static SLOW void look_at_connecting(struct connection *connection, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    if (raw_system_call(SYS_getpeername, fd, (long)&address, (long)&size, 0, 0, 0) == 0) {
        connection_set_connecting(connection, false);
        return;
    }
    uint8_t state = 0; /* the first byte of struct tcp_info */
    size = sizeof(state);
    long result =
        raw_system_call(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, (long)&state, (long)&size, 0);
    bool has_failed = result == 0 && state != TCP_SYN_SENT;
    connection_fail(connection, has_failed ? RECORD_ERROR_OTHER : RECORD_ERROR_CANCELLED, 0);
}

void descriptor_closing(struct thread_state *self, int fd)
{
    if ((unsigned)fd >= LIMIT_DESCRIPTORS) {
        return;
    }
    if (unlikely(self->inner_epoll == fd)) {
        self->inner_epoll = 0; /* the loop has ended */
    }
    atomic_store_explicit(&descriptor_kinds[fd], DESCRIPTOR_UNKNOWN, memory_order_relaxed);
    if (atomic_load_explicit(&descriptor_connections[fd], memory_order_relaxed) == 0) {
        return;
    }
    uint32_t block = atomic_exchange_explicit(&descriptor_connections[fd], 0, memory_order_acq_rel);
    if (block == 0) {
        return;
    }
    /* Again: a thread that was about to link the number may have called it a connection since. */
    atomic_store_explicit(&descriptor_kinds[fd], DESCRIPTOR_UNKNOWN, memory_order_release);
    struct connection *connection = connection_at(block);
    if (unlikely(connection_is_connecting(connection)) && !self->is_ours &&
        atomic_load_explicit(&connection->references, memory_order_relaxed) == 1) {
        look_at_connecting(connection, fd);
    }
    drop_reference(self, connection);
}

void descriptor_made(struct thread_state *self, int fd, enum descriptor_kind kind)
{
    if ((unsigned)fd >= LIMIT_DESCRIPTORS) {
        return;
    }
    descriptor_closing(self, fd);
    if (self->is_ours) {
        kind = DESCRIPTOR_OTHER;
    }
    atomic_store_explicit(&descriptor_kinds[fd], (uint8_t)kind, memory_order_relaxed);
}

/* False if the connection has no descriptor any more. */
static bool take_reference(struct connection *connection)
{
    uint32_t references = atomic_load_explicit(&connection->references, memory_order_relaxed);
    while (references != 0) {
        if (atomic_compare_exchange_weak_explicit(&connection->references, &references,
                                                  references + 1, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void descriptor_duplicated(struct thread_state *self, int from, int to)
{
    if ((unsigned)to >= LIMIT_DESCRIPTORS || from == to) {
        return;
    }
    descriptor_closing(self, to);
    if ((unsigned)from >= LIMIT_DESCRIPTORS) {
        return;
    }
    uint8_t kind = atomic_load_explicit(&descriptor_kinds[from], memory_order_acquire);
    struct touch touch;
    if (kind == DESCRIPTOR_STREAM || kind == DESCRIPTOR_ACCEPTED) {
        /* Two numbers for one socket that has not spoken yet: it needs one connection now. */
        if (!connection_touch(self, from, &touch)) {
            return;
        }
    } else if (kind != DESCRIPTOR_CONNECTION) {
        atomic_store_explicit(&descriptor_kinds[to], kind, memory_order_relaxed);
        return;
    }
    if (!connection_find(from, &touch) || !take_reference(touch.connection)) {
        return; /* closed by another thread just now; `to` is classified at its first use */
    }
    if (atomic_load_explicit(&touch.connection->generation, memory_order_acquire) !=
            touch.generation ||
        !link_descriptor(to, touch.connection->block)) {
        drop_reference(self, touch.connection);
    }
}

void descriptor_range_closing(struct thread_state *self, unsigned first, unsigned last)
{
    uint32_t highest = atomic_load_explicit(&highest_descriptor, memory_order_relaxed);
    unsigned end = last < highest ? last : highest;
    for (unsigned fd = first; fd <= end && fd < LIMIT_DESCRIPTORS; fd++) {
        descriptor_closing(self, (int)fd);
    }
    /* Beyond the highest connection there are only kinds to forget. */
    unsigned from = first > end ? first : end + 1;
    for (unsigned fd = from; fd <= last && fd < LIMIT_DESCRIPTORS; fd++) {
        if (fd - from > 65536) {
            break;
        }
        if (atomic_load_explicit(&descriptor_kinds[fd], memory_order_relaxed) !=
            DESCRIPTOR_UNKNOWN) {
            atomic_store_explicit(&descriptor_kinds[fd], DESCRIPTOR_UNKNOWN, memory_order_relaxed);
        }
    }
}

static void note_abort(int fd, int32_t cause)
{
    uint32_t block = atomic_load_explicit(&descriptor_connections[fd], memory_order_acquire);
    if (block == 0) {
        return;
    }
    connection_fail(connection_at(block), RECORD_ERROR_ABORTED, cause);
}

bool connection_find_by_ports(uint16_t local, uint16_t peer, struct touch *touch)
{
    uint32_t highest = atomic_load_explicit(&highest_descriptor, memory_order_relaxed);
    for (uint32_t fd = 0; fd <= highest && fd < LIMIT_DESCRIPTORS; fd++) {
        if (atomic_load_explicit(&descriptor_connections[fd], memory_order_relaxed) != 0 &&
            connection_find((int)fd, touch) && touch->connection->local.port == local &&
            touch->connection->peer.port == peer) {
            return true;
        }
    }
    return false;
}

void connection_finish_all(struct thread_state *self, int32_t cause)
{
    transfer_end_all(self);
    uint32_t highest = atomic_load_explicit(&highest_descriptor, memory_order_relaxed);
    for (uint32_t fd = 0; fd <= highest && fd < LIMIT_DESCRIPTORS; fd++) {
        if (atomic_load_explicit(&descriptor_connections[fd], memory_order_relaxed) != 0) {
            if (cause != 0) {
                note_abort((int)fd, cause);
            }
            descriptor_closing(self, (int)fd);
        }
    }
}

void connection_finish_orderly(struct thread_state *self)
{
    transfer_end_all(self);
    uint32_t highest = atomic_load_explicit(&highest_descriptor, memory_order_relaxed);
    for (uint32_t fd = 0; fd <= highest && fd < LIMIT_DESCRIPTORS; fd++) {
        struct touch touch;
        if (connection_find((int)fd, &touch) && protocol_ends_with_process(touch.connection)) {
            descriptor_closing(self, (int)fd);
        }
    }
}

/* ---- addresses ---- */

static bool is_mapped_ipv4(const struct in6_addr *address)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    return memcmp(address, prefix, sizeof(prefix)) == 0;
}

void endpoint_from_address(struct endpoint *endpoint, const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const void *)address;
        endpoint->family = ADDRESS_IPV4;
        endpoint->port = ntohs(ipv4->sin_port);
        memcpy(endpoint->address, &ipv4->sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const void *)address;
        endpoint->port = ntohs(ipv6->sin6_port);
        if (is_mapped_ipv4(&ipv6->sin6_addr)) {
            endpoint->family = ADDRESS_IPV4;
            memcpy(endpoint->address, (const uint8_t *)&ipv6->sin6_addr + 12, 4);
        } else {
            endpoint->family = ADDRESS_IPV6;
            memcpy(endpoint->address, &ipv6->sin6_addr, 16);
        }
    } else if (address->ss_family == AF_UNIX) {
        endpoint->family = ADDRESS_UNIX;
    }
}

static void copy_unix_path(struct connection *connection, const struct sockaddr_storage *address,
                           socklen_t size)
{
    const struct sockaddr_un *un = (const void *)address;
    if (size <= offsetof(struct sockaddr_un, sun_path) || size > sizeof(*un)) {
        return;
    }
    size_t room = sizeof(connection->peer_name) - 1;
    size_t length = size - offsetof(struct sockaddr_un, sun_path);
    length = length < room ? length : room;
    memcpy(connection->peer_name, un->sun_path, length);
    if (connection->peer_name[0] == '\0') {
        connection->peer_name[0] = '@';
    }
    connection->peer_name[length] = '\0';
}

void connection_learn_endpoints(struct connection *connection)
{
    if (likely(connection->has_endpoints)) {
        return;
    }
    connection->has_endpoints = true;
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    memset(&address, 0, sizeof(address));
    if (connection->peer.family == ADDRESS_NONE &&
        raw_system_call(SYS_getpeername, connection->descriptor, (long)&address, (long)&size, 0, 0,
                        0) == 0) {
        endpoint_from_address(&connection->peer, &address);
        if (address.ss_family == AF_UNIX) {
            copy_unix_path(connection, &address, size);
        }
    }
    size = sizeof(address);
    memset(&address, 0, sizeof(address));
    if (raw_system_call(SYS_getsockname, connection->descriptor, (long)&address, (long)&size, 0, 0,
                        0) == 0) {
        endpoint_from_address(&connection->local, &address);
        connection->is_unix = address.ss_family == AF_UNIX;
        if (connection->is_unix && connection->role == ROLE_SERVER &&
            connection->peer_name[0] == '\0') {
            copy_unix_path(connection, &address, size);
        }
    }
}
