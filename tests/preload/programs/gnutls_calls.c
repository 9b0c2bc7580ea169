/* GnuTLS, and a way to the socket that takes little at a time: called again with the same bytes, or
   without any, for those that the library remembers. */
#include <gnutls/gnutls.h>
#include <unistd.h>

#include "sums.h"
#include "support.h"

/* How a record that did not go at once is sent. */
enum style { AT_ONCE, AGAIN, REMEMBERED, PADDED, STYLES };

struct end {
    struct sums_end sums; /* first: it is what its functions are given */
    int fd;
    enum style style;
    gnutls_session_t session;
};

/* Of each end, which is a thread's. Every other call takes nothing, and those between take a part
   of what is large. */
static ssize_t push_little(gnutls_transport_ptr_t transport, const void *bytes, size_t size)
{
    static _Thread_local unsigned pushes;
    if (pushes++ % 2 == 0) {
        errno = EAGAIN;
        return -1;
    }
    return send((int)(intptr_t)transport, bytes, size > 5000 ? 5000 : size, MSG_NOSIGNAL);
}

static bool is_to_be_called_again(ssize_t result)
{
    return result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED;
}

static size_t receive(struct sums_end *sums, char *bytes, size_t size)
{
    struct end *end = (struct end *)sums;
    ssize_t result;
    do {
        result = gnutls_record_recv(end->session, bytes, size);
    } while (is_to_be_called_again(result));
    return result > 0 ? (size_t)result : 0;
}

static ssize_t send_record(struct end *end, const char *bytes, size_t size)
{
    if (end->style == PADDED) {
        /* As much as fits into a record beside it, which the library does not see to. */
        return gnutls_record_send2(end->session, bytes, size > 16368 ? 16368 : size, bytes ? 16 : 0,
                                   0);
    }
    return gnutls_record_send(end->session, bytes, size);
}

static bool send_bytes(struct sums_end *sums, const char *bytes, size_t size)
{
    struct end *end = (struct end *)sums;
    while (size > 0) {
        ssize_t result = send_record(end, bytes, size);
        while (is_to_be_called_again(result)) {
            bool says_it = end->style == AGAIN;
            result = send_record(end, says_it ? bytes : NULL, says_it ? size : 0);
        }
        if (result <= 0) {
            return false;
        }
        bytes += result;
        size -= (size_t)result;
    }
    return true;
}

/* ---- sessions, with a key that both know ---- */

static unsigned char key_bytes[] = "0123456789abcdef";
static gnutls_datum_t key = {key_bytes, 16};

static int find_key(gnutls_session_t session, const char *name, gnutls_datum_t *found)
{
    (void)session;
    (void)name;
    found->data = gnutls_malloc(key.size);
    REQUIRE(found->data);
    memcpy(found->data, key.data, key.size);
    found->size = key.size;
    return 0;
}

static void begin(struct end *end, int fd, enum style style, unsigned flags,
                  gnutls_credentials_type_t kind, void *credentials)
{
    *end = (struct end){.sums = {.receive = receive, .send = send_bytes}, .fd = fd, .style = style};
    REQUIRE(gnutls_init(&end->session, flags) == 0);
    REQUIRE(gnutls_priority_set_direct(end->session, "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK", NULL) ==
            0);
    REQUIRE(gnutls_credentials_set(end->session, kind, credentials) == 0);
    gnutls_transport_set_int(end->session, fd);
    if (style != AT_ONCE) {
        gnutls_transport_set_push_function(end->session, push_little);
    }
}

static bool shake_hands(struct end *end)
{
    int result;
    do {
        result = gnutls_handshake(end->session);
    } while (is_to_be_called_again(result));
    return result == 0;
}

static void finish(struct end *end)
{
    while (is_to_be_called_again(gnutls_bye(end->session, GNUTLS_SHUT_WR))) {
    }
    gnutls_deinit(end->session);
    close(end->fd);
}

struct serving {
    int fd;
    enum style style;
    struct end end;
};

static void *serve(void *argument)
{
    struct serving *serving = argument;
    gnutls_psk_server_credentials_t credentials;
    REQUIRE(gnutls_psk_allocate_server_credentials(&credentials) == 0);
    gnutls_psk_set_server_credentials_function(credentials, find_key);
    begin(&serving->end, serving->fd, serving->style, GNUTLS_SERVER, GNUTLS_CRD_PSK, credentials);
    if (shake_hands(&serving->end)) {
        sums_serve(&serving->end.sums);
    }
    finish(&serving->end);
    gnutls_psk_free_server_credentials(credentials);
    return NULL;
}

/* Each body is `more` bytes longer than the one before. */
static void talk(enum style style, unsigned exchanges, size_t size, size_t more)
{
    int pair[2];
    struct end end;
    gnutls_psk_client_credentials_t credentials;
    char *body = malloc(size + exchanges * more);
    REQUIRE(body);
    fill(body, size + exchanges * more, 1);
    tcp_pair(pair);
    send_at_once(pair);
    struct serving serving = {.fd = pair[1], .style = style};
    pthread_t thread = start_thread(serve, &serving);
    REQUIRE(gnutls_psk_allocate_client_credentials(&credentials) == 0);
    REQUIRE(gnutls_psk_set_client_credentials(credentials, "test", &key, GNUTLS_PSK_KEY_RAW) == 0);
    begin(&end, pair[0], style, GNUTLS_CLIENT, GNUTLS_CRD_PSK, credentials);
    bool good = shake_hands(&end);
    say("handshake: %s", good ? "good" : "failed");
    for (unsigned i = 0; i < exchanges && good; i++) {
        good = sums_ask(&end.sums, i, body, size + i * more);
    }
    finish(&end);
    join_thread(thread);
    good = sums_had_contexts(&serving.end.sums, style == PADDED ? 0 : exchanges) && good;
    gnutls_psk_free_client_credentials(credentials);
    free(body);
    say("talk: %s", good ? "good" : "failed");
}

int main(int count, char **arguments)
{
    static const char *const styles[STYLES] = {"at_once", "again", "remembered", "padded"};
    REQUIRE(count == 2);
    for (enum style style = 0; style < STYLES; style++) {
        if (strcmp(arguments[1], styles[style]) == 0) {
            talk(style, 10, 100, 0);
            talk(style, 3, 300000, 0);
            /* Around the end of the first record, and of the second. */
            talk(style, 38, 16384 - 150, 5);
            talk(style, 38, 32768 - 150, 5);
            return 0;
        }
    }
    setup_failed(__FILE__, __LINE__, "a style of that name");
}
