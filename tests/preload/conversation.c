#include "conversation.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *const style_names[IO_STYLES] = {
    "read_write", "send_recv",     "sendto_recvfrom",    "vectors",
    "messages",   "many_messages", "vectors_with_flags", "raw"};

enum io_style io_style_named(const char *name)
{
    for (enum io_style style = 0; style < IO_STYLES; style++) {
        if (strcmp(name, style_names[style]) == 0) {
            return style;
        }
    }
    fprintf(stderr, "no style is called %s\n", name);
    exit(2);
}

void end_init(struct end *end, int fd, enum io_style style, size_t piece)
{
    /* Small pieces would wait for each other's acknowledgement. */
    int yes = 1;
    REQUIRE(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
    end->fd = fd;
    end->style = style;
    end->piece = piece;
    end->have = 0;
}

static ssize_t write_some(struct end *end, const char *bytes, size_t size)
{
    struct iovec vectors[2] = {{(void *)(uintptr_t)bytes, size / 2},
                               {(void *)(uintptr_t)(bytes + size / 2), size - size / 2}};
    struct mmsghdr messages[1] = {{.msg_hdr = {.msg_iov = vectors, .msg_iovlen = 2}}};
    switch (end->style) {
    case IO_READ_WRITE:
        return write(end->fd, bytes, size);
    case IO_SEND_RECV:
        return send(end->fd, bytes, size, MSG_NOSIGNAL);
    case IO_SENDTO_RECVFROM:
        return sendto(end->fd, bytes, size, 0, NULL, 0);
    case IO_VECTORS:
        return writev(end->fd, vectors, 2);
    case IO_MESSAGES:
        return sendmsg(end->fd, &messages[0].msg_hdr, 0);
    case IO_MANY_MESSAGES:
        return sendmmsg(end->fd, messages, 1, 0) == 1 ? (ssize_t)messages[0].msg_len : -1;
    case IO_VECTORS_WITH_FLAGS:
        return pwritev2(end->fd, vectors, 2, -1, 0);
    case IO_RAW:
        return syscall(SYS_write, end->fd, bytes, size);
    case IO_STYLES:
        break;
    }
    return -1;
}

static ssize_t read_some(struct end *end, char *bytes, size_t size)
{
    struct iovec vectors[2] = {{bytes, size / 2}, {bytes + size / 2, size - size / 2}};
    struct mmsghdr messages[1] = {{.msg_hdr = {.msg_iov = vectors, .msg_iovlen = 2}}};
    switch (end->style) {
    case IO_READ_WRITE:
        return read(end->fd, bytes, size);
    case IO_SEND_RECV:
        return recv(end->fd, bytes, size, 0);
    case IO_SENDTO_RECVFROM:
        return recvfrom(end->fd, bytes, size, 0, NULL, NULL);
    case IO_VECTORS:
        return readv(end->fd, vectors, 2);
    case IO_MESSAGES:
        return recvmsg(end->fd, &messages[0].msg_hdr, 0);
    case IO_MANY_MESSAGES:
        return recvmmsg(end->fd, messages, 1, 0, NULL) == 1 ? (ssize_t)messages[0].msg_len : -1;
    case IO_VECTORS_WITH_FLAGS:
        return preadv2(end->fd, vectors, 2, -1, 0);
    case IO_RAW:
        return syscall(SYS_read, end->fd, bytes, size);
    case IO_STYLES:
        break;
    }
    return -1;
}

static bool wait_until(int fd, short events)
{
    struct pollfd ready = {fd, events, 0};
    int count;
    do {
        count = poll(&ready, 1, 15000);
    } while (count < 0 && errno == EINTR);
    return count == 1;
}

bool end_write(struct end *end, const void *bytes, size_t size)
{
    const char *from = bytes;
    while (size > 0) {
        size_t piece = end->piece && end->piece < size ? end->piece : size;
        ssize_t count = write_some(end, from, piece);
        if (count < 0 && errno == EAGAIN) {
            if (!wait_until(end->fd, POLLOUT)) {
                return false;
            }
            continue;
        }
        if (count <= 0) {
            return false;
        }
        from += count;
        size -= (size_t)count;
    }
    return true;
}

/* Adds what there is to the buffer, waiting for at least one byte. */
static bool read_more(struct end *end)
{
    if (end->have == sizeof end->buffer) {
        return false;
    }
    for (;;) {
        size_t room = sizeof end->buffer - end->have;
        ssize_t count = read_some(end, end->buffer + end->have, room);
        if (count > 0) {
            end->have += (size_t)count;
            return true;
        }
        if (count == 0 || errno != EAGAIN || !wait_until(end->fd, POLLIN)) {
            return false;
        }
    }
}

static void consume(struct end *end, size_t size)
{
    end->have -= size;
    memmove(end->buffer, end->buffer + size, end->have);
}

bool end_read(struct end *end, void *bytes, size_t size)
{
    char *to = bytes;
    while (size > 0) {
        if (end->have == 0 && !read_more(end)) {
            return false;
        }
        size_t part = end->have < size ? end->have : size;
        memcpy(to, end->buffer, part);
        consume(end, part);
        to += part;
        size -= part;
    }
    return true;
}

char *end_read_line(struct end *end, char *line, size_t size)
{
    for (;;) {
        char *stop = memchr(end->buffer, '\n', end->have);
        if (stop) {
            size_t length = (size_t)(stop - end->buffer);
            size_t text = length > 0 && stop[-1] == '\r' ? length - 1 : length;
            REQUIRE(text < size);
            memcpy(line, end->buffer, text);
            line[text] = 0;
            consume(end, length + 1);
            return line;
        }
        if (!read_more(end)) {
            return NULL;
        }
    }
}

static bool read_body(struct end *end, struct http_message *message, size_t size)
{
    char bytes[1000];
    while (size > 0) {
        size_t part = size < sizeof bytes ? size : sizeof bytes;
        if (!end_read(end, bytes, part)) {
            return false;
        }
        message->sum = checksum(message->sum, bytes, part);
        size -= part;
    }
    return true;
}

static bool read_chunks(struct end *end, struct http_message *message)
{
    char line[256];
    for (;;) {
        if (!end_read_line(end, line, sizeof line)) {
            return false;
        }
        size_t size = strtoul(line, NULL, 16);
        message->length += size;
        if (!read_body(end, message, size)) {
            return false;
        }
        do {
            if (!end_read_line(end, line, sizeof line)) {
                return false;
            }
        } while (size == 0 && line[0]); /* trailers */
        if (size == 0) {
            return true;
        }
    }
}

bool http_read(struct end *end, struct http_message *message, bool has_body)
{
    char line[1024];
    memset(message, 0, sizeof *message);
    if (!end_read_line(end, line, sizeof line)) {
        return false;
    }
    snprintf(message->start, sizeof message->start, "%.255s", line);
    for (;;) {
        if (!end_read_line(end, line, sizeof line)) {
            return false;
        }
        if (!line[0]) {
            break;
        }
        if (strncasecmp(line, "traceparent:", 12) == 0) {
            message->has_traceparent = true;
            continue;
        }
        if (strncasecmp(line, "tracestate:", 11) == 0 || strncasecmp(line, "baggage:", 8) == 0) {
            continue;
        }
        message->headers++;
        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            message->length = strtoul(line + 15, NULL, 10);
        } else if (strcasecmp(line, "Transfer-Encoding: chunked") == 0) {
            message->is_chunked = true;
        } else if (strcasecmp(line, "Expect: 100-continue") == 0) {
            message->wants_continue = true;
        } else if (strcasecmp(line, "Upgrade: websocket") == 0) {
            message->wants_upgrade = true;
        }
    }
    if (message->wants_continue && !end_write(end, "HTTP/1.1 100 Continue\r\n\r\n", 25)) {
        return false;
    }
    if (!has_body) {
        return true;
    }
    return message->is_chunked ? read_chunks(end, message)
                               : read_body(end, message, message->length);
}

