/* The builders of each kind of record, and what they share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "handoff/record.h"
#include "worker/span.h"

/* A record's captured text, found in one walk: an empty slice with NULL data is absent. The slices
   borrow from the record and are not checked for UTF-8. */
struct record_text {
    struct slice fields[FIELD_TAG_COUNT];
};

void spans_build_http(struct span *span, const struct record *record,
                      const struct record_text *text);
void spans_build_redis(struct span *span, const struct record *record,
                       const struct record_text *text);
void spans_build_job(struct span *span, const struct record *record,
                     const struct record_text *text);
void spans_build_workflow(struct span *span, const struct record *record,
                          const struct record_text *text);
/* What the record links to. */
void spans_add_links(struct span *span, const struct record *record);
/* What may have been the cause, and could not be shown to be. */
void spans_add_candidates(struct span *span, const struct record *record);
/* A captured number: as one if it is decimal, else as it stands. Nothing where there is none. */
void spans_add_number(struct span *span, struct slice key, struct slice value);
/* A Redis exchange that is one of a job's life: its name, kind and what is known of the job. */
void spans_add_job_role(struct span *span, const struct record *record,
                        const struct record_text *text);
void spans_build_websocket(struct span *span, const struct record *record,
                           const struct record_text *text);
void spans_build_run(struct span *span, const struct record *record,
                     const struct record_text *text);
void spans_build_message(struct span *span, const struct record *record,
                         const struct record_text *text);
void spans_build_connection(struct span *span, const struct record *record,
                            const struct record_text *text);

/* What a service's request and answer said (wire/service.h), and the span's name by it. */
void spans_add_service(struct span *span, const struct record *record,
                       const struct record_text *text);

/* A client's request to an object store, or for a model: what it does to which object. */
void spans_add_store(struct span *span, const struct record *record,
                     const struct record_text *text);

/* ---- how an exchange ended badly ---- */

/* The error.type of what went wrong below the protocol; NULL data for RECORD_OK and for
   RECORD_ERROR_REPLY, which its protocol explains. */
struct slice spans_error_type(const struct record *record);

/* Status Error by record->error, with the system's text as the message where there is one. Nothing
   where spans_error_type says nothing. What this process gave up by itself, having asked, is no
   error: wirespan.cancelled says it. */
void spans_add_error(struct span *span, const struct record *record);

/* What ended the process in the middle, as far as the system tells: record_abort_cause. */
void spans_add_abort(struct span *span, int32_t cause);

/* ---- who is at the other end ---- */

struct peer {
    struct slice address; /* valid text in any case; NULL data if nothing is known */
    uint16_t port;        /* 0: none */
    bool is_unix;
};

/* The other end of the socket as text, in the span's scratch. */
struct peer spans_peer(struct span *span, const struct record *record,
                       const struct record_text *text);

/* The other end as this process knows it: by the name that it looked up, else by address. */
struct peer spans_named_peer(struct span *span, const struct peer *peer,
                             const struct record_text *text);

/* network.peer.address, network.peer.port, network.transport (where it is not TCP). */
void spans_add_network(struct span *span, const struct peer *peer);

/* "address:port", IPv6 in brackets; the address alone without a port. */
struct slice spans_address_and_port(struct span *span, const struct peer *peer);

/* ---- URLs ---- */

struct authority {
    struct slice host; /* IPv6 without brackets; empty: malformed or absent */
    uint16_t port;     /* 0: none given */
};

/* "host", "host:port", "[v6]:port", user information before '@' skipped. */
struct authority spans_parse_authority(struct slice text);

enum target_form {
    TARGET_ORIGIN,
    TARGET_ABSOLUTE,
    TARGET_AUTHORITY, /* CONNECT */
    TARGET_ASTERISK,
    TARGET_ABSENT
};

struct target {
    enum target_form form;
    struct slice scheme; /* ABSOLUTE */
    struct slice authority;
    struct slice path;  /* from '/' */
    struct slice query; /* without '?'; NULL data: none */
};

struct target spans_parse_target(struct slice text);

/* ---- what HTTP and WebSocket share ---- */

/* url.full, server.address, server.port. `schemes` are the names without and with TLS. */
void spans_add_client_url(struct span *span, const struct record *record,
                          const struct record_text *text, const struct peer *peer,
                          const struct slice schemes[2]);

/* url.scheme, url.path, url.query, server.address, server.port, client.address. */
void spans_add_server_url(struct span *span, const struct record *record,
                          const struct record_text *text, const struct peer *peer,
                          const struct slice schemes[2]);
