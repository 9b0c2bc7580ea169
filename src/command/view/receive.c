#include "command/view/receive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <rpc_status.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/limits.h"
#include "base/slice.h"
#include "command/view/buffer.h"
#include "command/view/decode.h"

/* A client that stays silent for so long is disconnected: twice an exporter's usual interval. */
#define CONNECTION_TIMEOUT_SECONDS 120u

#define TYPE_PROTOBUF "application/x-protobuf"
#define TYPE_JSON     "application/json"

struct receiver {
    const struct receiver_sink *sink;
    struct MHD_Daemon *daemon;
    int descriptor;
    size_t body_bytes; /* of all requests that are arriving */
    char address[RECEIVER_ADDRESS_BYTES];
};

enum encoding { ENCODING_OTHER, ENCODING_PROTOBUF, ENCODING_JSON };

/* A request that is arriving. */
struct request {
    struct receiver *receiver;
    enum encoding encoding;
    bool is_gzip;
    unsigned refused; /* the HTTP status that it gets whatever its body says; 0: none yet */
    const char *why;
    struct buffer body;
};

/* ---- answers ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              const void *body, size_t size)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    }
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "POST");
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_json(struct MHD_Connection *connection, unsigned status,
                                   json_t *document)
{
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    if (text == NULL) {
        return MHD_NO;
    }
    enum MHD_Result result = answer(connection, status, TYPE_JSON, text, strlen(text));
    free(text);
    return result;
}

static enum MHD_Result answer_message(struct MHD_Connection *connection, unsigned status,
                                      const ProtobufCMessage *message)
{
    uint8_t bytes[DECODE_WHY_BYTES + 64];
    if (protobuf_c_message_get_packed_size(message) > sizeof(bytes)) {
        return MHD_NO;
    }
    size_t size = protobuf_c_message_pack(message, bytes);
    return answer(connection, status, TYPE_PROTOBUF, bytes, size);
}

static enum MHD_Result refuse(struct MHD_Connection *connection, const struct request *request,
                              unsigned status, const char *why)
{
    const struct receiver_sink *sink = request->receiver->sink;
    char text[DECODE_WHY_BYTES + 64];
    snprintf(text, sizeof(text), "a request was refused (HTTP %u): %s", status, why);
    sink->complain(sink->context, text);
    if (request->encoding == ENCODING_JSON) {
        return answer_json(connection, status, json_pack("{s:s}", "message", why));
    }
    if (request->encoding == ENCODING_PROTOBUF) {
        Rpc__Status reply;
        char copy[DECODE_WHY_BYTES];
        rpc__status__init(&reply);
        snprintf(copy, sizeof(copy), "%s", why);
        reply.message = copy;
        return answer_message(connection, status, &reply.base);
    }
    return answer(connection, status, "text/plain", why, strlen(why));
}

static enum MHD_Result accept_all(struct MHD_Connection *connection, const struct request *request)
{
    return request->encoding == ENCODING_JSON
               ? answer(connection, MHD_HTTP_OK, TYPE_JSON, "{}", 2)
               : answer(connection, MHD_HTTP_OK, TYPE_PROTOBUF, "", 0);
}

static enum MHD_Result accept_some(struct MHD_Connection *connection, const struct request *request,
                                   uint64_t rejected)
{
    char text[] = "spans without a valid trace id or span id";
    if (request->encoding == ENCODING_JSON) {
        char number[24];
        snprintf(number, sizeof(number), "%" PRIu64, rejected);
        return answer_json(connection, MHD_HTTP_OK,
                           json_pack("{s:{s:s,s:s}}", "partialSuccess", "rejectedSpans", number,
                                     "errorMessage", text));
    }
    Otlp__ExportTracePartialSuccess partial;
    Otlp__ExportTraceServiceResponse reply;
    otlp__export_trace_partial_success__init(&partial);
    otlp__export_trace_service_response__init(&reply);
    partial.rejected_spans = (int64_t)rejected;
    partial.error_message = text;
    reply.partial_success = &partial;
    return answer_message(connection, MHD_HTTP_OK, &reply.base);
}

/* ---- the body ---- */

