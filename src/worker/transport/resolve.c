#include "worker/transport/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "worker/transport/system.h"

#define TYPE_A        1u
#define TYPE_AAAA     28u
#define CLASS_IN      1u
#define HEAD_BYTES    12u
#define QUERY_BYTES   (HEAD_BYTES + LIMIT_NAME_BYTES + 2 + 4)
#define CODE_OK       0
#define CODE_NO_NAME  3
#define SEPARATORS    " \t\r\n"
#define LARGEST_NDOTS 15u /* the C library's own bounds of these options */
#define LARGEST_WAIT  30u
#define LARGEST_TRIES 5u

const struct resolve_sources resolve_system_sources = {
    .hosts = "/etc/hosts",
    .servers = "/etc/resolv.conf",
    .port = 53,
};

/* ---- the files ---- */

static bool is_numeric(const char *text)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static void add_address(struct resolve *resolve, const char *text)
{
    if (resolve->address_count < LIMIT_NAME_ADDRESSES && strlen(text) < INET6_ADDRSTRLEN) {
        snprintf(resolve->addresses[resolve->address_count++], INET6_ADDRSTRLEN, "%s", text);
    }
}

static void read_hosts(struct resolve *resolve, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[1024];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "#")] = '\0';
        char *rest;
        const char *address = strtok_r(line, SEPARATORS, &rest);
        if (address == NULL || !is_numeric(address)) {
            continue;
        }
        const char *name;
        while ((name = strtok_r(NULL, SEPARATORS, &rest)) != NULL) {
            if (strcasecmp(name, resolve->host) == 0) {
                add_address(resolve, address);
                break;
            }
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void add_server(struct resolve *resolve, const char *text, uint16_t port)
{
    struct sockaddr_storage server = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&server;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&server;
    if (resolve->server_count == LIMIT_NAME_SERVERS) {
        return;
    }
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
    } else {
        return;
    }
    resolve->servers[resolve->server_count++] = server;
}

static unsigned option_value(const char *option, unsigned largest)
{
    unsigned long value = strtoul(strchr(option, ':') + 1, NULL, 10);
    return value < largest ? (unsigned)value : largest;
}

static void read_option(struct resolve *resolve, const char *option)
{
    if (strncmp(option, "ndots:", 6) == 0) {
        resolve->ndots = option_value(option, LARGEST_NDOTS);
    } else if (strncmp(option, "timeout:", 8) == 0) {
        unsigned seconds = option_value(option, LARGEST_WAIT);
        resolve->timeout_ms = (seconds > 0 ? seconds : 1) * 1000;
    } else if (strncmp(option, "attempts:", 9) == 0) {
        unsigned attempts = option_value(option, LARGEST_TRIES);
        resolve->attempts = attempts > 0 ? attempts : 1;
    }
}

static void read_server_line(struct resolve *resolve, char *line, uint16_t port)
{
    char *rest;
    const char *keyword = strtok_r(line, SEPARATORS, &rest);
    if (keyword == NULL) {
        return;
    }
    bool is_search = strcmp(keyword, "search") == 0 || strcmp(keyword, "domain") == 0;
    if (is_search) {
        resolve->search_count = 0; /* the last line of these wins */
    }
    const char *word;
    while ((word = strtok_r(NULL, SEPARATORS, &rest)) != NULL) {
        if (strcmp(keyword, "nameserver") == 0) {
            add_server(resolve, word, port);
        } else if (strcmp(keyword, "options") == 0) {
            read_option(resolve, word);
        } else if (is_search && resolve->search_count < LIMIT_NAME_SEARCH &&
                   strlen(word) < LIMIT_NAME_BYTES) {
            snprintf(resolve->search[resolve->search_count++], LIMIT_NAME_BYTES, "%s", word);
        }
    }
}

static void read_servers(struct resolve *resolve, const struct resolve_sources *sources)
{
    FILE *file = fopen(sources->servers, "re");
    char line[1024];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "#;")] = '\0';
        read_server_line(resolve, line, sources->port);
    }
    if (file != NULL) {
        fclose(file);
    }
    if (resolve->server_count == 0) {
        add_server(resolve, "127.0.0.1", sources->port);
    }
}

/* ---- candidates ---- */

