#include "process/agent.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "app_thread/clock.h"
#include "base/system_call.h"
#include "handoff/arena.h"
#include "handoff/bell_page.h"
#include "process/identity.h"

/* A launcher answers in well under a millisecond, half a second late on a machine with many times
   more to do than processors; one that was stopped must not hold programs up for long. */
#define ANSWER_SECONDS 1
#define RETRY_NS       UINT64_C(5000000000)
#define DESCRIPTORS    2
/* Of the addresses that `ulimit -v` leaves a program, one in so many may be taken. */
#define ADDRESS_SHARE 16u
#define CONTROL_SIZE  CMSG_SPACE(DESCRIPTORS * sizeof(int))

static struct {
    const struct registration_address *address;
    const char *environment;
    size_t environment_size;
    _Atomic(struct arena *) arena; /* of this program, shared with its forked children */
    _Atomic uint32_t place_count;
    _Atomic(struct bell_page *) bell;
    uint32_t namespace_id;   /* of the process that was loaded: its children's, too */
    _Atomic int32_t command; /* the process whose end waits; 0: none */
} agent;

void agent_configure(const struct registration_address *address, const char *environment,
                     size_t environment_size)
{
    agent.address = address;
    agent.environment = environment;
    agent.environment_size = environment_size;
}

/* ---- asking ---- */

static long connect_to_agent(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path, agent.address->name, agent.address->name_size);
    long size = (long)(offsetof(struct sockaddr_un, sun_path) + agent.address->name_size);
    if (agent.address->name[0] != '\0') {
        size++; /* a path ends with its NUL */
    }
    long fd = raw_system_call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0, 0, 0);
    if (fd < 0) {
        return fd;
    }
    const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    raw_system_call(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&limit, sizeof(limit), 0);
    raw_system_call(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&limit, sizeof(limit), 0);
    long result = raw_system_call(SYS_connect, fd, (long)&name, size, 0, 0, 0);
    if (result < 0) {
        raw_system_call(SYS_close, fd, 0, 0, 0, 0, 0);
        return result;
    }
    return fd;
}

static void close_all(const int *descriptors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        raw_system_call(SYS_close, descriptors[i], 0, 0, 0, 0, 0);
    }
}

/* The descriptors that came with a message; those that are too many are closed. */
static size_t take_descriptors(struct msghdr *message, int descriptors[DESCRIPTORS])
{
    size_t count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
            if (count < DESCRIPTORS) {
                descriptors[count++] = fd;
            } else {
                close_all(&fd, 1);
            }
        }
    }
    return count;
}

static bool is_answer(const struct registration_answer *answer, long size)
{
    return size == (long)sizeof(*answer) && answer->magic == REGISTRATION_MAGIC &&
           answer->version == REGISTRATION_VERSION && answer->arena_size >= arena_size(1) &&
           answer->arena_size <= arena_size(LIMIT_ARENA_PLACES);
}

/* One message each way. Returns how many descriptors came. */
static size_t ask(long fd, bool is_loading, struct registration_answer *answer,
                  int descriptors[DESCRIPTORS])
{
    struct registration_hello hello = {
        .magic = REGISTRATION_MAGIC,
        .version = REGISTRATION_VERSION,
        .process_id = attachment_process_id(),
        .is_loading = is_loading,
    };
    memcpy(hello.token, agent.address->token, sizeof(hello.token));
    if (raw_system_call(SYS_sendto, fd, (long)&hello, sizeof(hello), MSG_NOSIGNAL, 0, 0) !=
        (long)sizeof(hello)) {
        return 0;
    }
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_SIZE];
    struct iovec part = {.iov_base = answer, .iov_len = sizeof(*answer)};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    long size = raw_system_call(SYS_recvmsg, fd, (long)&message, MSG_CMSG_CLOEXEC, 0, 0, 0);
    if (size < 0) {
        return 0;
    }
    size_t count = take_descriptors(&message, descriptors);
    if (count == DESCRIPTORS && is_answer(answer, size)) {
        return count;
    }
    close_all(descriptors, count);
    return 0;
}

