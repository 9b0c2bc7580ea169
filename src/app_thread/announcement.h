/*
 * Contexts that libcurl is asked to send: those of transfers whose bytes are perhaps not to be
 * changed (HTTP/2, HTTP/3, a TLS library that is not seen).
 *
 * While a transfer runs, its handle's list of header fields is one of ours, with a line before the
 * program's, which stays as it is. What the handle has is known from the calls that set it; of a
 * handle whose first call was not seen nothing is known, and it is left alone.
 *
 * Whether the request's bytes can be read shows when it is sent. If they can, the record that they
 * make takes the ids that were announced, and the line gets new ones, for the request that a
 * redirection may bring. If not, the record that libcurl's word makes takes them.
 *
 * A handle is one thread's at a time. Other threads look at an announcement only to see that it is
 * not the one they look for.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app_thread/thread_state.h"
#include "app_thread/trace_context.h"
#include "wire/traceparent.h"

/* curl/curl.h's struct curl_slist. */
struct header_list {
    char *text;
    struct header_list *next;
};

/* What a handle was told that matters here. */
struct curl_handle {
    _Atomic uintptr_t easy;      /* 0: free */
    struct header_list *program; /* the program's list */
    _Atomic uint32_t block;      /* slab buffer: the announcement in force; 0: none */
    uint8_t version;             /* CURLOPT_HTTP_VERSION */
    bool is_unified;             /* a proxy would get the fields, too */
    bool follows;                /* redirections, which may lead to other hosts */
};

extern _Atomic uint32_t announcements;

/* The handle, if it is known; by `may_begin` it becomes so, if there is room. */
struct curl_handle *announcement_handle(const void *easy, bool may_begin);
/* It is about to be freed. Its announcement, to be given to announcement_give afterwards. */
uint32_t announcement_forget_handle(struct curl_handle *handle);
/* As it was made. Its announcement must have ended. */
void announcement_reset_handle(struct curl_handle *handle);

/* Announces the ids of a request to be. Returns the list to be set; NULL: none can be had, or the
   program's list has a context. */
struct header_list *announcement_begin(struct thread_state *self, struct curl_handle *handle,
                                       uint64_t now);
/* The program sets another list meanwhile. Returns what is to be set in its place. */
struct header_list *announcement_change_list(struct curl_handle *handle,
                                             struct header_list *program);
/* The program's list has been set again. */
void announcement_end(struct curl_handle *handle);
void announcement_give(uint32_t block);

/* A request with this context was sent: if it was announced, fills its ids. */
bool announcement_take(struct thread_state *self, const struct traceparent *sent,
                       struct trace_identity *identity);

/* The ids that the line has; false if there are none. `*was_seen`: a request with ids from here was
   seen. */
bool announcement_ids(const void *easy, struct trace_identity *identity, bool *was_seen);