static bool write_body(struct end *end, size_t size, bool is_chunked, unsigned seed)
{
    char bytes[1500];
    char line[32];
    fill(bytes, sizeof bytes, seed);
    while (size > 0) {
        size_t part = size < sizeof bytes ? size : sizeof bytes;
        if (is_chunked) {
            int count = snprintf(line, sizeof line, "%zx\r\n", part);
            if (!end_write(end, line, (size_t)count)) {
                return false;
            }
        }
        if (!end_write(end, bytes, part) || (is_chunked && !end_write(end, "\r\n", 2))) {
            return false;
        }
        size -= part;
    }
    return !is_chunked || end_write(end, "0\r\n\r\n", 5);
}

static bool answer(struct end *end, const struct http_message *request, const char *path,
                   bool is_head)
{
    char head[512];
    size_t size = 0;
    unsigned status = 200;
    bool is_chunked = false;
    if (sscanf(path, "/sized/%zu", &size) != 1 && sscanf(path, "/chunked/%zu", &size) == 1) {
        is_chunked = true;
    }
    sscanf(path, "/status/%u", &status);
    int count = 0;
    if (strcmp(path, "/early") == 0) {
        count = snprintf(head, sizeof head, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    }
    count += snprintf(head + count, sizeof head - (size_t)count,
                      "HTTP/1.1 %u %s\r\nServer: test\r\nX-Sum: %u\r\n", status,
                      status < 400 ? "Fine" : "Not Fine", request->sum);
    if (is_chunked) {
        count +=
            snprintf(head + count, sizeof head - (size_t)count, "Transfer-Encoding: chunked\r\n");
    } else if (status != 204 && status != 304 && strcmp(path, "/close") != 0) {
        count +=
            snprintf(head + count, sizeof head - (size_t)count, "Content-Length: %zu\r\n", size);
    }
    count += snprintf(head + count, sizeof head - (size_t)count, "\r\n");
    size_t piece = end->piece;
    if (strcmp(path, "/slow") == 0) {
        end->piece = 3;
    }
    bool is_good = end_write(end, head, (size_t)count) &&
                   (is_head || write_body(end, size, is_chunked, status));
    end->piece = piece;
    return is_good;
}

unsigned http_serve(struct end *end)
{
    struct http_message request;
    unsigned served = 0;
    while (http_read(end, &request, true)) {
        char method[16], path[128];
        REQUIRE(sscanf(request.start, "%15s %127s", method, path) == 2);
        served++;
        if (!answer(end, &request, path, strcmp(method, "HEAD") == 0) ||
            strcmp(path, "/close") == 0) {
            break;
        }
    }
    return served;
}

bool http_ask(struct end *end, const char *method, const char *path, size_t body_size)
{
    char head[512];
    struct http_message response;
    bool is_chunked = body_size % 2 == 1;
    int count = snprintf(head, sizeof head,
                         "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\n", method, path);
    if (is_chunked) {
        count +=
            snprintf(head + count, sizeof head - (size_t)count, "Transfer-Encoding: chunked\r\n");
    } else if (body_size > 0) {
        count += snprintf(head + count, sizeof head - (size_t)count, "Content-Length: %zu\r\n",
                          body_size);
    }
    count += snprintf(head + count, sizeof head - (size_t)count, "\r\n");
    bool has_body = strcmp(method, "HEAD") != 0 && strcmp(path, "/status/204") != 0 &&
                    strcmp(path, "/status/304") != 0;
    if (!end_write(end, head, (size_t)count) ||
        !write_body(end, body_size, is_chunked, (unsigned)body_size)) {
        say("%s %s: not asked, %s", method, path, errno_name(errno));
        return false;
    }
    do {
        if (!http_read(end, &response, has_body)) {
            say("%s %s: not answered", method, path);
            return false;
        }
    } while (strncmp(response.start, "HTTP/1.1 1", 10) == 0);
    say("%s %s: %s, %u headers, body of %zu, %u", method, path, response.start, response.headers,
        response.length, response.sum);
    return true;
}

bool resp_read(struct end *end, uint32_t *sum)
{
    char line[1024];
    size_t left = 1;
    while (left > 0) {
        if (!end_read_line(end, line, sizeof line)) {
            return false;
        }
        left--;
        *sum = checksum(*sum, line, strlen(line));
        long size = atol(line + 1);
        if (line[0] == '*' || line[0] == '>' || line[0] == '~') {
            left += size > 0 ? (size_t)size : 0;
        } else if (line[0] == '%') {
            left += size > 0 ? (size_t)size * 2 : 0;
        } else if (line[0] == '$' && size >= 0) {
            char bytes[1000];
            size_t rest = (size_t)size + 2;
            while (rest > 0) {
                size_t part = rest < sizeof bytes ? rest : sizeof bytes;
                if (!end_read(end, bytes, part)) {
                    return false;
                }
                *sum = checksum(*sum, bytes, part);
                rest -= part;
            }
        }
    }
    return true;
}

unsigned resp_serve(struct end *end)
{
    unsigned served = 0;
    for (;;) {
        uint32_t sum = 0;
        char reply[128];
        if (!resp_read(end, &sum)) {
            return served;
        }
        int count;
        switch (served++ % 6) {
        case 0:
            count = snprintf(reply, sizeof reply, "+OK %u\r\n", sum);
            break;
        case 1:
            count = snprintf(reply, sizeof reply, ":%u\r\n", sum);
            break;
        case 2:
            count = snprintf(reply, sizeof reply, "$10\r\n%010u\r\n", sum);
            break;
        case 3:
            count = snprintf(reply, sizeof reply, "*3\r\n$-1\r\n:%u\r\n*1\r\n+x\r\n", sum);
            break;
        case 4:
            count = snprintf(reply, sizeof reply, "-ERR sum %u\r\n", sum);
            break;
        default:
            count = snprintf(reply, sizeof reply, "%%1\r\n+sum\r\n:%u\r\n", sum);
            break;
        }
        if (!end_write(end, reply, (size_t)count)) {
            return served;
        }
    }
}