/* ---- mapping ---- */

static void *map_shared(int fd, size_t size)
{
    long address =
        raw_system_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address < 0 && address > -4096) {
        return NULL;
    }
    raw_system_call(SYS_madvise, address, (long)size, MADV_DONTDUMP, 0, 0, 0);
    return (void *)address;
}

/* How many places may be mapped: under `ulimit -v` a small part of what the program may have, but
   one at least. */
static uint32_t affordable_places(size_t size)
{
    uint64_t count = (size - arena_header_size()) / arena_segment_bytes();
    struct {
        uint64_t soft;
        uint64_t hard;
    } limit;
    if (raw_system_call(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&limit, 0, 0) == 0 &&
        limit.soft / ADDRESS_SHARE / arena_segment_bytes() < count) {
        count = limit.soft / ADDRESS_SHARE / arena_segment_bytes();
    }
    return count > 0 ? (uint32_t)count : 1;
}

static struct arena *map_arena(int fd, size_t size, uint32_t *place_count)
{
    for (uint32_t count = affordable_places(size); count > 0; count /= 4) {
        struct arena *arena = map_shared(fd, arena_size(count));
        if (arena == NULL) {
            continue;
        }
        if (arena_is_valid(arena, arena_size(count))) {
            *place_count = count;
            return arena;
        }
        raw_system_call(SYS_munmap, (long)arena, (long)arena_size(count), 0, 0, 0, 0);
        break;
    }
    return NULL;
}

static uint64_t clock_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* In which namespace our number is ours: without it the drainer would have to look for us among all
   processes. */
static uint32_t namespace_id(void)
{
    char text[32];
    long size = raw_system_call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/ns/pid", (long)text,
                                sizeof(text), 0, 0);
    uint32_t number = 0;
    for (long i = 0; i < size && i < (long)sizeof(text); i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            number = number * 10 + (uint32_t)(text[i] - '0');
        }
    }
    return number;
}

static bool take_over(const struct registration_answer *answer, const int descriptors[DESCRIPTORS])
{
    uint32_t place_count = 0;
    struct arena *arena = map_arena(descriptors[0], answer->arena_size, &place_count);
    struct bell_page *bell = map_shared(descriptors[1], BELL_PAGE_BYTES);
    if (arena == NULL || bell == NULL) {
        return false;
    }
    if ((answer->flags & REGISTRATION_IS_COMMAND) != 0) {
        atomic_store_explicit(&agent.command, attachment_process_id(), memory_order_relaxed);
    }
    agent.namespace_id = namespace_id();
    /* What was mapped before stays: another thread may be writing into it. */
    atomic_store_explicit(&agent.bell, bell, memory_order_release);
    atomic_store_explicit(&agent.place_count, place_count, memory_order_relaxed);
    atomic_store_explicit(&agent.arena, arena, memory_order_release);
    return true;
}

