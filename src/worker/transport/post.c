#include "worker/transport/post.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "worker/fork_guard.h"
#include "worker/process_stream.h"
#include "worker/transport/curl_table.h"
#include "worker/transport/header_list.h"
#include "worker/transport/resolve.h"
#include "worker/transport/system.h"

#define NO_TIMER     (-1)
#define USER_AGENT   "wirespan/" WIRESPAN_VERSION " OTel-OTLP-Exporter-C/" WIRESPAN_VERSION
#define FIRST_BUFFER 4096u
/* As long as libcurl keeps what it looked up. */
#define LOOKUP_KEPT_MS 60000
#define LOOKUP_NEVER   INT64_MIN

struct post {
    struct curl_table curl;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    post_header *on_header;
    void *context;
    enum post_http http;

    /* What libcurl wants to be told of; kept by its callbacks. */
    struct pollfd sockets[LIMIT_EXPORT_SOCKETS];
    size_t socket_count;
    int64_t timer_due_ms;

    /* The receiver's name; without one (a numeric address) `host` is empty. */
    char host[LIMIT_NAME_BYTES];
    char port[8];
    struct resolve resolve;
    struct curl_slist *resolved; /* libcurl reads it when the request starts */
    int64_t looked_up_ms;        /* when it was last found */
    bool is_looking_up;

    bool in_flight;
    int64_t begun_ms;
    uint32_t timeout_ms;
    bool has_status_line;
    bool is_too_large;
    uint8_t *body;
    size_t body_size;
    size_t body_capacity;
    char error[CURL_ERROR_SIZE];
};

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3))) static void complain(const struct config *config,
                                                           const char *format, ...)
{
    if (config->log_level == LOG_LEVEL_NONE) {
        return;
    }
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    char line[sizeof(text) + 16];
    int size = snprintf(line, sizeof(line), "wirespan: %s\n", text);
    process_stream_write_stderr(line, (size_t)size);
}

/* ---- libcurl's callbacks ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    (void)easy;
    (void)unused;
    struct post *post = context;
    size_t at = 0;
    while (at < post->socket_count && post->sockets[at].fd != fd) {
        at++;
    }
    if (what == CURL_POLL_REMOVE) {
        if (at < post->socket_count) {
            post->sockets[at] = post->sockets[--post->socket_count];
        }
        return 0;
    }
    if (at == LIMIT_EXPORT_SOCKETS) {
        return -1;
    }
    if (at == post->socket_count) {
        post->socket_count++;
    }
    short events = 0;
    if ((what & CURL_POLL_IN) != 0) {
        events |= POLLIN;
    }
    if ((what & CURL_POLL_OUT) != 0) {
        events |= POLLOUT;
    }
    post->sockets[at] = (struct pollfd){.fd = fd, .events = events};
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct post *post = context;
    post->timer_due_ms = timeout_ms < 0 ? NO_TIMER : monotonic_ms() + timeout_ms;
    return 0;
}

static bool reserve_body(struct post *post, size_t wanted)
{
    if (wanted <= post->body_capacity) {
        return true;
    }
    size_t capacity = post->body_capacity > 0 ? post->body_capacity : FIRST_BUFFER;
    while (capacity < wanted) {
        capacity *= 2;
    }
    uint8_t *grown = realloc(post->body, capacity);
    if (grown == NULL) {
        return false;
    }
    post->body = grown;
    post->body_capacity = capacity;
    return true;
}

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    struct post *post = context;
    if (size > LIMIT_EXPORT_RESPONSE_BYTES - post->body_size) {
        post->is_too_large = true;
        return 0;
    }
    if (!reserve_body(post, post->body_size + size)) {
        return 0;
    }
    memcpy(post->body + post->body_size, data, size);
    post->body_size += size;
    return size;
}

static bool is_line_end(uint8_t byte)
{
    return byte == '\r' || byte == '\n' || byte == ' ' || byte == '\t';
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    struct post *post = context;
    struct slice value = slice_of(data, size);
    while (value.size > 0 && is_line_end(value.data[value.size - 1])) {
        value.size--;
    }
    if (slice_starts_with(value, SLICE("HTTP/"))) {
        post->has_status_line = true;
        post->on_header(post->context, (struct slice){0}, value);
        return size;
    }
    const uint8_t *colon = value.size > 0 ? memchr(value.data, ':', value.size) : NULL;
    if (colon == NULL) {
        return size;
    }
    struct slice name = slice_take(&value, (size_t)(colon - value.data));
    slice_take(&value, 1);
    while (value.size > 0 && is_line_end(value.data[0])) {
        slice_take(&value, 1);
    }
    post->on_header(post->context, name, value);
    return size;
}

/* ---- making the request ---- */

