#include "tls_ends.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sums.h"
#include "support.h"

struct tls_end {
    struct sums_end sums; /* first: it is what its functions are given */
    int fd;
    SSL *ssl;
    enum tls_style style;
    BIO *in, *out; /* TLS_MEMORY, TLS_NARROW: bytes for the session, and from it */
    bool is_client;
};

static bool is_narrow(enum tls_style style)
{
    return style >= TLS_NARROW;
}

/* ---- contexts ---- */

static EVP_PKEY *key;
static X509 *certificate;
/* TLS_EARLY: of the first connection, and the server that will know it again. */
static SSL_SESSION *session;
static SSL_CTX *early_server;

static void make_certificate(void)
{
    if (certificate) {
        return;
    }
    key = EVP_EC_gen("P-256");
    certificate = X509_new();
    REQUIRE(key && certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    REQUIRE(X509_set_pubkey(certificate, key) == 1);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    REQUIRE(X509_set_issuer_name(certificate, name) == 1);
    REQUIRE(X509_sign(certificate, key, EVP_sha256()) > 0);
}

static int keep_session(SSL *ssl, SSL_SESSION *made)
{
    (void)ssl;
    SSL_SESSION_free(session);
    session = made;
    return 1;
}

static SSL_CTX *context_of(bool is_server, enum tls_style style)
{
    SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    REQUIRE(context);
    if (style == TLS_NONBLOCKING_PARTS || style == TLS_NARROW_PARTS) {
        SSL_CTX_set_mode(context,
                         SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    } else if (style == TLS_NARROW_MOVING) {
        SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    if (is_server) {
        REQUIRE(SSL_CTX_use_certificate(context, certificate) == 1);
        REQUIRE(SSL_CTX_use_PrivateKey(context, key) == 1);
        SSL_CTX_set_max_early_data(context, style == TLS_EARLY ? 16384 : 0);
        /* A test of one request: it cannot be replayed by anybody. */
        SSL_CTX_set_options(context, SSL_OP_NO_ANTI_REPLAY);
    } else {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep_session);
    }
    return context;
}

/* ---- waiting ---- */

static bool push(struct tls_end *end)
{
    char bytes[4096];
    int size;
    while (end->out && (size = BIO_read(end->out, bytes, sizeof bytes)) > 0) {
        if (!write_all(end->fd, bytes, (size_t)size)) {
            return false;
        }
    }
    return true;
}

/* After a call that gave nothing: whether it is to be made again. */
static bool await(struct tls_end *end, int result)
{
    int why = SSL_get_error(end->ssl, result);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
        return false;
    }
    if (end->out) {
        char bytes[4096];
        if (!push(end)) {
            return false;
        }
        if (why == SSL_ERROR_WANT_WRITE) {
            return true;
        }
        size_t room = is_narrow(end->style) ? BIO_ctrl_get_write_guarantee(end->in) : sizeof bytes;
        ssize_t got = recv(end->fd, bytes, room < sizeof bytes ? room : sizeof bytes, 0);
        return got > 0 && BIO_write(end->in, bytes, (int)got) == got;
    }
    struct pollfd ready = {.fd = end->fd, .events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
    return poll(&ready, 1, 10000) == 1;
}

static bool send_bytes(struct sums_end *sums, const char *bytes, size_t size)
{
    struct tls_end *end = (struct tls_end *)sums;
    bool says = end->style != TLS_NONBLOCKING && end->style != TLS_NONBLOCKING_PARTS;
    /* At first without its last byte, where more may come when it is called again. */
    size_t held_back = end->style == TLS_NARROW_MOVING && size > 1 ? 1 : 0;
    char *moved = NULL;
    while (size > 0) {
        size_t sent = 0;
        int result;
        if (end->style == TLS_DESCRIPTOR_EX) {
            result = SSL_write_ex(end->ssl, bytes, size, &sent);
        } else {
            result = SSL_write(end->ssl, moved ? moved : bytes, (int)(size - held_back));
            sent = result > 0 ? (size_t)result : 0;
        }
        free(moved);
        moved = NULL;
        if (result <= 0 && !await(end, result)) {
            return false;
        }
        if (result <= 0 && held_back + (end->style == TLS_NARROW_PARTS) > 0) {
            moved = malloc(size);
            REQUIRE(moved);
            memcpy(moved, bytes, size);
        }
        if (says && result > 0 && end->is_client) {
            say("sent %zu", sent);
        }
        held_back = 0;
        bytes += sent;
        size -= sent;
    }
    return push(end);
}

/* At most `size` bytes; 0 at the end. */
static size_t receive(struct sums_end *sums, char *bytes, size_t size)
{
    struct tls_end *end = (struct tls_end *)sums;
    for (;;) {
        size_t got = 0;
        int result;
        if (end->style == TLS_DESCRIPTOR_EX) {
            char peeked;
            SSL_peek_ex(end->ssl, &peeked, 1, &got);
            result = SSL_read_ex(end->ssl, bytes, size, &got);
        } else {
            result = SSL_read(end->ssl, bytes, (int)size);
            got = result > 0 ? (size_t)result : 0;
        }
        if (result > 0) {
            return got;
        }
        if (!await(end, result)) {
            return 0;
        }
    }
}

static bool shake_hands(struct tls_end *end, bool is_server)
{
    int result;
    while ((result = is_server ? SSL_accept(end->ssl) : SSL_connect(end->ssl)) <= 0) {
        if (!await(end, result)) {
            return false;
        }
    }
    return push(end);
}

static void begin(struct tls_end *end, SSL_CTX *context, int fd, enum tls_style style)
{
    *end = (struct tls_end){
        .sums = {.receive = receive, .send = send_bytes},
        .fd = fd,
        .style = style,
        .ssl = SSL_new(context),
    };
    REQUIRE(end->ssl);
    if (style == TLS_MEMORY) {
        end->in = BIO_new(BIO_s_mem());
        end->out = BIO_new(BIO_s_mem());
        SSL_set_bio(end->ssl, end->in, end->out);
    } else if (is_narrow(style)) {
        BIO *inner;
        REQUIRE(BIO_new_bio_pair(&inner, 100, &end->in, 20000) == 1);
        end->out = end->in;
        SSL_set_bio(end->ssl, inner, inner);
    } else {
        if (style == TLS_NONBLOCKING || style == TLS_NONBLOCKING_PARTS) {
            set_nonblocking(fd);
        }
        REQUIRE(SSL_set_fd(end->ssl, fd) == 1);
    }
}

static void finish(struct tls_end *end)
{
    SSL_shutdown(end->ssl);
    push(end);
    SSL_free(end->ssl);
    if (is_narrow(end->style)) {
        BIO_free(end->out);
    }
    close(end->fd);
}

/* ---- HTTP ---- */

struct serving {
    int fd;
    enum tls_style style;
    SSL_CTX *context;
    struct tls_end end;
};

static void *serve(void *argument)
{
    struct serving *serving = argument;
    struct tls_end *end = &serving->end;
    struct sums_end *sums = &end->sums;
    begin(end, serving->context, serving->fd, serving->style);
    if (serving->style == TLS_EARLY) {
        size_t got = 0;
        int state;
        do {
            state = SSL_read_early_data(end->ssl, sums->kept + sums->have,
                                        sizeof sums->kept - sums->have, &got);
            sums->have += got;
        } while (state == SSL_READ_EARLY_DATA_SUCCESS);
        REQUIRE(state == SSL_READ_EARLY_DATA_FINISH);
    }
    if (shake_hands(end, true)) {
        sums_serve(sums);
    }
    finish(end);
    return NULL;
}

static bool ask_early(struct tls_end *end, const char *body, size_t size)
{
    size_t length, sent = 0;
    char *message = sums_request(0, body, size, &length);
    bool done = SSL_write_early_data(end->ssl, message, length, &sent) == 1 && sent == length &&
                shake_hands(end, false);
    free(message);
    return sums_tell(&end->sums, 0, done);
}

bool tls_talk(int client, int server, const struct tls_plan *plan)
{
    enum tls_style style = plan->style;
    size_t most = plan->body + plan->exchanges * plan->more;
    make_certificate();
    if (style == TLS_EARLY && !early_server) {
        early_server = context_of(true, style);
    }
    struct serving serving = {
        .fd = server,
        .style = style,
        .context = style == TLS_EARLY ? early_server : context_of(true, style),
    };
    SSL_CTX *context = context_of(false, style);
    char *body = malloc(most + 1);
    REQUIRE(body);
    fill(body, most, 1);
    pthread_t thread = start_thread(serve, &serving);
    struct tls_end end;
    begin(&end, context, client, style);
    end.is_client = true;
    bool is_early = style == TLS_EARLY && session && SSL_set_session(end.ssl, session) == 1;
    bool good = is_early || shake_hands(&end, false);
    say("handshake: %s", good ? "good" : "failed");
    for (unsigned i = 0; i < plan->exchanges && good; i++) {
        size_t size = plan->body + i * plan->more;
        good =
            is_early && i == 0 ? ask_early(&end, body, size) : sums_ask(&end.sums, i, body, size);
    }
    if (is_early) {
        say("early data: %s",
            SSL_get_early_data_status(end.ssl) == SSL_EARLY_DATA_ACCEPTED ? "accepted" : "refused");
    }
    errno = ERRNO_MARK;
    int pending = SSL_pending(end.ssl);
    say("pending %d, errno %s", pending, errno_name(errno));
    finish(&end);
    join_thread(thread);
    /* What goes with the handshake is not changed. */
    good = sums_had_contexts(&serving.end.sums, plan->exchanges - is_early) && good;
    SSL_CTX_free(context);
    if (style != TLS_EARLY) {
        SSL_CTX_free(serving.context);
    }
    free(body);
    return good;
}

/* ---- breaking the rules ---- */

struct repetition {
    const char *name;
    enum tls_style style;
    bool moves;
    int more; /* bytes */
};

static void repeat(struct tls_end *end, const struct repetition *repetition)
{
    char places[2][500];
    int size = snprintf(places[0], sizeof places[0],
                        "GET /%s HTTP/1.1\r\nHost: test\r\nX: %0300d\r\n\r\n", repetition->name, 0);
    memcpy(places[1], places[0], sizeof places[0]);
    int result = SSL_write(end->ssl, places[0], size);
    say("%s: %d, error %d", repetition->name, result, SSL_get_error(end->ssl, result));
    for (int turn = 0; turn < 2; turn++) {
        ERR_clear_error();
        push(end);
        result = SSL_write(end->ssl, places[repetition->moves], size + repetition->more);
        int why = SSL_get_error(end->ssl, result);
        say("again: %d, error %d", result, why);
    }
}

void tls_break_rules(int client, int server, unsigned which)
{
    static const struct repetition repetitions[] = {
        {"as-it-was", TLS_NARROW, false, 0},
        {"moved", TLS_NARROW, true, 0},
        {"shorter", TLS_NARROW, false, -1},
        {"longer", TLS_NARROW, false, 1},
        {"may-move", TLS_NARROW_MOVING, true, 0},
        {"shorter-elsewhere", TLS_NARROW_MOVING, true, -1},
    };
    const struct repetition *repetition = &repetitions[which % TLS_RULES];
    make_certificate();
    struct serving serving = {
        .fd = server, .style = TLS_DESCRIPTOR, .context = context_of(true, TLS_DESCRIPTOR)};
    SSL_CTX *context = context_of(false, repetition->style);
    pthread_t thread = start_thread(serve, &serving);
    struct tls_end end;
    begin(&end, context, client, repetition->style);
    REQUIRE(shake_hands(&end, false));
    repeat(&end, repetition);
    finish(&end);
    join_thread(thread);
    SSL_CTX_free(context);
    SSL_CTX_free(serving.context);
}
