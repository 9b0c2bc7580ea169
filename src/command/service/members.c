#include "command/service/members.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command/service/arena_host.h"
#include "command/service/process_info.h"
#include "handoff/record.h"
#include "worker/worker.h"

/* Looked at this often: programs that exec'd into something unobserved, arenas that nobody uses. */
#define SWEEP_NS UINT64_C(1000000000)
/* The kernel counts a process's start in ticks of ten milliseconds. */
#define TICK_NS UINT64_C(20000000)
/* A parent that has asked for its child's status tells us at once, if it is given a processor. */
#define PARENT_TELLS_NS UINT64_C(500000000)
/* Variables of a snapshot; as many as the program itself keeps. */
#define ENVIRONMENT_NAMES 256u

struct holder {
    bool is_adopted;
    bool had_ended;     /* when it was looked for */
    int pidfd;          /* -1: the process could not be found */
    pid_t process_id;   /* 0: the same */
    uint64_t ended_ns;  /* when its end was first seen, if nobody could say how; 0: otherwise */
    uint64_t marked_ns; /* when the announcement of an exec was first seen; 0: there is none */
};

struct member {
    struct member *next;
    struct arena_host host;
    pid_t owner;
    int32_t owner_own_id;
    int owner_pidfd; /* -1: it has ended, or is another program by now */
    uint32_t claims_seen;
    uint32_t flushes_done;
    uint32_t flushes_begun;
    uint32_t holder_count;
    struct holder holders[LIMIT_ARENA_PLACES];
};

int members_init(struct members *members, struct exporter *exporter, struct bell *bell)
{
    *members = (struct members){
        .exporter = exporter,
        .bell = bell,
        .namespace_id = process_namespace_id(),
    };
    members->events = epoll_create1(EPOLL_CLOEXEC);
    return members->events < 0 ? -errno : 0;
}

static void watch(struct members *members, int pidfd)
{
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(members->events, EPOLL_CTL_ADD, pidfd, &event);
}

/* ---- ends ---- */

static int32_t end_cause(const struct members *members, const struct member *member, uint32_t place)
{
    pid_t process_id = member->holders[place].process_id;
    int pidfd = member->holders[place].pidfd;
    /* What ended was another program already. */
    if (atomic_load_explicit(&member->host.header->places[place].mark, memory_order_acquire) != 0) {
        return record_abort_cause(ABORT_EXEC, 0);
    }
    if (process_id != 0 && process_id == members->command && members->command_end != 0) {
        return members->command_end;
    }
    int32_t cause = process_end_cause(process_id, pidfd);
    if (cause == record_abort_cause(ABORT_UNKNOWN, 0)) {
        const struct arena_place *claim = &member->host.header->places[place];
        int status = bell_page_find_end(members->bell->page, claim->process_id, claim->namespace_id,
                                        claim->claimed_ns);
        return status >= 0 ? process_cause_of(status) : cause;
    }
    return cause;
}

static void drop_holder(struct members *members, struct member *member, uint32_t place,
                        int32_t cause)
{
    struct holder *holder = &member->holders[place];
    wirespan_worker.remove_segment(members->exporter, member->host.segments[place], cause);
    if (holder->pidfd >= 0) {
        close(holder->pidfd);
    }
    *holder = (struct holder){.pidfd = -1};
    member->holder_count--;
    members->holder_count--;
    arena_host_free(&member->host, place);
}

static void forget_owner(struct member *member)
{
    if (member->owner_pidfd >= 0) {
        close(member->owner_pidfd);
        member->owner_pidfd = -1;
    }
}

static void destroy(struct members *members, struct member **link)
{
    struct member *member = *link;
    *link = member->next;
    for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
        if (member->holders[place].is_adopted) {
            drop_holder(members, member, place, end_cause(members, member, place));
        }
    }
    forget_owner(member);
    arena_host_destroy(&member->host);
    free(member);
    members->count--;
}