/* Ours decide how the body is read; a configured one of that name would contradict it. */
static bool is_reserved(const char *line)
{
    static const char *const names[] = {"content-type",  "content-length", "content-encoding",
                                        "grpc-encoding", "grpc-timeout",   "te",
                                        "expect",        "connection",     "transfer-encoding"};
    struct slice name = slice_of(line, strcspn(line, ":;"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_equals_ignoring_case(name, slice_of(names[i], strlen(names[i])))) {
            return true;
        }
    }
    return false;
}

static bool add_header(struct post *post, const char *line)
{
    struct curl_slist *grown = post->curl.slist_append(post->headers, line);
    if (grown == NULL) {
        return false;
    }
    post->headers = grown;
    return true;
}

static bool add_configured_headers(struct post *post, const struct config *config)
{
    struct slice list = config->headers;
    char *line = malloc(HEADER_LINE_CAPACITY(list.size));
    if (line == NULL) {
        return false;
    }
    bool added = true;
    unsigned position = 0;
    enum header_result result = HEADER_LINE;
    while (added && result != HEADER_END) {
        result = header_list_next(&list, post->http == POST_HTTP_2, line);
        position++;
        if (result == HEADER_INVALID || (result == HEADER_LINE && is_reserved(line))) {
            complain(config, "entry %u of OTEL_EXPORTER_OTLP_HEADERS cannot be sent, left out",
                     position);
        } else if (result == HEADER_LINE) {
            added = add_header(post, line);
        }
    }
    free(line);
    return added;
}

static bool add_headers(struct post *post, const struct config *config, const char *const *headers)
{
    /* No wait of a second for "100 Continue". */
    bool added = add_header(post, "Expect:");
    for (; added && *headers != NULL; headers++) {
        added = add_header(post, *headers);
    }
    return added && add_configured_headers(post, config);
}

/* Files named in the configuration are not NUL-terminated; libcurl copies the text. */
static CURLcode set_file(struct post *post, CURLoption option, struct slice path)
{
    if (path.size == 0) {
        return CURLE_OK;
    }
    char *text = strndup((const char *)path.data, path.size);
    if (text == NULL) {
        return CURLE_OUT_OF_MEMORY;
    }
    CURLcode code = post->curl.easy_setopt(post->easy, option, text);
    free(text);
    return code;
}