/* The candidate's full name in `into`; false if there are no more. A name with enough dots is
   tried as it is before the search list, others after it. */
static bool candidate_name(const struct resolve *resolve, char into[static 2 * LIMIT_NAME_BYTES])
{
    const char *host = resolve->host;
    size_t size = strlen(host);
    unsigned dots = 0;
    for (const char *at = host; *at != '\0'; at++) {
        dots += *at == '.';
    }
    bool is_absolute = size > 0 && host[size - 1] == '.';
    size_t count = is_absolute ? 1 : resolve->search_count + 1;
    if (resolve->candidate >= count) {
        return false;
    }
    size_t plain_at = is_absolute || dots >= resolve->ndots ? 0 : resolve->search_count;
    if (resolve->candidate == plain_at) {
        snprintf(into, 2 * LIMIT_NAME_BYTES, "%.*s", (int)(is_absolute ? size - 1 : size), host);
        return true;
    }
    size_t domain = plain_at == 0 ? resolve->candidate - 1 : resolve->candidate;
    snprintf(into, 2 * LIMIT_NAME_BYTES, "%s.%s", host, resolve->search[domain]);
    return true;
}

/* ---- questions ---- */

static void put_16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static unsigned get_16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* RFC 1035 4.1. Returns the size, 0 if `name` is none. */
static size_t write_question(uint8_t query[static QUERY_BYTES], const char *name, uint16_t id,
                             unsigned type)
{
    size_t name_size = strlen(name);
    if (name_size == 0 || name_size >= LIMIT_NAME_BYTES) {
        return 0;
    }
    memset(query, 0, HEAD_BYTES);
    put_16(query, id);
    query[2] = 1; /* recursion desired */
    query[5] = 1; /* one question */
    size_t at = HEAD_BYTES;
    while (*name != '\0') {
        size_t label = strcspn(name, ".");
        if (label == 0 || label > 63) {
            return 0;
        }
        query[at++] = (uint8_t)label;
        for (size_t i = 0; i < label; i++) {
            if ((unsigned char)name[i] >= 0x80) {
                return 0;
            }
            query[at++] = (uint8_t)name[i];
        }
        name += label;
        name += *name == '.';
    }
    query[at++] = 0;
    put_16(query + at, type);
    put_16(query + at + 2, CLASS_IN);
    return at + 4;
}

