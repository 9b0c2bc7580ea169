#include "app_thread/tls_session.h"

#include <string.h>

#include "app_thread/exchange.h"
#include "app_thread/protocol.h"

#define WAYS           8u
#define SESSION_SETS   (LIMIT_TLS_SESSIONS / WAYS)
#define HELLO_SETS     (LIMIT_TLS_HELLOS / WAYS)
#define GOLDEN         UINT64_C(0x9E3779B97F4A7C15)
#define BLOCK_OF(word) ((uint32_t)((word) >> 32))

/* `bound`: block << 32 | generation of the connection; without a block, how often one was looked
   for in vain. */
struct session_entry {
    _Atomic uintptr_t session; /* 0: free */
    _Atomic uint64_t bound;
};

static struct session_entry tls_sessions[SESSION_SETS][WAYS];
/* block << 32 | generation of connections whose ClientHello has passed and that are not bound. */
static _Atomic uint64_t tls_hellos[HELLO_SETS][WAYS];

static uint64_t word_of(const struct touch *touch)
{
    return (uint64_t)touch->connection->block << 32 | touch->generation;
}

/* The connection of a word, if it is still the same one. */
static bool touch_of(uint64_t word, struct touch *touch)
{
    if (BLOCK_OF(word) == 0) {
        return false;
    }
    touch->connection = slab_address(BLOCK_OF(word));
    touch->generation = (uint32_t)word;
    return atomic_load_explicit(&touch->connection->generation, memory_order_acquire) ==
           touch->generation;
}

/* ---- sessions ---- */

static struct session_entry *set_of(uintptr_t session)
{
    return tls_sessions[((uint64_t)session * GOLDEN >> 32) % SESSION_SETS];
}

static struct session_entry *find_entry(uintptr_t session)
{
    struct session_entry *set = set_of(session);
    for (uint32_t i = 0; i < WAYS; i++) {
        if (atomic_load_explicit(&set[i].session, memory_order_relaxed) == session) {
            return &set[i];
        }
    }
    return NULL;
}

static bool is_of(const struct touch *touch, uintptr_t session)
{
    return connection_source(touch->connection) == session;
}

/* How little an entry is worth keeping: it is free, its connection has gone or has another session
   by now, or no connection was found yet. */
enum worth { WORTH_NOTHING, WORTH_TRIES, WORTH_KEEPING };

static enum worth worth_of(const struct session_entry *entry, uintptr_t session)
{
    uint64_t bound = atomic_load_explicit(&entry->bound, memory_order_relaxed);
    struct touch touch;
    if (session == 0 ||
        (BLOCK_OF(bound) != 0 && !(touch_of(bound, &touch) && is_of(&touch, session)))) {
        return WORTH_NOTHING;
    }
    return BLOCK_OF(bound) == 0 ? WORTH_TRIES : WORTH_KEEPING;
}

static SLOW struct session_entry *make_entry(uintptr_t session)
{
    struct session_entry *set = set_of(session);
    for (enum worth worth = WORTH_NOTHING; worth < WORTH_KEEPING; worth++) {
        for (uint32_t i = 0; i < WAYS; i++) {
            uintptr_t old = atomic_load_explicit(&set[i].session, memory_order_relaxed);
            if (worth_of(&set[i], old) <= worth &&
                atomic_compare_exchange_strong_explicit(
                    &set[i].session, &old, session, memory_order_relaxed, memory_order_relaxed)) {
                atomic_store_explicit(&set[i].bound, 0, memory_order_relaxed);
                return &set[i];
            }
        }
    }
    return NULL;
}

bool tls_session_find(const void *session, struct touch *touch)
{
    const struct session_entry *entry = find_entry((uintptr_t)session);
    /* acquire pairs with the release in bind: the connection's state is there */
    return entry != NULL &&
           touch_of(atomic_load_explicit(&entry->bound, memory_order_acquire), touch) &&
           is_of(touch, (uintptr_t)session);
}

void tls_session_forget(const void *session)
{
    struct session_entry *entry = find_entry((uintptr_t)session);
    if (entry != NULL) {
        atomic_store_explicit(&entry->bound, 0, memory_order_relaxed);
        atomic_store_explicit(&entry->session, 0, memory_order_release);
    }
}

/* ---- what passed the sockets ---- */

static uint64_t fold(const uint8_t random[TLS_RANDOM_BYTES])
{
    uint64_t parts[4];
    memcpy(parts, random, sizeof(parts));
    uint64_t key = 0;
    for (int i = 0; i < 4; i++) {
        key = (key ^ parts[i]) * GOLDEN;
        key ^= key >> 29;
    }
    return key == 0 ? 1 : key;
}

