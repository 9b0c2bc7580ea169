/*
 * Receives OTLP over HTTP: POST /v1/traces in protobuf or JSON, plain or gzip.
 *
 * Runs on the caller's thread: wait for `receiver_descriptor` or the timeout, then
 * `receiver_step`. What is refused is answered as the protocol says (google.rpc.Status in the
 * request's encoding), and told.
 */
#pragma once

#include <otlp.pb-c.h>
#include <stddef.h>
#include <stdint.h>

struct receiver;

struct receiver_sink {
    void *context;
    /* Returns how many spans were refused. The message is the receiver's again after the call. */
    uint64_t (*take)(void *context, const Otlp__ExportTraceServiceRequest *message);
    /* One line of text about a request that was refused. */
    void (*complain)(void *context, const char *text);
};

#define RECEIVER_ADDRESS_BYTES 80

/* Listens on `address`: HOST:PORT, [IPV6]:PORT or PORT (on 127.0.0.1); port 0 takes a free one.
   NULL, with the reason in `why`. `sink` must live as long as the receiver. */
struct receiver *receiver_create(const char *address, const struct receiver_sink *sink, char *why,
                                 size_t why_size);

/* Where it listens: "127.0.0.1:4318". */
const char *receiver_address(const struct receiver *receiver);

int receiver_descriptor(const struct receiver *receiver);

/* Milliseconds until the next step is due anyway; -1: not before something arrives. */
int receiver_timeout_ms(const struct receiver *receiver);

void receiver_step(struct receiver *receiver);

/* Closes every connection; takes NULL and returns it. */
struct receiver *receiver_destroy(struct receiver *receiver);
