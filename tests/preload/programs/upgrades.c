/* Connections that stop being HTTP: WebSocket, CONNECT, an upgrade that is refused, and requests
   that are cut, huge or broken. */
#include <signal.h>
#include <unistd.h>

#include "conversation.h"

static struct end client, server;

static void open_pair(void)
{
    int pair[2];
    tcp_pair(pair);
    end_init(&client, pair[0], IO_SEND_RECV, 0);
    end_init(&server, pair[1], IO_READ_WRITE, 0);
}

static void close_pair(void)
{
    REQUIRE(close(client.fd) == 0 && close(server.fd) == 0);
}

static void tell(struct end *from, const char *text)
{
    REQUIRE(end_write(from, text, strlen(text)));
}

/* Bytes both ways that must arrive exactly as they were sent. */
static void opaque(const char *label)
{
    uint8_t out[2000], in[2000];
    uint32_t sum = 0;
    for (unsigned i = 0; i < 50; i++) {
        size_t size = 1 + i * 41 % sizeof out;
        fill(out, size, i);
        if (i % 5 == 0 && size > 60) {
            memcpy(out, "GET /inside HTTP/1.1\r\nHost: localhost\r\n\r\n", 41);
        }
        struct end *from = i % 2 ? &client : &server;
        struct end *to = i % 2 ? &server : &client;
        REQUIRE(end_write(from, out, size) && end_read(to, in, size));
        if (memcmp(in, out, size) != 0) {
            say("%s: message %u is different", label, i);
        }
        sum = checksum(sum, in, size);
    }
    say("%s: %u", label, sum);
}

static void frame(struct end *from, struct end *to, unsigned first, const char *text, bool masked)
{
    uint8_t out[200] = {(uint8_t)first, (uint8_t)strlen(text)};
    uint8_t in[200];
    size_t size = 2;
    if (masked) {
        out[1] |= 0x80;
        memcpy(out + 2, "\x01\x02\x03\x04", 4);
        size = 6;
    }
    for (size_t i = 0; text[i]; i++) {
        out[size++] = (uint8_t)(masked ? text[i] ^ (int)(1 + i % 4) : text[i]);
    }
    REQUIRE(end_write(from, out, size) && end_read(to, in, size));
    say("frame %02x of %zu: %s", first, size, memcmp(in, out, size) == 0 ? "as sent" : "different");
}

static void web_socket(void)
{
    struct http_message request;
    open_pair();
    tell(&client, "GET /ws?client=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    REQUIRE(http_read(&server, &request, true));
    say("%s, %u headers, upgrade %d", request.start, request.headers, request.wants_upgrade);
    tell(&server,
         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    REQUIRE(http_read(&client, &request, false));
    say("%s", request.start);
    frame(&client, &server, 0x81, "{\"type\":\"prompt\",\"prompt_id\":\"1\"}", true);
    frame(&server, &client, 0x81, "{\"type\":\"executing\",\"data\":{}}", false);
    frame(&server, &client, 0x89, "ping", false);
    frame(&client, &server, 0x8a, "ping", true);
    frame(&client, &server, 0x01, "first ", true);
    frame(&client, &server, 0x80, "last", true);
    frame(&server, &client, 0xc1, "deflated?", false);
    frame(&client, &server, 0x81, "GET / HTTP/1.1\r\nHost: inside\r\n\r\n", true);
    frame(&server, &client, 0x88, "\x03\xe8", false);
    opaque("after the end of the frames");
    close_pair();
}

static void tunnel(void)
{
    struct http_message message;
    open_pair();
    tell(&client, "CONNECT example:443 HTTP/1.1\r\nHost: example:443\r\n\r\n");
    REQUIRE(http_read(&server, &message, true));
    say("%s", message.start);
    tell(&server, "HTTP/1.1 200 Connection Established\r\n\r\n");
    REQUIRE(http_read(&client, &message, false));
    say("%s", message.start);
    opaque("tunnel");
    close_pair();
}

static void refused_upgrade(void)
{
    struct http_message message;
    open_pair();
    for (int i = 0; i < 3; i++) {
        tell(&client,
             "GET /h2 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
             "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
        REQUIRE(http_read(&server, &message, true));
        say("%s, %u headers", message.start, message.headers);
        tell(&server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        REQUIRE(http_read(&client, &message, true));
        say("%s, %zu", message.start, message.length);
    }
    close_pair();
}

static void expectations(void)
{
    struct http_message message;
    open_pair();
    tell(&client, "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
                  "Expect: 100-continue\r\n\r\n");
    tell(&client, "12345");
    REQUIRE(http_read(&server, &message, true));
    say("%s: %zu, %u", message.start, message.length, message.sum);
    tell(&server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    REQUIRE(http_read(&client, &message, false));
    say("%s", message.start);
    REQUIRE(http_read(&client, &message, true));
    say("%s", message.start);
    /* Refused at once: the body is never sent. */
    tell(&client, "POST /refused HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n"
                  "Expect: 100-continue\r\n\r\n");
    REQUIRE(http_read(&server, &message, false));
    tell(&server, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    REQUIRE(http_read(&client, &message, false));
    REQUIRE(http_read(&client, &message, true));
    say("%s", message.start);
    close_pair();
}

/* Not quite HTTP: each byte arrives as it was sent. */
static void exactly(const char *label, const char *text, size_t size)
{
    static char in[300000];
    open_pair();
    for (size_t sent = 0; sent < size;) {
        size_t part = size - sent < 1000 ? size - sent : 1000;
        REQUIRE(end_write(&client, text + sent, part) && end_read(&server, in + sent, part));
        sent += part;
    }
    say("%s: %s", label, memcmp(in, text, size) == 0 ? "as sent" : "different");
    REQUIRE(end_write(&server, text, size < 1000 ? size : 1000) &&
            end_read(&client, in, size < 1000 ? size : 1000));
    say("%s, back: %s", label,
        memcmp(in, text, size < 1000 ? size : 1000) == 0 ? "as sent" : "different");
    close_pair();
}

static void broken(void)
{
    static char large[300000];
    exactly("nothing like it", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    exactly("a greeting", "SSH-2.0-OpenSSH\r\n", 17);
    exactly("a lonely method", "GET", 3);
    exactly("a bad method", "G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 28);
    exactly("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    exactly("nul bytes", "GET /\0 HTTP/1.1\r\n\0\0\0\r\n", 22);
    exactly("empty lines", "\r\n\r\n\r\n\r\n", 8);
    exactly("a lonely answer", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            58);
    memset(large, 'a', sizeof large);
    exactly("a long word", large, sizeof large);
    memset(large, '*', sizeof large);
    exactly("many stars", large, sizeof large);
    memset(large, '\n', sizeof large);
    exactly("many lines", large, sizeof large);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    web_socket();
    tunnel();
    refused_upgrade();
    expectations();
    broken();
    return 0;
}