/* Another program has taken the process's place. */
static void note_exec(struct members *members, pid_t process_id)
{
    for (struct member *member = members->first; member != NULL; member = member->next) {
        if (member->owner == process_id) {
            forget_owner(member);
        }
        for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
            struct holder *holder = &member->holders[place];
            if (holder->is_adopted && holder->process_id == process_id && holder->ended_ns == 0) {
                drop_holder(members, member, place, record_abort_cause(ABORT_EXEC, 0));
            }
        }
    }
}

/* ---- beginnings ---- */

static struct member *make_member(struct members *members, const struct request *request)
{
    struct member *member = calloc(1, sizeof(*member));
    if (member == NULL || arena_host_create(&member->host) < 0) {
        free(member);
        return NULL;
    }
    member->owner = request->process_id;
    member->owner_own_id = request->hello.process_id;
    member->owner_pidfd = request->pidfd;
    for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
        member->holders[place].pidfd = -1;
    }
    watch(members, request->pidfd);
    member->next = members->first;
    members->first = member;
    members->count++;
    return member;
}

void members_add(struct members *members, struct request *request, uint64_t now_ns)
{
    /* Who had the number before may have ended without our having looked. */
    members_follow(members, now_ns);
    if (request->hello.is_loading != 0) {
        note_exec(members, request->process_id);
    }
    struct member *member = make_member(members, request);
    if (member == NULL) {
        listener_refuse(request);
        return;
    }
    uint32_t flags = request->process_id == members->command ? REGISTRATION_IS_COMMAND : 0;
    if (!listener_answer(request, flags, arena_size(LIMIT_ARENA_PLACES), member->host.memory,
                         members->bell->memory)) {
        destroy(members, &members->first);
    }
}

/* ---- who holds a segment ---- */

/* A child of the owner is younger than it, and older than its claim. One that gave its rights up
   may not be looked into: it is believed if its number is known to be one of ours. */
static bool fits(const struct member *member, pid_t candidate, uint64_t claimed_ns,
                 bool is_neighbour)
{
    uint64_t start_ns;
    if (!process_start_ns(candidate, &start_ns) || start_ns > claimed_ns + TICK_NS) {
        return false;
    }
    enum process_answer answer = process_maps(candidate, member->host.inode);
    return answer == PROCESS_YES || (answer == PROCESS_UNKNOWN && is_neighbour);
}

static bool hold(struct holder *holder, pid_t process_id, int pidfd)
{
    if (pidfd < 0) {
        return false;
    }
    holder->process_id = process_id;
    holder->pidfd = pidfd;
    return true;
}

/* Finds the process that calls itself so. False if it has ended. A holder without a pidfd is one
   that may live where it cannot be seen: only the end of the arena ends it. */
static bool identify(const struct members *members, const struct member *member,
                     const struct arena_place *place, struct holder *holder)
{
    int32_t own_id = place->process_id;
    uint32_t namespace_id = place->namespace_id;
    if (member->owner_pidfd >= 0 && own_id == member->owner_own_id) {
        return hold(holder, member->owner, dup(member->owner_pidfd));
    }
    /* Processes of the drainer's own namespace call themselves as it does. */
    bool is_neighbour = namespace_id != 0 && namespace_id == members->namespace_id;
    bool may_be_one = namespace_id == 0 && member->owner_own_id == member->owner;
    if ((is_neighbour || may_be_one) && own_id > 0) {
        int pidfd = process_open(own_id);
        if (pidfd >= 0 && fits(member, own_id, place->claimed_ns, is_neighbour)) {
            return hold(holder, own_id, pidfd);
        }
        if (pidfd >= 0) {
            close(pidfd);
        }
    }
    if (is_neighbour) {
        holder->process_id = own_id;
        return false;
    }
    pid_t found = process_find(own_id, namespace_id, member->host.inode);
    return found < 0 || (found > 0 && hold(holder, found, process_open(found)));
}

/* The environment that the program wrote down, as it would have been passed to it. */
struct environment {
    const char *program; /* NULL: not told */
    const char *names[ENVIRONMENT_NAMES + 1];
    char text[LIMIT_ENVIRONMENT_BYTES + 1];
};

