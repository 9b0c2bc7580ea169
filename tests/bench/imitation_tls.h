/* The functions of OpenSSL that operations.c calls. */
#pragma once

#include <stddef.h>

struct ssl_st;

struct ssl_st *imitation_tls_new(void);
int SSL_set_fd(struct ssl_st *session, int fd);
int SSL_get_rfd(const struct ssl_st *session);
int SSL_get_wfd(const struct ssl_st *session);
int SSL_get_error(const struct ssl_st *session, int result);
int SSL_is_init_finished(const struct ssl_st *session);
int SSL_is_server(const struct ssl_st *session);
long SSL_ctrl(struct ssl_st *session, int what, long number, void *pointer);
size_t SSL_get_client_random(const struct ssl_st *session, unsigned char *random, size_t size);
int SSL_read(struct ssl_st *session, void *buffer, int size);
int SSL_write(struct ssl_st *session, const void *bytes, int size);