static bool attach(bool is_loading)
{
    uint32_t idle = 0;
    if (!atomic_compare_exchange_strong_explicit(&attachment->is_asking, &idle, 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return false;
    }
    bool is_attached = false;
    long fd = connect_to_agent();
    if (fd >= 0) {
        struct registration_answer answer;
        int descriptors[DESCRIPTORS];
        if (ask(fd, is_loading, &answer, descriptors) > 0) {
            is_attached = take_over(&answer, descriptors);
            close_all(descriptors, DESCRIPTORS);
        }
        raw_system_call(SYS_close, fd, 0, 0, 0, 0, 0);
    }
    atomic_store_explicit(&attachment->is_asking, 0, memory_order_release);
    return is_attached;
}

void agent_attach(void)
{
    attach(true);
}

/* ---- a segment ---- */

struct segment *agent_renew(struct attachment *page)
{
    struct arena *arena = atomic_load_explicit(&agent.arena, memory_order_acquire);
    if (arena == NULL) {
        return NULL;
    }
    identity_draw(page);
    struct segment_clock clock = {clock_of(CLOCK_REALTIME), clock_now_ns()};
    const struct arena_claimant self = {
        .process_id = attachment_process_id(),
        .namespace_id = namespace_id(),
        .boottime_ns = clock_of(CLOCK_BOOTTIME),
    };
    uint32_t place_count = atomic_load_explicit(&agent.place_count, memory_order_relaxed);
    uint32_t place = arena_claim(arena, place_count, &self, clock);
    if (place == ARENA_NONE) {
        return NULL;
    }
    page->place = place;
    page->doorbell = &atomic_load_explicit(&agent.bell, memory_order_acquire)->doorbell;
    arena_write_environment(arena, agent.environment, agent.environment_size);
    arena_publish(arena, place, page->doorbell);
    return arena_segment(arena, place);
}

/* Who drains our segment has said that it lives not long ago. */
static bool is_alive(uint64_t now_ns)
{
    struct bell_page *bell = atomic_load_explicit(&agent.bell, memory_order_acquire);
    return bell != NULL && bell_page_is_alive(bell, now_ns);
}

void agent_after_connection(void)
{
    struct segment *segment = attachment_await_segment();
    uint64_t now = clock_now_ns();
    if (likely(segment != NULL && is_alive(now))) {
        return;
    }
    if (segment == NULL &&
        atomic_load_explicit(&attachment->renewal, memory_order_acquire) == RENEWAL_BUSY) {
        return; /* a second one in its place would take away what the first begins */
    }
    uint64_t tried = atomic_load_explicit(&attachment->asked_ns, memory_order_relaxed);
    if ((tried != 0 && now < tried + RETRY_NS) ||
        !atomic_compare_exchange_strong_explicit(&attachment->asked_ns, &tried, now,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        return;
    }
    if (attach(false)) {
        attachment_replace_segment();
    }
}

/* ---- ends ---- */

void agent_child_ended(int32_t process_id, int status)
{
    struct bell_page *bell = atomic_load_explicit(&agent.bell, memory_order_acquire);
    if (bell != NULL) {
        bell_page_note_end(bell, process_id, agent.namespace_id, status, clock_of(CLOCK_BOOTTIME));
    }
}

static void set_mark(uint32_t mark)
{
    struct arena *arena = atomic_load_explicit(&agent.arena, memory_order_acquire);
    if (arena != NULL && atomic_load_explicit(&attachment->segment, memory_order_acquire) != NULL) {
        atomic_store_explicit(&arena->places[attachment->place].mark, mark, memory_order_release);
    }
}

void agent_before_exec(void)
{
    set_mark(1);
}

void agent_before_end(void)
{
    set_mark(0);
}

void agent_finish(uint32_t timeout_ms)
{
    struct arena *arena = atomic_load_explicit(&agent.arena, memory_order_acquire);
    struct bell_page *bell = atomic_load_explicit(&agent.bell, memory_order_acquire);
    if (arena == NULL ||
        atomic_load_explicit(&agent.command, memory_order_relaxed) != attachment_process_id()) {
        return;
    }
    uint32_t request =
        atomic_fetch_add_explicit(&arena->flush_requested, 1, memory_order_acq_rel) + 1;
    doorbell_ring(&bell->doorbell);
    uint64_t now = clock_now_ns();
    uint64_t deadline = now + (uint64_t)timeout_ms * 1000000u;
    for (; now < deadline && is_alive(now); now = clock_now_ns()) {
        uint32_t done = atomic_load_explicit(&arena->flush_done, memory_order_acquire);
        if ((int32_t)(done - request) >= 0) {
            return;
        }
        /* woken by the drainer, or by the next look at whether it lives */
        uint64_t rest = deadline - now < BELL_INTERVAL_NS ? deadline - now : BELL_INTERVAL_NS;
        const struct timespec timeout = {.tv_sec = (time_t)(rest / 1000000000u),
                                         .tv_nsec = (long)(rest % 1000000000u)};
        raw_system_call(SYS_futex, (long)&arena->flush_done, FUTEX_WAIT, (long)done, (long)&timeout,
                        0, 0);
    }
}