static bool open_socket(struct resolve *resolve, const struct sockaddr_storage *server)
{
    socklen_t size =
        server->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    resolve->fd = system_socket(server->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
    return resolve->fd >= 0 && system_connect(resolve->fd, server, size) == 0;
}

/* Asks the round's server for both kinds of address. False if that is impossible. */
static bool ask(struct resolve *resolve, const char *name)
{
    const struct sockaddr_storage *server =
        &resolve->servers[resolve->round % resolve->server_count];
    uint8_t query[QUERY_BYTES];
    static const unsigned types[2] = {TYPE_A, TYPE_AAAA};
    resolve_finish(resolve);
    if (!open_socket(resolve, server) ||
        getrandom(resolve->ids, sizeof(resolve->ids), GRND_NONBLOCK) != sizeof(resolve->ids)) {
        return false;
    }
    if (resolve->ids[0] == resolve->ids[1]) {
        resolve->ids[1]++;
    }
    for (size_t i = 0; i < 2; i++) {
        size_t size = write_question(query, name, resolve->ids[i], types[i]);
        if (size == 0 || system_send(resolve->fd, query, size) != (long)size) {
            return false;
        }
        resolve->answered[i] = false;
    }
    resolve->server_failed = false;
    return true;
}

/* Asks the next server, or about the next candidate. False when all are used up. */
static bool ask_next(struct resolve *resolve, int64_t now_ms)
{
    char name[2 * LIMIT_NAME_BYTES];
    while (candidate_name(resolve, name)) {
        while (resolve->round < resolve->server_count * resolve->attempts) {
            if (ask(resolve, name)) {
                resolve->due_ms = now_ms + resolve->timeout_ms;
                return true;
            }
            resolve->round++;
        }
        resolve->candidate++;
        resolve->round = 0;
    }
    return false;
}

/* ---- answers ---- */

/* The position behind a name, or 0 if it is cut off. */
static size_t skip_name(const uint8_t *answer, size_t size, size_t at)
{
    while (at < size) {
        uint8_t label = answer[at];
        if (label >= 0xC0) {
            return at + 2;
        }
        if (label == 0) {
            return at + 1;
        }
        at += 1u + label;
    }
    return 0;
}

/* Takes every address of the answer section, whatever alias it stands under. */
static void take_addresses(struct resolve *resolve, const uint8_t *answer, size_t size)
{
    size_t at = skip_name(answer, size, HEAD_BYTES);
    at += 4;
    unsigned count = get_16(answer + 6);
    for (; count > 0 && at > 4 && at < size; count--) {
        at = skip_name(answer, size, at);
        if (at == 0 || at + 10 > size) {
            return;
        }
        unsigned type = get_16(answer + at);
        unsigned data_size = get_16(answer + at + 8);
        at += 10;
        if (at + data_size > size) {
            return;
        }
        char text[INET6_ADDRSTRLEN];
        if ((type == TYPE_A && data_size == 4 &&
             inet_ntop(AF_INET, answer + at, text, sizeof(text)) != NULL) ||
            (type == TYPE_AAAA && data_size == 16 &&
             inet_ntop(AF_INET6, answer + at, text, sizeof(text)) != NULL)) {
            add_address(resolve, text);
        }
        at += data_size;
    }
}

static void take_answer(struct resolve *resolve, const uint8_t *answer, size_t size)
{
    /* A response (bit 15) to a standard query, with one question. */
    if (size < HEAD_BYTES || (answer[2] & 0xF8) != 0x80 || get_16(answer + 4) != 1) {
        return;
    }
    unsigned id = get_16(answer);
    for (size_t i = 0; i < 2; i++) {
        if (id != resolve->ids[i] || resolve->answered[i]) {
            continue;
        }
        resolve->answered[i] = true;
        int code = answer[3] & 15;
        if (code == CODE_OK) {
            take_addresses(resolve, answer, size);
        } else if (code != CODE_NO_NAME) {
            resolve->server_failed = true;
        }
    }
}

static void receive(struct resolve *resolve)
{
    uint8_t answer[LIMIT_NAME_ANSWER_BYTES];
    long size;
    while ((size = system_receive(resolve->fd, answer, sizeof(answer))) > 0) {
        take_answer(resolve, answer, (size_t)size);
    }
    if (size == -ECONNREFUSED) {
        resolve->server_failed = true;
        resolve->answered[0] = resolve->answered[1] = true;
    }
}

/* ---- the whole ---- */

void resolve_begin(struct resolve *resolve, const char *host, const struct resolve_sources *sources,
                   int64_t now_ms)
{
    *resolve = (struct resolve){
        .host = host,
        .fd = -1,
        .ndots = 1,
        .timeout_ms = 5000,
        .attempts = 2,
    };
    read_hosts(resolve, sources->hosts);
    if (resolve->address_count == 0) {
        read_servers(resolve, sources);
        ask_next(resolve, now_ms);
    }
}

enum resolve_result resolve_step(struct resolve *resolve, int64_t now_ms)
{
    if (resolve->fd < 0) {
        return resolve->address_count > 0 ? RESOLVE_FOUND : RESOLVE_FAILED;
    }
    receive(resolve);
    bool is_answered = resolve->answered[0] && resolve->answered[1];
    bool is_late = now_ms >= resolve->due_ms;
    if (!is_answered && !is_late) {
        return RESOLVE_PENDING;
    }
    if (resolve->address_count > 0) {
        return RESOLVE_FOUND;
    }
    if (is_answered && !resolve->server_failed) {
        resolve->candidate++;
        resolve->round = 0;
    } else {
        resolve->round++;
    }
    if (ask_next(resolve, now_ms)) {
        return RESOLVE_PENDING;
    }
    resolve_finish(resolve);
    return RESOLVE_FAILED;
}

int resolve_descriptor(const struct resolve *resolve, int64_t *due_ms)
{
    *due_ms = resolve->fd >= 0 ? resolve->due_ms : 0;
    return resolve->fd;
}

void resolve_finish(struct resolve *resolve)
{
    if (resolve->fd >= 0) {
        system_close(resolve->fd);
        resolve->fd = -1;
    }
}