/* A ClientHello has passed it whose session is not known yet. */
static bool is_waiting(const struct connection *connection)
{
    return atomic_load_explicit(&connection->hello, memory_order_relaxed) != 0 &&
           !atomic_load_explicit(&connection->hello_is_bound, memory_order_relaxed);
}

void tls_session_hello(struct connection *connection, const uint8_t random[TLS_RANDOM_BYTES])
{
    uint64_t key = fold(random);
    struct touch touch = {connection,
                          atomic_load_explicit(&connection->generation, memory_order_relaxed)};
    struct touch other;
    atomic_store_explicit(&connection->hello, key, memory_order_relaxed);
    atomic_store_explicit(&connection->hello_is_bound, false, memory_order_relaxed);
    _Atomic uint64_t *set = tls_hellos[key % HELLO_SETS];
    for (uint32_t i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
        /* Two threads may want the same way: the two ends of one session do so at one time.
           release pairs with the acquire in find_hello */
        if ((!touch_of(word, &other) || !is_waiting(other.connection)) &&
            atomic_compare_exchange_strong_explicit(&set[i], &word, word_of(&touch),
                                                    memory_order_release, memory_order_relaxed)) {
            return;
        }
    }
    /* With all ways taken by handshakes that are going on, one of them loses its hint. */
    atomic_store_explicit(&set[(key >> 61) % WAYS], word_of(&touch), memory_order_release);
}

/* The one connection on whose side that ClientHello passed. */
static bool find_hello(const struct tls_identity *identity, struct touch *touch)
{
    uint64_t key = fold(identity->random);
    _Atomic uint64_t *set = tls_hellos[key % HELLO_SETS];
    struct touch candidate;
    uint32_t found = 0;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (touch_of(atomic_load_explicit(&set[i], memory_order_acquire), &candidate) &&
            is_waiting(candidate.connection) &&
            atomic_load_explicit(&candidate.connection->hello, memory_order_relaxed) == key &&
            (identity->role == ROLE_UNKNOWN || identity->role == candidate.connection->role) &&
            (found == 0 || candidate.connection != touch->connection)) {
            *touch = candidate;
            found++;
        }
    }
    return found == 1;
}

bool tls_session_is_hello(const struct connection *connection,
                          const uint8_t random[TLS_RANDOM_BYTES])
{
    return atomic_load_explicit(&connection->hello, memory_order_relaxed) == fold(random);
}

/* ---- binding ---- */

static bool find_descriptor(struct thread_state *self, const struct tls_identity *identity,
                            struct touch *touch)
{
    struct touch out;
    if (identity->descriptors[0] < 0 || identity->descriptors[1] < 0 ||
        !connection_touch(self, identity->descriptors[0], touch)) {
        return false;
    }
    if (identity->descriptors[0] != identity->descriptors[1] &&
        (!connection_touch(self, identity->descriptors[1], &out) ||
         out.connection != touch->connection)) {
        return false;
    }
    uint64_t hello = atomic_load_explicit(&touch->connection->hello, memory_order_relaxed);
    return identity->is_certain || (identity->has_random && fold(identity->random) == hello);
}

static SLOW bool bind(struct thread_state *self, void *session, const void *library,
                      tls_identify *identify, struct touch *touch)
{
    struct tls_identity identity = {.descriptors = {-1, -1}};
    if (!identify(library, session, &identity)) {
        return false;
    }
    uintptr_t name = (uintptr_t)session;
    struct session_entry *entry = find_entry(name);
    if (entry == NULL) {
        entry = make_entry(name);
    }
    if (entry == NULL) {
        exchange_count_loss(LOSS_SLAB_FULL);
        return false;
    }
    uint64_t before = atomic_load_explicit(&entry->bound, memory_order_relaxed);
    uint64_t tries = BLOCK_OF(before) == 0 ? before : 0;
    if (tries >= LIMIT_TLS_TRIES) {
        return false;
    }
    bool found = find_descriptor(self, &identity, touch) ||
                 (identity.has_random && find_hello(&identity, touch));
    if (!found || !protocol_start_above(self, touch, name)) {
        atomic_store_explicit(&entry->bound, tries + 1, memory_order_relaxed);
        return false;
    }
    /* release pairs with tls_session_find */
    atomic_store_explicit(&entry->bound, word_of(touch), memory_order_release);
    return true;
}

bool tls_session_touch(struct thread_state *self, void *session, const void *library,
                       tls_identify *identify, struct touch *touch)
{
    return likely(tls_session_find(session, touch)) ||
           bind(self, session, library, identify, touch);
}