static long http_version(enum post_http http, const char *url)
{
    if (http == POST_HTTP_1_1) {
        return CURL_HTTP_VERSION_1_1;
    }
    bool is_tls = strncmp(url, "https:", strlen("https:")) == 0;
    return is_tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

/* libcurl 7.87 and 7.88 put a second HTTP/2 layer on a kept connection without TLS, which breaks it
   (curl's pull request 10643): there every request has its own. */
static bool can_keep_connection(const struct post *post, long version)
{
    unsigned libcurl = post->curl.version_info(CURLVERSION_NOW)->version_num;
    return version != CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE || libcurl < 0x075700 ||
           libcurl >= 0x080000;
}

static CURLcode set_connection_options(struct post *post, const struct config *config,
                                       const char *url)
{
    const struct curl_table *curl = &post->curl;
    CURL *easy = post->easy;
    /* Unknown to older versions, and nothing depends on it: a name being looked up when the time
       is over is left behind instead of waited for. */
    curl->easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* The proxy variables of the environment would be read while the application writes it. */
    curl->easy_setopt(easy, CURLOPT_PROXY, "");
    curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    long version = http_version(post->http, url);
    curl->easy_setopt(easy, CURLOPT_FORBID_REUSE, can_keep_connection(post, version) ? 0L : 1L);
    CURLcode code = curl->easy_setopt(easy, CURLOPT_URL, url);
    if (code == CURLE_OK) {
        code = curl->easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
    }
    if (code == CURLE_OK) {
        code = set_file(post, CURLOPT_CAINFO, config->certificate);
    }
    if (code == CURLE_OK) {
        code = set_file(post, CURLOPT_SSLKEY, config->client_key);
    }
    if (code == CURLE_OK) {
        code = set_file(post, CURLOPT_SSLCERT, config->client_certificate);
    }
    return code;
}

static void set_message_options(struct post *post)
{
    const struct curl_table *curl = &post->curl;
    CURL *easy = post->easy;
    curl->easy_setopt(easy, CURLOPT_POST, 1L);
    curl->easy_setopt(easy, CURLOPT_HTTPHEADER, post->headers);
    curl->easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
    curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, post->error);
    curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl->easy_setopt(easy, CURLOPT_WRITEDATA, post);
    curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl->easy_setopt(easy, CURLOPT_HEADERDATA, post);
    /* An answer without a status line is read as a body: its first bytes tell what it is. */
    curl->easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 1L);
}

