#include "command/doctor/tls_library.h"

#include <string.h>

/* The one place to change when the functions of a library are hooked: the last
   two columns. */
const struct tls_library tls_libraries[] = {
    {"BoringSSL", NULL, NULL, "third_party/boringssl", NULL, TLS_OPAQUE},
    {"rustls", NULL, NULL, "/rustls-0.", NULL, TLS_OPAQUE},
    {"OpenSSL", "libssl.so", "SSL_CTX_new", NULL, "uv_fileno", TLS_PLAINTEXT},
    {"GnuTLS", "libgnutls.so", "gnutls_init", NULL, NULL, TLS_PLAINTEXT},
    {"NSS", "libssl3.so", "SSL_ImportFD", NULL, NULL, TLS_OPAQUE},
    {"Mbed TLS", "libmbedtls.so", "mbedtls_ssl_handshake", NULL, NULL, TLS_OPAQUE},
    {"wolfSSL", "libwolfssl.so", "wolfSSL_new", NULL, NULL, TLS_OPAQUE},
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
