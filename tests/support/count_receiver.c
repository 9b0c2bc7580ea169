/*
 * An OTLP/HTTP receiver that only counts: fast enough never to be the slow side of a load test.
 *
 *     count_receiver [PORT]     prints "port N"; serves 127.0.0.1 until stdin ends
 *     POST /v1/traces           a request in protobuf, plain or gzip
 *     GET  /counts              totals, as JSON
 *     GET  /requests            one line per request: milliseconds, spans, status, bytes
 *     GET  /mode?status=S&delay_ms=D&reject=N&retry_after=R&most_bytes=B
 *                               what later requests are answered; all parts optional, 200 at first
 *
 * A span id that was accepted before is a duplicate. `pairs`: of spans whose db.query.text ends in
 * ":NUMBER" and whose db.response.status_code is "N" and a number, how many agree.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>
#include <zlib.h>

#define REQUESTS_MAX   100000u
#define IDS_INITIAL    (1u << 16)
#define BODY_MAX       (64u << 20)
#define TEXT_BYTES_MAX (REQUESTS_MAX * 64u)

struct range {
    const uint8_t *at;
    const uint8_t *end;
};

struct upload {
    uint8_t *bytes;
    size_t size;
    size_t room;
};

struct request_line {
    uint64_t milliseconds;
    uint64_t bytes;
    uint32_t spans;
    uint32_t status;
};

struct totals {
    uint64_t requests; /* POSTs, whatever they were answered */
    uint64_t accepted; /* answered 200 */
    uint64_t spans;    /* in accepted requests, rejected ones not counted */
    uint64_t rejected; /* by partial success */
    uint64_t refused;  /* in requests that were not answered 200 */
    uint64_t duplicates;
    uint64_t largest;   /* spans in one request */
    uint64_t malformed; /* requests */
    uint64_t roots;
    uint64_t pairs_right;
    uint64_t pairs_wrong;
    uint64_t servers; /* by kind */
    uint64_t clients;
    uint64_t tellings; /* spans about losses: no exchanges, so not among `spans` */
};

struct mode {
    uint32_t status;
    uint32_t delay_ms;
    uint32_t reject;
    uint32_t retry_after;
    uint32_t most_bytes; /* a larger request is answered 413; 0: none is too large */
};

/* All of it under `lock`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct totals totals;
static struct mode mode = {.status = 200};
static struct request_line lines[REQUESTS_MAX];
static uint64_t *ids;
static size_t ids_room;
static size_t ids_used;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- ids that were seen ---- */

static bool ids_insert(uint64_t *table, size_t room, uint64_t id)
{
    size_t at = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15)) & (room - 1);
    while (table[at]) {
        if (table[at] == id)
            return false;
        at = (at + 1) & (room - 1);
    }
    table[at] = id;
    return true;
}

static bool ids_add(uint64_t id)
{
    if (ids_used * 2 >= ids_room) {
        size_t room = ids_room ? ids_room * 2 : IDS_INITIAL;
        uint64_t *table = calloc(room, sizeof(*table));
        if (!table)
            abort();
        for (size_t i = 0; i < ids_room; i++)
            if (ids[i])
                ids_insert(table, room, ids[i]);
        free(ids);
        ids = table;
        ids_room = room;
    }
    if (!ids_insert(ids, ids_room, id))
        return false;
    ids_used++;
    return true;
}

/* ---- protobuf, as much as is needed ---- */