static void set_multi_options(struct post *post)
{
    const struct curl_table *curl = &post->curl;
    /* Sockets by callback: curl_multi_fdset fails in a process with more than 1024 open files. */
    curl->multi_setopt(post->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl->multi_setopt(post->multi, CURLMOPT_SOCKETDATA, post);
    curl->multi_setopt(post->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl->multi_setopt(post->multi, CURLMOPT_TIMERDATA, post);
    curl->multi_setopt(post->multi, CURLMOPT_MAXCONNECTS, 1L);
}

void post_describe_place(const char *url, char *into, size_t capacity)
{
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end != NULL ? scheme_end + 3 : url;
    size_t authority = strcspn(host, "/?#");
    for (size_t i = authority; i > 0; i--) {
        if (host[i - 1] == '@') {
            host += i;
            break;
        }
    }
    snprintf(into, capacity, "%.*s%.*s", scheme_end != NULL ? (int)(scheme_end + 3 - url) : 0, url,
             (int)strcspn(host, "?#"), host);
}

/* Splits host and port off; only a name needs to be looked up. */
static void find_host(struct post *post, const char *url)
{
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end != NULL ? scheme_end + 3 : url;
    const char *end = host + strcspn(host, "/?#");
    const char *at = memrchr(host, '@', (size_t)(end - host));
    host = at != NULL ? at + 1 : host;
    const char *colon = memchr(host, ':', (size_t)(end - host));
    size_t size = (size_t)((colon != NULL ? colon : end) - host);
    bool is_tls = strncmp(url, "https:", strlen("https:")) == 0;
    struct in_addr numeric;
    if (host[0] == '[' || size == 0 || size >= sizeof(post->host)) {
        return;
    }
    memcpy(post->host, host, size);
    snprintf(post->port, sizeof(post->port), "%.*s", colon != NULL ? (int)(end - colon - 1) : 3,
             colon != NULL ? colon + 1 : (is_tls ? "443" : "80"));
    if (inet_pton(AF_INET, post->host, &numeric) == 1) {
        post->host[0] = '\0';
    }
}

static bool has_feature(const struct post *post, int feature)
{
    return (post->curl.version_info(CURLVERSION_NOW)->features & feature) != 0;
}

static bool prepare(struct post *post, const struct config *config,
                    const struct post_options *options)
{
    char why[256];
    if (!curl_table_load(&post->curl, curl_table_names, why, sizeof(why))) {
        complain(config, "%s; nothing is exported by OTLP", why);
        return false;
    }
    if (post->http == POST_HTTP_2 && !has_feature(post, CURL_VERSION_HTTP2)) {
        complain(config, "this libcurl has no HTTP/2, so no OTLP over gRPC: set "
                         "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf");
        return false;
    }
    post->multi = post->curl.multi_init();
    post->easy = post->curl.easy_init();
    if (post->multi == NULL || post->easy == NULL || !add_headers(post, config, options->headers)) {
        complain(config, "no memory for the OTLP exporter");
        return false;
    }
    CURLcode code = set_connection_options(post, config, options->url);
    if (code != CURLE_OK) {
        char place[256];
        post_describe_place(options->url, place, sizeof(place));
        complain(config, "cannot export to %s: %s", place, post->curl.easy_strerror(code));
        return false;
    }
    set_message_options(post);
    set_multi_options(post);
    return true;
}

static struct post *destroy(struct post *post);

static struct post *create(const struct config *config, const struct post_options *options)
{
    struct post *post = calloc(1, sizeof(*post));
    if (post == NULL) {
        complain(config, "no memory for the OTLP exporter");
        return NULL;
    }
    post->http = options->http;
    post->on_header = options->on_header;
    post->context = options->context;
    post->timer_due_ms = NO_TIMER;
    post->timeout_ms = config->timeout_ms;
    post->looked_up_ms = LOOKUP_NEVER;
    post->resolve.fd = -1;
    find_host(post, options->url);
    if (!prepare(post, config, options)) {
        return destroy(post);
    }
    return post;
}

/* ---- running it ---- */

/* What is left of the time limit; 0: none was set. At least 1, for libcurl's 0 means none. */
static long left_ms(const struct post *post)
{
    if (post->timeout_ms == 0) {
        return 0;
    }
    int64_t left = post->begun_ms + post->timeout_ms - monotonic_ms();
    return left > 0 ? (long)left : 1;
}

static bool is_out_of_time(const struct post *post)
{
    return post->timeout_ms > 0 && monotonic_ms() >= post->begun_ms + post->timeout_ms;
}

static int start_transfer(struct post *post)
{
    post->curl.easy_setopt(post->easy, CURLOPT_TIMEOUT_MS, left_ms(post));
    return post->curl.multi_add_handle(post->multi, post->easy) == CURLM_OK ? 0 : -ENOMEM;
}

static int begin(struct post *post, struct slice body)
{
    post->body_size = 0;
    post->is_too_large = false;
    post->has_status_line = false;
    post->error[0] = '\0';
    post->begun_ms = monotonic_ms();
    post->curl.easy_setopt(post->easy, CURLOPT_POSTFIELDS, body.data);
    post->curl.easy_setopt(post->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    bool is_known = post->host[0] == '\0' || (post->looked_up_ms != LOOKUP_NEVER &&
                                              post->begun_ms < post->looked_up_ms + LOOKUP_KEPT_MS);
    int result = 0;
    if (is_known) {
        result = start_transfer(post);
    } else {
        resolve_begin(&post->resolve, post->host, &resolve_system_sources, post->begun_ms);
        post->is_looking_up = true;
    }
    post->in_flight = result == 0;
    return result;
}

/* Gives libcurl the addresses: "host:port:address,[address]". */
static void hand_over_addresses(struct post *post)
{
    char entry[LIMIT_NAME_BYTES + sizeof(post->port) +
               LIMIT_NAME_ADDRESSES * (INET6_ADDRSTRLEN + 3) + 1];
    size_t size = (size_t)snprintf(entry, sizeof(entry), "%s:%s:", post->host, post->port);
    for (size_t i = 0; i < post->resolve.address_count; i++) {
        const char *address = post->resolve.addresses[i];
        bool is_v6 = strchr(address, ':') != NULL;
        size += (size_t)snprintf(entry + size, sizeof(entry) - size, "%s%s%s%s", i > 0 ? "," : "",
                                 is_v6 ? "[" : "", address, is_v6 ? "]" : "");
    }
    struct curl_slist *list = post->curl.slist_append(NULL, entry);
    if (list != NULL) {
        post->curl.easy_setopt(post->easy, CURLOPT_RESOLVE, list);
        post->curl.slist_free_all(post->resolved);
        post->resolved = list;
        post->looked_up_ms = monotonic_ms();
    }
}

/* 0 once the transfer has started, -EINPROGRESS while the name is being looked up, or another
   negative errno. What is not found is left to libcurl, which knows more sources, or to what it was
   told before. */
static int look_up(struct post *post)
{
    if (!post->is_looking_up) {
        return 0;
    }
    enum resolve_result result = resolve_step(&post->resolve, monotonic_ms());
    if (result == RESOLVE_PENDING && !is_out_of_time(post)) {
        return -EINPROGRESS;
    }
    if (result == RESOLVE_FOUND) {
        hand_over_addresses(post);
    }
    resolve_finish(&post->resolve);
    post->is_looking_up = false;
    /* Out of time, libcurl says so at its first step. */
    return start_transfer(post);
}

static void hand_over_events(struct post *post)
{
    struct pollfd ready[LIMIT_EXPORT_SOCKETS];
    size_t count = post->socket_count;
    memcpy(ready, post->sockets, sizeof(ready));
    int running;
    if (count > 0 && system_poll_now(ready, count) > 0) {
        for (size_t i = 0; i < count; i++) {
            int events = 0;
            events |= (ready[i].revents & (POLLIN | POLLHUP)) != 0 ? CURL_CSELECT_IN : 0;
            events |= (ready[i].revents & POLLOUT) != 0 ? CURL_CSELECT_OUT : 0;
            events |= (ready[i].revents & (POLLERR | POLLNVAL)) != 0 ? CURL_CSELECT_ERR : 0;
            if (events != 0) {
                post->curl.multi_socket_action(post->multi, ready[i].fd, events, &running);
            }
        }
    }
    if (post->timer_due_ms != NO_TIMER && monotonic_ms() >= post->timer_due_ms) {
        post->timer_due_ms = NO_TIMER;
        post->curl.multi_socket_action(post->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

static enum post_failure failure_of(const struct post *post, CURLcode code)
{
    if (post->is_too_large) {
        return POST_TOO_LARGE;
    }
    if (!post->has_status_line && post->body_size > 0) {
        return POST_NOT_HTTP;
    }
    if (code == CURLE_OK) {
        return POST_ANSWERED;
    }
    bool never = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
                 code == CURLE_NOT_BUILT_IN;
    return never ? POST_UNUSABLE : POST_BROKEN;
}

static bool is_mute(const struct post *post, CURLcode code)
{
    return !post->has_status_line &&
           (code == CURLE_GOT_NOTHING || code == CURLE_HTTP2 || code == CURLE_WEIRD_SERVER_REPLY ||
            code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR);
}

static void fill_answer(struct post *post, CURLcode code, struct post_answer *answer)
{
    long version = CURL_HTTP_VERSION_NONE;
    *answer = (struct post_answer){.failure = failure_of(post, code),
                                   .is_reset = code == CURLE_HTTP2_STREAM,
                                   .is_mute = is_mute(post, code),
                                   .body = slice_of(post->body, post->body_size)};
    if (post->has_status_line) {
        post->curl.easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &answer->status);
    }
    post->curl.easy_getinfo(post->easy, CURLINFO_HTTP_VERSION, &version);
    answer->is_http2 = version == CURL_HTTP_VERSION_2_0;
    if (code != CURLE_OK) {
        snprintf(answer->error, sizeof(answer->error), "%.*s", (int)sizeof(answer->error) - 1,
                 post->error[0] != '\0' ? post->error : post->curl.easy_strerror(code));
    }
}

static bool step(struct post *post, struct post_answer *answer)
{
    int result = post->in_flight ? look_up(post) : -EINPROGRESS;
    if (result == -EINPROGRESS) {
        return false;
    }
    if (result < 0) {
        fill_answer(post, CURLE_OUT_OF_MEMORY, answer);
        post->in_flight = false;
        return true;
    }
    hand_over_events(post);
    int left;
    const CURLMsg *message = post->curl.multi_info_read(post->multi, &left);
    if (message == NULL || message->msg != CURLMSG_DONE) {
        return false;
    }
    CURLcode code = message->data.result;
    fill_answer(post, code, answer);
    post->curl.multi_remove_handle(post->multi, post->easy);
    post->in_flight = false;
    return true;
}

static void lower_timeout(int64_t due_ms, int *timeout_ms)
{
    int64_t left = due_ms - monotonic_ms();
    left = left < 0 ? 0 : left;
    if (*timeout_ms < 0 || left < *timeout_ms) {
        *timeout_ms = (int)left;
    }
}

size_t post_descriptors(const struct post *post, struct pollfd *into, size_t capacity,
                        int *timeout_ms)
{
    if (!post->in_flight) {
        return 0;
    }
    if (post->is_looking_up) {
        int64_t due_ms;
        int fd = resolve_descriptor(&post->resolve, &due_ms);
        int64_t limit_ms = post->begun_ms + post->timeout_ms;
        lower_timeout(post->timeout_ms > 0 && limit_ms < due_ms ? limit_ms : due_ms, timeout_ms);
        if (fd < 0 || capacity == 0) {
            return 0;
        }
        into[0] = (struct pollfd){.fd = fd, .events = POLLIN};
        return 1;
    }
    size_t count = post->socket_count < capacity ? post->socket_count : capacity;
    memcpy(into, post->sockets, count * sizeof(*into));
    if (post->timer_due_ms != NO_TIMER) {
        lower_timeout(post->timer_due_ms, timeout_ms);
    }
    return count;
}

static void cancel(struct post *post)
{
    if (post->is_looking_up) {
        resolve_finish(&post->resolve);
        post->is_looking_up = false;
    } else if (post->in_flight) {
        post->curl.multi_remove_handle(post->multi, post->easy);
    }
    post->in_flight = false;
}

static struct post *destroy(struct post *post)
{
    if (post == NULL) {
        return NULL;
    }
    if (post->multi != NULL && post->easy != NULL) {
        cancel(post);
    }
    if (post->easy != NULL) {
        post->curl.easy_cleanup(post->easy);
    }
    if (post->multi != NULL) {
        post->curl.multi_cleanup(post->multi);
    }
    if (post->headers != NULL) {
        post->curl.slist_free_all(post->headers);
    }
    if (post->resolved != NULL) {
        post->curl.slist_free_all(post->resolved);
    }
    free(post->body);
    free(post);
    return NULL;
}

/* ---- what callers see: all of it under the fork guard ---- */

struct post *post_create(const struct config *config, const struct post_options *options)
{
    fork_guard_enter();
    struct post *result = create(config, options);
    fork_guard_leave();
    return result;
}

int post_begin(struct post *post, struct slice body)
{
    fork_guard_enter();
    int result = begin(post, body);
    fork_guard_leave();
    return result;
}

bool post_step(struct post *post, struct post_answer *answer)
{
    fork_guard_enter();
    bool result = step(post, answer);
    fork_guard_leave();
    return result;
}

void post_cancel(struct post *post)
{
    fork_guard_enter();
    cancel(post);
    fork_guard_leave();
}

struct post *post_destroy(struct post *post)
{
    fork_guard_enter();
    struct post *result = destroy(post);
    fork_guard_leave();
    return result;
}
