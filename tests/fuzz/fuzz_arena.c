/*
 * What a broken or hostile program may do to the drainer that serves it: an address (first byte 0),
 * a hello on the drainer's socket (1), or writing whatever it likes into the arena that it was
 * handed, while the drainer looks (2). The drainer neither crashes nor waits, and what it handed
 * out keeps its size.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "command/service/members.h"
#include "command/service/process_info.h"
#include "handoff/arena.h"
#include "worker/exporter.h"
#include "worker/worker.h"

#define PATCH_HEAD 4u

/* ---- an exporter that delivers into nothing ---- */

static int take_batch(struct transport *transport, const struct export_batch *batch)
{
    (void)transport;
    (void)batch;
    return 0;
}

static enum transport_result deliver(struct transport *transport, struct transport_outcome *outcome)
{
    (void)transport;
    (void)outcome;
    return TRANSPORT_DELIVERED;
}

static size_t no_descriptors(struct transport *transport, struct pollfd *into, size_t capacity,
                             int *timeout_ms)
{
    (void)transport;
    (void)into;
    (void)capacity;
    (void)timeout_ms;
    return 0;
}

static void nothing(struct transport *transport)
{
    (void)transport;
}

static const struct transport_ops nowhere_ops = {
    .name = "nowhere",
    .begin = take_batch,
    .step = deliver,
    .descriptors = no_descriptors,
    .cancel = nothing,
    .destroy = nothing,
};

static void read_clock(void *context, struct segment_clock *now)
{
    (void)context;
    *now = (struct segment_clock){.realtime_ns = UINT64_C(1700000000000000000),
                                  .monotonic_ns = 1000000};
}

static uint64_t draw(void *context)
{
    (void)context;
    return 4;
}

/* ---- addresses and hellos ---- */

static void fuzz_address(struct slice input)
{
    struct registration_address address;
    if (registration_parse_address(input, &address) &&
        (address.name_size < 2 || address.name_size >= REGISTRATION_PATH ||
         (address.name[0] != '\0' && address.name[0] != '/'))) {
        fuzz_fail("an address that is none");
    }
}

static int connect_to(const char *address)
{
    struct registration_address parsed;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (!registration_parse_address(slice_of(address, strlen(address)), &parsed)) {
        fuzz_fail("the drainer's own address is none");
    }
    memcpy(name.sun_path, parsed.name, parsed.name_size);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + parsed.name_size);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&name, size) != 0) {
        abort();
    }
    return fd;
}

/* Of the message all but the token may be good: an odd second byte puts the right one in. */
static void fuzz_hello(struct slice input)
{
    struct listener listener;
    struct request request;
    char address[REGISTRATION_PATH + 2 * REGISTRATION_TOKEN];
    if (listener_open_abstract(&listener, address, sizeof(address)) < 0) {
        abort();
    }
    bool knows_token = input.size > 0 && (slice_take(&input, 1).data[0] & 1) != 0;
    struct registration_hello hello = {.magic = REGISTRATION_MAGIC,
                                       .version = REGISTRATION_VERSION};
    size_t size = input.size < sizeof(hello) ? input.size : sizeof(hello);
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)&hello)[i] ^= input.data[i];
    }
    if (knows_token) {
        memcpy(hello.token, listener.token, sizeof(hello.token));
    }
    int fd = connect_to(address);
    if (send(fd, &hello, input.size >= sizeof(hello) ? sizeof(hello) : size, MSG_NOSIGNAL) < 0 &&
        size > 0) {
        abort();
    }
    if (listener_accept(&listener, &request)) {
        if (!knows_token || request.process_id != getpid()) {
            fuzz_fail("a stranger was let in");
        }
        listener_refuse(&request);
    }
    close(fd);
    for (size_t i = 0; i < LISTENER_PENDING; i++) {
        if (listener.pending[i] >= 0) {
            close(listener.pending[i]);
        }
    }
    close(listener.events);
    close(listener.socket);
}

/* ---- arenas ---- */

static struct bell *the_bell(void)
{
    static struct bell bell;
    if (bell.page == NULL && bell_create(&bell) < 0) {
        abort();
    }
    return &bell;
}

/* The arena as the program receives it: the first of the two descriptors. */
static int receive_arena(int connection)
{
    struct registration_answer answer;
    int descriptors[2];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(descriptors))];
    struct iovec part = {.iov_base = &answer, .iov_len = sizeof(answer)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(answer)) {
        fuzz_fail("no answer");
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL || header->cmsg_len != CMSG_LEN(sizeof(descriptors))) {
        fuzz_fail("no descriptors");
    }
    memcpy(descriptors, CMSG_DATA(header), sizeof(descriptors));
    close(descriptors[1]);
    close(connection);
    return descriptors[0];
}