/* `body` without its gzip. Returns the HTTP status of a refusal, or 0. */
static unsigned decompress(struct buffer *plain, struct slice body, const char **why)
{
    z_stream stream = {
        .next_in = (Bytef *)(uintptr_t)body.data,
        .avail_in = (uInt)body.size,
    };
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) {
        *why = "no memory";
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    int result = Z_OK;
    while (result == Z_OK && plain->used <= LIMIT_EXPORT_REQUEST_BYTES) {
        char *room = buffer_reserve(plain, 65536);
        if (room == NULL) {
            break;
        }
        stream.next_out = (Bytef *)room;
        stream.avail_out = 65536;
        result = inflate(&stream, Z_NO_FLUSH);
        plain->used += 65536 - stream.avail_out;
    }
    inflateEnd(&stream);
    if (plain->used > LIMIT_EXPORT_REQUEST_BYTES) {
        *why = "longer than 64 MiB without its compression";
        return MHD_HTTP_CONTENT_TOO_LARGE;
    }
    if (plain->failed || result == Z_MEM_ERROR) {
        *why = "no memory";
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    *why = "not gzip, as Content-Encoding says";
    return result == Z_STREAM_END ? 0 : MHD_HTTP_BAD_REQUEST;
}

static enum MHD_Result take_message(struct MHD_Connection *connection,
                                    const struct request *request, struct slice body)
{
    const struct receiver_sink *sink = request->receiver->sink;
    char why[DECODE_WHY_BYTES];
    Otlp__ExportTraceServiceRequest *message =
        request->encoding == ENCODING_JSON ? decode_json(body, why) : decode_protobuf(body, why);
    if (message == NULL) {
        return refuse(connection, request, MHD_HTTP_BAD_REQUEST, why);
    }
    uint64_t rejected = sink->take(sink->context, message);
    otlp__export_trace_service_request__free_unpacked(message, NULL);
    return rejected == 0 ? accept_all(connection, request)
                         : accept_some(connection, request, rejected);
}

static enum MHD_Result finish_request(struct MHD_Connection *connection,
                                      const struct request *request)
{
    if (request->refused != 0) {
        return refuse(connection, request, request->refused, request->why);
    }
    struct slice body = slice_of(request->body.bytes, request->body.used);
    if (!request->is_gzip) {
        return take_message(connection, request, body);
    }
    struct buffer plain = {0};
    const char *why = "";
    unsigned status = decompress(&plain, body, &why);
    enum MHD_Result result =
        status != 0 ? refuse(connection, request, status, why)
                    : take_message(connection, request, slice_of(plain.bytes, plain.used));
    buffer_finish(&plain);
    return result;
}

static void refuse_later(struct request *request, unsigned status, const char *why)
{
    if (request->refused == 0) {
        request->refused = status;
        request->why = why;
    }
    request->receiver->body_bytes -= request->body.used;
    buffer_finish(&request->body);
}

/* What is refused is still read, so that the client gets to see the answer. */
static void take_body(struct request *request, const char *bytes, size_t size)
{
    struct receiver *receiver = request->receiver;
    if (request->refused != 0) {
        return;
    }
    if (size > LIMIT_EXPORT_REQUEST_BYTES - request->body.used) {
        refuse_later(request, MHD_HTTP_CONTENT_TOO_LARGE, "longer than 64 MiB");
    } else if (size > LIMIT_EXPORT_REQUEST_BYTES - receiver->body_bytes) {
        refuse_later(request, MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests at once");
    } else {
        buffer_append(&request->body, bytes, size);
        if (request->body.failed) {
            refuse_later(request, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory");
        } else {
            receiver->body_bytes += size;
        }
    }
}

/* ---- the head ---- */

/* Compares the media type before any parameters. */
static bool is_type(const char *value, const char *type)
{
    size_t size = strcspn(value, "; \t");
    return slice_equals_ignoring_case(slice_of(value, size), slice_of(type, strlen(type)));
}

static void judge_head(struct MHD_Connection *connection, struct request *request, const char *path,
                       const char *method)
{
    const char *type =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    const char *coding =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_ENCODING);
    if (type != NULL && is_type(type, TYPE_PROTOBUF)) {
        request->encoding = ENCODING_PROTOBUF;
    } else if (type != NULL && is_type(type, TYPE_JSON)) {
        request->encoding = ENCODING_JSON;
    }
    request->is_gzip = coding != NULL && is_type(coding, "gzip");
    if (strcmp(path, "/v1/traces") != 0) {
        refuse_later(request, MHD_HTTP_NOT_FOUND, "only traces are received here: POST /v1/traces");
    } else if (strcmp(method, MHD_HTTP_METHOD_POST) != 0) {
        refuse_later(request, MHD_HTTP_METHOD_NOT_ALLOWED, "traces come by POST");
    } else if (request->encoding == ENCODING_OTHER) {
        refuse_later(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                     "Content-Type must be " TYPE_PROTOBUF " or " TYPE_JSON);
    } else if (coding != NULL && !request->is_gzip && !is_type(coding, "identity")) {
        refuse_later(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Encoding must be gzip");
    }
}

/* Called at the head, for each part of the body, and at the end. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **state)
{
    struct request *request = *state;
    (void)version;
    if (request == NULL) {
        request = calloc(1, sizeof(*request));
        if (request == NULL) {
            return MHD_NO;
        }
        request->receiver = context;
        judge_head(connection, request, path, method);
        *state = request;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        take_body(request, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    return finish_request(connection, request);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct receiver *receiver = context;
    struct request *request = *state;
    (void)connection;
    (void)why;
    if (request != NULL) {
        receiver->body_bytes -= request->body.used;
        buffer_finish(&request->body);
        free(request);
        *state = NULL;
    }
}

/* ---- listening ---- */

/* Splits HOST:PORT, [HOST]:PORT or PORT. */
static bool split_address(const char *address, char *host, size_t host_size, const char **port)
{
    const char *colon = strrchr(address, ':');
    const char *begin = address;
    const char *end = colon;
    *port = colon != NULL ? colon + 1 : address;
    if (colon == NULL) {
        begin = "127.0.0.1";
        end = begin + strlen(begin);
    } else if (address[0] == '[') {
        begin = address + 1;
        end = colon > address && colon[-1] == ']' ? colon - 1 : NULL;
    } else if (memchr(address, ':', (size_t)(colon - address)) != NULL) {
        end = NULL; /* IPv6 without brackets */
    }
    if (end == NULL || end <= begin || (size_t)(end - begin) >= host_size || (*port)[0] == '\0' ||
        (*port)[strspn(*port, "0123456789")] != '\0') {
        return false;
    }
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    return true;
}

static int open_listener(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
                    bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, 128) != 0)) {
        int error = errno;
        close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}

static int listen_on(const char *address, char *why, size_t why_size)
{
    char host[RECEIVER_ADDRESS_BYTES];
    const char *port;
    if (!split_address(address, host, sizeof(host), &port)) {
        snprintf(why, why_size, "'%s' is no address: use HOST:PORT, [IPV6]:PORT or PORT", address);
        return -1;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error != 0) {
        snprintf(why, why_size, "cannot listen on %s: %s", address, gai_strerror(error));
        return -1;
    }
    int fd = open_listener(found);
    if (fd < 0) {
        snprintf(why, why_size, "cannot listen on %s: %s", address, strerror(errno));
    }
    freeaddrinfo(found);
    return fd;
}

static void name_address(struct receiver *receiver, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "";
    char port[8] = "";
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
        getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    }
    snprintf(receiver->address, sizeof(receiver->address),
             strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

static bool start_daemon(struct receiver *receiver, int fd)
{
    receiver->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, receiver,
                                        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                        LIMIT_VIEW_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                                        CONNECTION_TIMEOUT_SECONDS, MHD_OPTION_NOTIFY_COMPLETED,
                                        on_completed, receiver, MHD_OPTION_END);
    if (receiver->daemon == NULL) {
        return false;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(receiver->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    receiver->descriptor = info != NULL ? info->epoll_fd : -1;
    return receiver->descriptor >= 0;
}

struct receiver *receiver_create(const char *address, const struct receiver_sink *sink, char *why,
                                 size_t why_size)
{
    int fd = listen_on(address, why, why_size);
    if (fd < 0) {
        return NULL;
    }
    struct receiver *receiver = calloc(1, sizeof(*receiver));
    if (receiver == NULL) {
        close(fd);
        snprintf(why, why_size, "no memory");
        return NULL;
    }
    receiver->sink = sink;
    name_address(receiver, fd);
    if (!start_daemon(receiver, fd)) {
        snprintf(why, why_size, "the HTTP server did not start");
        if (receiver->daemon == NULL) {
            close(fd); /* a running server owns it */
        }
        return receiver_destroy(receiver);
    }
    return receiver;
}

const char *receiver_address(const struct receiver *receiver)
{
    return receiver->address;
}

int receiver_descriptor(const struct receiver *receiver)
{
    return receiver->descriptor;
}

int receiver_timeout_ms(const struct receiver *receiver)
{
    MHD_UNSIGNED_LONG_LONG timeout = 0;
    if (MHD_get_timeout(receiver->daemon, &timeout) != MHD_YES) {
        return -1;
    }
    return timeout < 60000 ? (int)timeout : 60000;
}

void receiver_step(struct receiver *receiver)
{
    MHD_run(receiver->daemon);
}

struct receiver *receiver_destroy(struct receiver *receiver)
{
    if (receiver != NULL) {
        if (receiver->daemon != NULL) {
            MHD_stop_daemon(receiver->daemon);
        }
        free(receiver);
    }
    return NULL;
}