static const char *const *read_environment(const struct arena *arena, struct environment *copy)
{
    copy->program = NULL;
    uint32_t size = atomic_load_explicit(&arena->environment_size, memory_order_acquire);
    if (size == 0 || size > LIMIT_ENVIRONMENT_BYTES) {
        return NULL;
    }
    memcpy(copy->text, arena->environment, size);
    copy->text[size] = '\0';
    size_t count = 0;
    for (size_t at = 0; at < size && count < ENVIRONMENT_NAMES; at += strlen(copy->text + at) + 1) {
        if (copy->text[at] == '=') {
            copy->program = copy->text + at + 1;
        } else {
            copy->names[count++] = copy->text + at;
        }
    }
    copy->names[count] = NULL;
    return copy->names;
}

static bool add_segment(struct members *members, struct member *member, uint32_t place,
                        pid_t process_id)
{
    if (arena_host_map(&member->host, place) < 0) {
        return false;
    }
    struct environment *environment = malloc(sizeof(*environment));
    struct worker_process process = {
        .process_id = process_id,
        .program_id = member->owner_pidfd >= 0 ? member->owner : 0,
    };
    if (environment != NULL) {
        process.environment = read_environment(member->host.header, environment);
        process.program = environment->program;
    }
    int result = wirespan_worker.add_segment(members->exporter, member->host.segments[place],
                                             arena_segment_bytes(), &process);
    free(environment);
    return result == 0;
}

static void adopt(struct members *members, struct member *member, uint32_t number)
{
    struct arena_place *place = &member->host.header->places[number];
    struct holder *holder = &member->holders[number];
    const struct arena_place claim = *place;
    bool is_alive = identify(members, member, &claim, holder);
    if (!add_segment(members, member, number, holder->process_id)) {
        if (holder->pidfd >= 0) {
            close(holder->pidfd);
        }
        *holder = (struct holder){.pidfd = -1};
        arena_host_unmap(&member->host, number);
        return;
    }
    holder->is_adopted = true;
    member->holder_count++;
    members->holder_count++;
    holder->had_ended = !is_alive;
    if (!is_alive) {
        members->awaits_parents = true;
    } else if (holder->pidfd >= 0) {
        watch(members, holder->pidfd);
    }
}

static void adopt_claimed(struct members *members, struct member *member)
{
    for (uint32_t number = 0; number < LIMIT_ARENA_PLACES; number++) {
        uint32_t state =
            atomic_load_explicit(&member->host.header->places[number].state, memory_order_acquire);
        if (state == PLACE_TAKEN && !member->holders[number].is_adopted) {
            adopt(members, member, number);
        }
    }
}

static void take_claims(struct members *members, struct member *member)
{
    uint32_t claims = atomic_load_explicit(&member->host.header->claims, memory_order_acquire);
    if (claims != member->claims_seen) {
        member->claims_seen = claims;
        adopt_claimed(members, member);
    }
}

bool members_have_claims(const struct members *members)
{
    for (const struct member *member = members->first; member != NULL; member = member->next) {
        if (atomic_load_explicit(&member->host.header->claims, memory_order_seq_cst) !=
            member->claims_seen) {
            return true;
        }
    }
    return false;
}

/* ---- following ---- */

/* Its parent has been told, and is about to tell us. */
static bool has_waited(struct holder *holder, uint64_t now_ns)
{
    if (holder->ended_ns == 0) {
        holder->ended_ns = now_ns;
    }
    return now_ns - holder->ended_ns > PARENT_TELLS_NS;
}

static bool has_ended(const struct holder *holder)
{
    return holder->had_ended || (holder->pidfd >= 0 && process_has_ended(holder->pidfd));
}

/* Whether anybody left. */
static bool drop_ended(struct members *members, struct member *member, uint64_t now_ns)
{
    bool has_left = false;
    for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
        struct holder *holder = &member->holders[place];
        if (!holder->is_adopted || !has_ended(holder)) {
            continue;
        }
        int32_t cause = end_cause(members, member, place);
        if (cause != record_abort_cause(ABORT_UNKNOWN, 0) || has_waited(holder, now_ns)) {
            drop_holder(members, member, place, cause);
            has_left = true;
        } else {
            members->awaits_parents = true;
        }
    }
    if (member->owner_pidfd >= 0 && process_has_ended(member->owner_pidfd)) {
        forget_owner(member);
        has_left = true;
    }
    return has_left;
}