/* Two processes at work, one of which is about to exec. */
static void fill(struct arena *arena)
{
    static struct doorbell doorbell;
    static const char environment[] = "OTEL_SERVICE_NAME=name\0=/bin/program";
    const struct segment_clock clock = {1, 1};
    arena_write_environment(arena, environment, sizeof(environment));
    for (uint32_t number = 0; number < 2; number++) {
        const struct arena_claimant claimant = {.process_id = getpid(), .boottime_ns = 1};
        uint32_t place = arena_claim(arena, LIMIT_ARENA_PLACES, &claimant, clock);
        struct segment *segment = arena_segment(arena, place);
        uint32_t cursor = 0;
        for (uint32_t i = 0; i < 4; i++) {
            uint16_t slot = segment_claim(segment, &cursor);
            struct record *record = segment_record(segment, slot);
            record->kind = RECORD_HTTP_CLIENT;
            record->trace_flags = 1;
            record->trace_id[0] = 1;
            record->span_id[0] = 1;
            record->start_ns = 1000;
            record->end_ns = 2000;
            segment_open(segment, slot);
            if (i % 2 == 0) {
                segment_complete(segment, &doorbell, slot, i);
            }
        }
        arena_publish(arena, place, &doorbell);
        atomic_store(&arena->places[place].mark, number);
    }
}

/* The input is a list of patches: where (three bytes; even numbers stay in the header), how many
   bytes (one), the bytes. */
static void patch(struct arena *arena, struct slice input)
{
    while (input.size > PATCH_HEAD) {
        const uint8_t *head = slice_take(&input, PATCH_HEAD).data;
        size_t at = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16;
        size_t size = at % 2 == 0 ? arena_header_size() : arena_size(3);
        at = at / 2 % size;
        size_t count = head[3] < input.size ? head[3] : input.size;
        count = count < size - at ? count : size - at;
        memcpy((uint8_t *)arena + at, slice_take(&input, count).data, count);
    }
}

static void drain(struct members *members, uint64_t now_ns)
{
    struct worker_wait wait;
    memset(&wait, 0, sizeof(wait));
    (void)members_have_claims(members);
    members_follow(members, now_ns);
    (void)members_want_flush(members);
    wirespan_worker.step(members->exporter, now_ns, true, &wait);
    members_note_flushed(members);
}

static void write_into_arena(struct members *members, int memory, struct slice input)
{
    size_t size = arena_size(LIMIT_ARENA_PLACES);
    struct arena *arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (arena == MAP_FAILED || ftruncate(memory, 4096) == 0 ||
        ftruncate(memory, (off_t)size * 2) == 0) {
        fuzz_fail("the arena can be shrunk, grown, or not be mapped");
    }
    struct slice later = input;
    struct slice before = slice_take(&later, input.size / 2);
    fill(arena);
    patch(arena, before);
    drain(members, UINT64_C(2000000000));
    patch(arena, later);
    drain(members, UINT64_C(4000000000));
    drain(members, UINT64_C(6000000000));
    munmap(arena, size);
}

static void fuzz_arena(struct slice input)
{
    struct config config;
    struct members members;
    struct transport nowhere = {.ops = &nowhere_ops};
    struct transport *transports[] = {&nowhere};
    const struct exporter_seams seams = {.clock = read_clock, .random = draw, .root = "/nowhere"};
    int pair[2];
    config_parse(&config, (const char *const[]){NULL}, NULL, NULL);
    struct exporter *exporter = exporter_create(&config, &seams, transports, 1);
    if (exporter == NULL || members_init(&members, exporter, the_bell()) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        abort();
    }
    struct request request = {
        .connection = pair[0],
        .pidfd = process_open(getpid()),
        .process_id = getpid(),
        .hello = {.process_id = getpid(), .is_loading = 1},
    };
    members_add(&members, &request, 1);
    int memory = receive_arena(pair[1]);
    write_into_arena(&members, memory, input);
    close(memory);
    drain(&members, UINT64_C(8000000000));
    members_end(&members);
    close(members.events);
    exporter_destroy(exporter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    uint8_t *exact = fuzz_exact_copy(slice_of(data + 1, size - 1));
    struct slice input = slice_of(exact, size - 1);
    switch (data[0] % 3) {
    case 0:
        fuzz_address(input);
        break;
    case 1:
        fuzz_hello(input);
        break;
    default:
        fuzz_arena(input);
        break;
    }
    free(exact);
    return 0;
}
