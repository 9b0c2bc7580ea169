/* The URL that spans are sent to, from what the environment says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct endpoint_url {
    struct slice scheme; /* as written; empty if there is none */
    struct slice authority;
    struct slice host;  /* IPv6 without its brackets */
    uint16_t port;      /* 0: not written */
    struct slice path;  /* empty, or with its leading slash; no query, no fragment */
    struct slice query; /* with its '?' */
};

/* Takes a URL, or a bare "host:port", apart. False if it is neither. User information is left out:
   it is a secret that headers carry better. */
bool endpoint_split(struct slice text, struct endpoint_url *url);

/* OTLP over HTTP: `text` with "v1/traces" appended to its path if `is_base`, else as it is, with at
   least "/" as its path. Writes a NUL-terminated URL. False (nothing written) if `text` is no http
   or https URL, or is too long for `capacity`. */
bool endpoint_for_http(struct slice text, bool is_base, char *into, size_t capacity);

/* OTLP over gRPC: scheme, host and port only. Without a scheme `insecure` decides between http and
   https. */
bool endpoint_for_grpc(struct slice text, bool insecure, char *into, size_t capacity);