/* Whether it is time to ask whether anybody still has the arena mapped. */
static bool may_be_unused(const struct member *member)
{
    if (member->owner_pidfd >= 0) {
        return false;
    }
    for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
        const struct holder *holder = &member->holders[place];
        if (holder->is_adopted && (holder->pidfd >= 0 || holder->had_ended)) {
            return false;
        }
    }
    return true;
}

/* A process that announced an exec a second ago and does not map the arena any more has become a
   program that is not observed. */
static void look_at_mark(struct members *members, struct member *member, uint32_t number,
                         uint64_t now_ns)
{
    struct holder *holder = &member->holders[number];
    struct arena_place *place = &member->host.header->places[number];
    if (!holder->is_adopted || holder->pidfd < 0 ||
        atomic_load_explicit(&place->mark, memory_order_acquire) == 0) {
        holder->marked_ns = 0;
        return;
    }
    if (holder->marked_ns == 0) {
        holder->marked_ns = now_ns;
    }
    if (now_ns - holder->marked_ns < SWEEP_NS) {
        return;
    }
    switch (process_maps(holder->process_id, member->host.inode)) {
    case PROCESS_NO:
        if (member->owner == holder->process_id) {
            forget_owner(member);
        }
        drop_holder(members, member, number, record_abort_cause(ABORT_EXEC, 0));
        break;
    case PROCESS_YES:
        /* The exec failed. */
        atomic_store_explicit(&place->mark, 0, memory_order_relaxed);
        holder->marked_ns = 0;
        break;
    case PROCESS_UNKNOWN:
        break;
    }
}

static void sweep(struct members *members, uint64_t now_ns)
{
    struct member **link = &members->first;
    while (*link != NULL) {
        struct member *member = *link;
        for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
            look_at_mark(members, member, place, now_ns);
        }
        arena_host_forget_pages(&member->host);
        if (may_be_unused(member) && !arena_host_is_shared(&member->host)) {
            /* Nobody can claim any more; what was claimed last is there to be taken. */
            adopt_claimed(members, member);
            destroy(members, link);
        } else {
            link = &member->next;
        }
    }
}

static bool clear_events(struct members *members)
{
    struct epoll_event events[16];
    return epoll_wait(members->events, events, 16, 0) > 0;
}

void members_follow(struct members *members, uint64_t now_ns)
{
    bool is_told = clear_events(members) || members->awaits_parents;
    bool has_left = false;
    members->awaits_parents = false;
    for (struct member *member = members->first; member != NULL; member = member->next) {
        take_claims(members, member);
        if (is_told || members->awaits_parents) {
            has_left |= drop_ended(members, member, now_ns);
        }
    }
    if (has_left || now_ns - members->swept_ns >= SWEEP_NS) {
        members->swept_ns = now_ns;
        sweep(members, now_ns);
    }
}

/* ---- flushing ---- */

bool members_want_flush(struct members *members)
{
    bool is_wanted = false;
    for (struct member *member = members->first; member != NULL; member = member->next) {
        uint32_t requested =
            atomic_load_explicit(&member->host.header->flush_requested, memory_order_acquire);
        member->flushes_begun = requested;
        is_wanted |= requested != member->flushes_done;
    }
    return is_wanted;
}

void members_note_flushed(struct members *members)
{
    for (struct member *member = members->first; member != NULL; member = member->next) {
        if (member->flushes_done == member->flushes_begun) {
            continue;
        }
        member->flushes_done = member->flushes_begun;
        _Atomic uint32_t *done = &member->host.header->flush_done;
        atomic_store_explicit(done, member->flushes_done, memory_order_release);
        syscall(SYS_futex, done, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}

void members_end(struct members *members)
{
    while (members->first != NULL) {
        struct member *member = members->first;
        for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
            if (member->holders[place].is_adopted) {
                drop_holder(members, member, place, record_abort_cause(ABORT_SIGNAL, SIGKILL));
            }
        }
        destroy(members, &members->first);
    }
}
