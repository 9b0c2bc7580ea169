/*
 * The ways out and how each is made.
 *
 * What holds for all: they install no signal handler, read no environment and change no locale. A
 * peer that goes away may raise SIGPIPE, a full quota SIGXFSZ: the thread that steps a transport
 * has both blocked. After fork the child makes its own.
 */
#pragma once

#include <unistd.h>

#include "process/config.h"
#include "worker/transport/transport.h"

/* Where the console exporter writes. The specification says "human-readable stdout", but a
   preloaded worker's stdout is its own, often data for the next program in a pipe; stderr is where
   such a program's diagnostics already go. */
#define CONSOLE_DESCRIPTOR STDERR_FILENO

/* POST of protobuf to config->endpoint over HTTP/1.1. What is needed of `config` is copied. On
   failure (libcurl missing, endpoint or certificate unusable) says why on stderr, in one line
   that starts with "wirespan: " (unless config->log_level is LOG_LEVEL_NONE), and returns NULL. */
struct transport *otlp_http_create(const struct config *config);

/* The same batch as a unary gRPC call over HTTP/2; fails like otlp_http_create. */
struct transport *otlp_grpc_create(const struct config *config);

/* Writes every span as a line of text, its attributes and events below it, to `fd`, which stays
   the caller's. Never blocks on a pipe that nobody reads. Stops for good when `fd` has become
   another file than it was at creation (a daemon closed it and the number was reused). Returns
   NULL with errno set. */
struct transport *console_create(int fd);

/* Appends one line of OTLP JSON per batch to the file at `path` (copied; made if absent). The file
   is opened for each line: an application may close any descriptor, and log rotation works.
   Returns NULL with errno set (memory, or the file cannot be written now). */
struct transport *file_create(const char *path);
