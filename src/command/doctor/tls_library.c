#include "command/doctor/tls_library.h"

#include <string.h>

/* The one place to change when the functions of a library are hooked: the last two columns. */
const struct tls_library tls_libraries[] = {
    {"BoringSSL", NULL, NULL, "third_party/boringssl", TLS_OPAQUE, TLS_OPAQUE},
    {"rustls", NULL, NULL, "/rustls-0.", TLS_OPAQUE, TLS_OPAQUE},
    {"OpenSSL", "libssl.so", "SSL_CTX_new", NULL, TLS_PLAINTEXT, TLS_OPAQUE},
    {"GnuTLS", "libgnutls.so", "gnutls_init", NULL, TLS_PLAINTEXT, TLS_OPAQUE},
    {"NSS", "libssl3.so", "SSL_ImportFD", NULL, TLS_OPAQUE, TLS_OPAQUE},
    {"Mbed TLS", "libmbedtls.so", "mbedtls_ssl_handshake", NULL, TLS_OPAQUE, TLS_OPAQUE},
    {"wolfSSL", "libwolfssl.so", "wolfSSL_new", NULL, TLS_OPAQUE, TLS_OPAQUE},
};
const size_t tls_library_count = sizeof(tls_libraries) / sizeof(tls_libraries[0]);

size_t tls_library_of_file(const char *name)
{
    size_t i = 0;
    while (i < tls_library_count &&
           (tls_libraries[i].file == NULL ||
            strncmp(name, tls_libraries[i].file, strlen(tls_libraries[i].file)) != 0)) {
        i++;
    }
    return i;
}