static bool take_varint(struct range *in, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* The next field; of length-delimited ones `*content`, of varints `*value`. False at the end, or
   where the message is malformed (`in->at` is then not `in->end`). */
static bool take_field(struct range *in, uint32_t *number, struct range *content, uint64_t *value)
{
    struct range rest = *in;
    uint64_t key;
    uint64_t length = 0;

    *content = (struct range){NULL, NULL};
    *value = 0;
    if (rest.at == rest.end || !take_varint(&rest, &key))
        return false;
    *number = (uint32_t)(key >> 3);
    switch (key & 7) {
    case 0:
        if (!take_varint(&rest, value))
            return false;
        break;
    case 1:
        length = 8;
        break;
    case 5:
        length = 4;
        break;
    case 2:
        if (!take_varint(&rest, &length))
            return false;
        break;
    default:
        return false;
    }
    if (length > (uint64_t)(rest.end - rest.at))
        return false;
    *content = (struct range){rest.at, rest.at + length};
    rest.at += length;
    *in = rest;
    return true;
}

static bool range_is(struct range range, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(range.end - range.at) == length && memcmp(range.at, text, length) == 0;
}

/* The string of an attribute's value; nothing for other types. */
static struct range string_value(struct range value)
{
    uint32_t number;
    struct range content;
    uint64_t ignored;

    while (take_field(&value, &number, &content, &ignored))
        if (number == 1)
            return content;
    return (struct range){NULL, NULL};
}

/* The decimal number after the last `mark`; false if there is none. */
static bool number_after(struct range text, char mark, uint64_t *number)
{
    const uint8_t *at = text.end;
    while (at > text.at && at[-1] != (uint8_t)mark)
        at--;
    if (at == text.at || at == text.end)
        return false;
    *number = 0;
    for (; at < text.end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        *number = *number * 10 + (uint64_t)(*at - '0');
    }
    return true;
}

static void count_pair(struct range query, struct range status, struct totals *counted)
{
    uint64_t asked;
    uint64_t answered;

    if (!query.at || !number_after(query, ':', &asked))
        return;
    if (status.at && number_after(status, 'N', &answered) && answered == asked)
        counted->pairs_right++;
    else
        counted->pairs_wrong++;
}

static bool read_span(struct range in, struct totals *counted, uint64_t *id)
{
    uint32_t number;
    struct range content;
    uint64_t value;
    struct range query = {NULL, NULL};
    struct range status = {NULL, NULL};
    bool has_parent = false;
    bool tells_losses = false;

    *id = 0;
    while (take_field(&in, &number, &content, &value)) {
        if (number == 2 && content.end - content.at == 8)
            memcpy(id, content.at, 8);
        if (number == 4 && content.end > content.at)
            has_parent = true;
        if (number == 5 && range_is(content, "wirespan.losses"))
            tells_losses = true;
        if (number == 6 && value == 2)
            counted->servers++;
        if (number == 6 && value == 3)
            counted->clients++;
        if (number != 9)
            continue;
        struct range key = {NULL, NULL};
        struct range text = {NULL, NULL};
        struct range part;
        while (take_field(&content, &number, &part, &value)) {
            if (number == 1)
                key = part;
            else if (number == 2)
                text = string_value(part);
        }
        if (range_is(key, "db.query.text"))
            query = text;
        else if (range_is(key, "db.response.status_code"))
            status = text;
    }
    if (tells_losses) {
        counted->tellings++;
        return in.at == in.end && *id;
    }
    counted->spans++;
    counted->roots += !has_parent;
    count_pair(query, status, counted);
    return in.at == in.end && *id;
}

/* Walks ExportTraceServiceRequest.resource_spans(1).scope_spans(2).spans(2). With `accept`, notes
   the ids. */
static bool read_request(struct range in, struct totals *counted, bool accept)
{
    uint32_t number;
    uint64_t value;
    struct range resource;
    struct range scope;
    struct range span;

    while (take_field(&in, &number, &resource, &value)) {
        if (number != 1)
            continue;
        while (take_field(&resource, &number, &scope, &value)) {
            if (number != 2)
                continue;
            while (take_field(&scope, &number, &span, &value)) {
                uint64_t id;
                if (number != 2)
                    continue;
                if (!read_span(span, counted, &id))
                    return false;
                if (accept && !ids_add(id))
                    counted->duplicates++;
            }
            if (scope.at != scope.end)
                return false;
        }
        if (resource.at != resource.end)
            return false;
    }
    return in.at == in.end;
}

static bool inflate_whole(struct upload *upload)
{
    z_stream stream = {.next_in = upload->bytes, .avail_in = (uInt)upload->size};
    size_t room = upload->size * 16 + 1024;
    uint8_t *plain = malloc(room);
    if (!plain || inflateInit2(&stream, 15 + 16) != Z_OK)
        abort();
    int result;
    do {
        if (stream.total_out == room) {
            room *= 2;
            plain = realloc(plain, room);
            if (!plain || room > BODY_MAX)
                abort();
        }
        stream.next_out = plain + stream.total_out;
        stream.avail_out = (uInt)(room - stream.total_out);
        result = inflate(&stream, Z_NO_FLUSH);
    } while (result == Z_OK);
    free(upload->bytes);
    *upload = (struct upload){.bytes = plain, .size = stream.total_out, .room = room};
    inflateEnd(&stream);
    return result == Z_STREAM_END;
}

/* ---- answers ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const void *bytes,
                              size_t size, const char *type, uint32_t retry_after)
{
    union {
        const void *borrowed;
        void *copied; /* by MHD_RESPMEM_MUST_COPY, which takes a plain pointer */
    } body = {.borrowed = bytes};
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, body.copied, MHD_RESPMEM_MUST_COPY);
    char seconds[16];

    MHD_add_response_header(response, "Content-Type", type);
    if (retry_after) {
        snprintf(seconds, sizeof(seconds), "%u", retry_after);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* ExportTraceServiceResponse{partial_success{rejected_spans, error_message}}. */
static size_t write_partial(uint8_t *into, uint32_t rejected)
{
    static const char message[] = "as told";
    uint8_t inner[32];
    size_t used = 0;

    inner[used++] = 1 << 3;
    for (uint32_t left = rejected;;) {
        uint8_t byte = left & 0x7f;
        left >>= 7;
        inner[used++] = (uint8_t)(left ? byte | 0x80 : byte);
        if (!left)
            break;
    }
    inner[used++] = 2 << 3 | 2;
    inner[used++] = sizeof(message) - 1;
    memcpy(inner + used, message, sizeof(message) - 1);
    used += sizeof(message) - 1;
    into[0] = 1 << 3 | 2;
    into[1] = (uint8_t)used;
    memcpy(into + 2, inner, used);
    return used + 2;
}

static enum MHD_Result take_traces(struct MHD_Connection *connection, struct upload *upload)
{
    const char *encoding =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Encoding");
    size_t wire_bytes = upload->size;
    uint64_t arrived = now_ms();
    bool good = !encoding || strcmp(encoding, "gzip") != 0 || inflate_whole(upload);
    struct totals counted = {0};
    uint8_t body[64];
    size_t body_size = 0;

    pthread_mutex_lock(&lock);
    struct mode now = mode;
    if (now.most_bytes > 0 && wire_bytes > now.most_bytes)
        now.status = 413;
    struct range in = {upload->bytes, upload->bytes + upload->size};
    bool accept = now.status == 200;
    good = good && read_request(in, &counted, accept);
    uint32_t rejected = accept && now.reject < counted.spans ? now.reject
                        : accept                             ? (uint32_t)counted.spans
                                                             : 0;
    if (totals.requests < REQUESTS_MAX)
        lines[totals.requests] = (struct request_line){
            .milliseconds = arrived,
            .bytes = wire_bytes,
            .spans = (uint32_t)counted.spans,
            .status = good ? now.status : 400,
        };
    totals.requests++;
    totals.malformed += !good;
    if (counted.spans > totals.largest)
        totals.largest = counted.spans;
    if (accept && good) {
        totals.accepted++;
        totals.spans += counted.spans - rejected;
        totals.rejected += rejected;
        totals.duplicates += counted.duplicates;
        totals.roots += counted.roots;
        totals.pairs_right += counted.pairs_right;
        totals.pairs_wrong += counted.pairs_wrong;
        totals.servers += counted.servers;
        totals.clients += counted.clients;
        totals.tellings += counted.tellings;
    } else {
        totals.refused += counted.spans;
    }
    pthread_mutex_unlock(&lock);

    if (now.delay_ms)
        nanosleep(&(struct timespec){.tv_sec = now.delay_ms / 1000,
                                     .tv_nsec = (long)(now.delay_ms % 1000) * 1000000},
                  NULL);
    if (rejected)
        body_size = write_partial(body, rejected);
    return answer(connection, good ? now.status : 400, body, body_size, "application/x-protobuf",
                  now.retry_after);
}

static void set_from_query(struct MHD_Connection *connection, const char *name, uint32_t *value)
{
    const char *text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
    if (text)
        *value = (uint32_t)strtoul(text, NULL, 10);
}

static enum MHD_Result tell_counts(struct MHD_Connection *connection)
{
    char text[1024];
    pthread_mutex_lock(&lock);
    struct totals t = totals;
    pthread_mutex_unlock(&lock);
    int size =
        snprintf(text, sizeof(text),
                 "{\"requests\": %" PRIu64 ", \"accepted\": %" PRIu64 ", \"spans\": %" PRIu64
                 ", \"rejected\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"duplicates\": %" PRIu64
                 ", \"largest\": %" PRIu64 ", \"malformed\": %" PRIu64 ", \"roots\": %" PRIu64
                 ", \"pairs_right\": %" PRIu64 ", \"pairs_wrong\": %" PRIu64
                 ", \"servers\": %" PRIu64 ", \"clients\": %" PRIu64 "}\n",
                 t.requests, t.accepted, t.spans, t.rejected, t.refused, t.duplicates, t.largest,
                 t.malformed, t.roots, t.pairs_right, t.pairs_wrong, t.servers, t.clients);
    return answer(connection, 200, text, (size_t)size, "application/json", 0);
}

static enum MHD_Result tell_requests(struct MHD_Connection *connection)
{
    char *text = malloc(TEXT_BYTES_MAX);
    size_t used = 0;
    if (!text)
        abort();
    pthread_mutex_lock(&lock);
    uint64_t count = totals.requests < REQUESTS_MAX ? totals.requests : REQUESTS_MAX;
    for (uint64_t i = 0; i < count && used + 100 < TEXT_BYTES_MAX; i++)
        used += (size_t)snprintf(text + used, 100, "%" PRIu64 " %u %u %" PRIu64 "\n",
                                 lines[i].milliseconds, lines[i].spans, lines[i].status,
                                 lines[i].bytes);
    pthread_mutex_unlock(&lock);
    enum MHD_Result result = answer(connection, 200, text, used, "text/plain", 0);
    free(text);
    return result;
}

static enum MHD_Result set_mode(struct MHD_Connection *connection)
{
    struct mode wanted = {.status = 200};
    set_from_query(connection, "status", &wanted.status);
    set_from_query(connection, "delay_ms", &wanted.delay_ms);
    set_from_query(connection, "reject", &wanted.reject);
    set_from_query(connection, "retry_after", &wanted.retry_after);
    set_from_query(connection, "most_bytes", &wanted.most_bytes);
    pthread_mutex_lock(&lock);
    mode = wanted;
    pthread_mutex_unlock(&lock);
    return answer(connection, 200, "", 0, "text/plain", 0);
}

/* ---- serving ---- */

static bool upload_add(struct upload *upload, const char *data, size_t size)
{
    if (upload->size + size > BODY_MAX)
        return false;
    if (upload->size + size > upload->room) {
        upload->room = (upload->size + size) * 2;
        upload->bytes = realloc(upload->bytes, upload->room);
        if (!upload->bytes)
            abort();
    }
    memcpy(upload->bytes + upload->size, data, size);
    upload->size += size;
    return true;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    (void)context;
    (void)version;
    struct upload *upload = *state;
    if (!upload) {
        *state = calloc(1, sizeof(struct upload));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size) {
        bool taken = upload_add(upload, data, *size);
        *size = 0;
        return taken ? MHD_YES : MHD_NO;
    }
    if (strcmp(method, "POST") == 0 && strcmp(url, "/v1/traces") == 0)
        return take_traces(connection, upload);
    if (strcmp(url, "/counts") == 0)
        return tell_counts(connection);
    if (strcmp(url, "/requests") == 0)
        return tell_requests(connection);
    if (strcmp(url, "/mode") == 0)
        return set_mode(connection);
    return answer(connection, 404, "", 0, "text/plain", 0);
}

static void forget(void *context, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    struct upload *upload = *state;
    if (upload)
        free(upload->bytes);
    free(upload);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle,
        NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_NOTIFY_COMPLETED,
        forget, NULL, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "count_receiver: %s\n", strerror(errno));
        return 1;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    printf("port %u\n", info->port);
    fflush(stdout);
    char ignored[64];
    while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0)
        continue;
    MHD_stop_daemon(daemon);
    free(ids);
    return 0;
}
