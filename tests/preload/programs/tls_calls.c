/* OpenSSL's calls in all styles: blocking, without blocking and called again, with memory buffers,
   0-RTT. */
#include <openssl/ssl.h>
#include <signal.h>

#include "support.h"
#include "tls_ends.h"

static void talk(bool is_small, struct tls_plan plan)
{
    int pair[2];
    tcp_pair(pair);
    send_at_once(pair);
    if (is_small) {
        shrink_buffers(pair);
    }
    say("talk: %s", tls_talk(pair[0], pair[1], &plan) ? "good" : "failed");
}

/* What calls on a session without a transport give. */
static void without_transport(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    char bytes[8];
    size_t count = 77;
    REQUIRE(ssl);
    SSL_set_connect_state(ssl);
    OBSERVE(SSL_read(ssl, bytes, 8));
    OBSERVE(SSL_write(ssl, "x", 1));
    OBSERVE(SSL_write(ssl, "x", 0));
    OBSERVE(SSL_read_ex(ssl, bytes, 8, &count));
    OBSERVE(SSL_write_ex(ssl, "x", 1, &count));
    say("count %zu", count);
    OBSERVE(SSL_do_handshake(ssl));
    OBSERVE(SSL_set_fd(ssl, 12345));
    OBSERVE(SSL_get_fd(ssl));
    OBSERVE(SSL_clear(ssl));
    SSL_free(ssl);
    SSL_free(NULL);
    SSL_CTX_free(context);
}

int main(int count, char **arguments)
{
    REQUIRE(count == 2);
    static const char *const styles[] = {
        "descriptor", "descriptor_ex", "nonblocking",   "nonblocking_parts", "memory",
        "early",      "narrow",        "narrow_moving", "narrow_parts"};
    for (unsigned i = 0; i < sizeof styles / sizeof styles[0]; i++) {
        if (strcmp(arguments[1], styles[i]) != 0) {
            continue;
        }
        enum tls_style style = (enum tls_style)i;
        for (int turn = 0; turn < 3; turn++) {
            talk(false, (struct tls_plan){style, 10, 100, 0});
        }
        if (i != TLS_EARLY) {
            talk(true, (struct tls_plan){style, 3, 300000, 0});
            /* Around the end of the first record, and of the second. */
            talk(false, (struct tls_plan){style, 60, 16384 - 150, 3});
            talk(false, (struct tls_plan){style, 60, 32768 - 150, 3});
        }
        without_transport();
        return 0;
    }
    if (strcmp(arguments[1], "rules") == 0) {
        signal(SIGPIPE, SIG_IGN); /* these ends close in the middle */
        for (unsigned i = 0; i < TLS_RULES; i++) {
            int pair[2];
            tcp_pair(pair);
            tls_break_rules(pair[0], pair[1], i);
        }
        return 0;
    }
    setup_failed(__FILE__, __LINE__, "a style of that name");
}
