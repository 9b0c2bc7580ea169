/* The families of TLS functions, and what their wrappers share. None of these touches errno. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "app_thread/hooks/caller_scope.h"
#include "app_thread/observe.h"
#include "app_thread/tls_insertion.h"
#include "app_thread/tls_session.h"

extern struct scope_family tls_openssl;
extern struct scope_family tls_gnutls;

/* One call into a TLS library. */
struct tls_call {
    const void *library;
    void *session;
    tls_identify *identify;
};

/* The plaintext that a call sends. */
struct tls_sending {
    bool is_observed;
    bool has_begun; /* the session's connection was known before the call */
    uint8_t ways;   /* with an insertion: tls_ways */
    struct iovec iov;
    struct tls_insertion *insertion; /* how the call is to be made; NULL: as it is */
    struct tls_insertion *copy;      /* what is sent, where the library remembers it */
    struct observation seen;
};

struct tls_writer;
/* The library's own sending function: what it returned, and if that is above 0, how many bytes it
   took. */
typedef ssize_t tls_write(const struct tls_writer *writer, const void *bytes, size_t size,
                          size_t *count);

/* How a session sends. */
enum tls_ways {
    TLS_TAKES_RECORDS = 1, /* a call that took one record's worth says so, and does not go on */
    TLS_GOES_ON = 2,       /* but does after what an earlier call left */
    TLS_MAY_MOVE = 4,      /* what it is called again with may come from another place */
    TLS_HAS_NO_ROOM = 8    /* the program makes its records as large as they may be, or counts on
                              their size: nothing may be added */
};

struct tls_writing {
    tls_write *write;
    tls_identify *identify; /* the random bytes, at any time */
    unsigned (*ask_ways)(const struct tls_writer *writer);
};

struct tls_writer {
    struct tls_call call;
    const struct tls_writing *writing;
    uint64_t flags; /* of the call */
};

/* Whether this thread's calls are to be looked at. */
bool tls_is_observed(void);

void tls_send_begin(struct tls_sending *sending, const struct tls_call *call, const void *bytes,
                    size_t size);
/* The same for a call that is made by tls_send_longer if there is an insertion then: also where it
   is not to be observed any more. */
void tls_send_begin_inserting(struct tls_sending *sending, const struct tls_writer *writer,
                              const void *bytes, size_t size, bool is_observed);
/* Makes the call with what is inserted, or goes on with it. Returns as the library would for the
   program's bytes alone; `*count` as a tls_write. `bytes` may be NULL where the library remembers
   them. */
ssize_t tls_send_longer(struct tls_sending *sending, const struct tls_writer *writer,
                        const void *bytes, size_t size, size_t *count);
/* After tls_send_end, whose `result` and `error` these are, if there is an insertion. */
void tls_insertion_settle(struct tls_sending *sending, const struct tls_writer *writer,
                          ssize_t result, int error);
/* Then, for a library that remembers what it could not send, if there is a copy or `error` is
   EAGAIN. */
void tls_copy_settle(struct tls_sending *sending, const struct tls_writer *writer, int error);
/* `result` bytes were sent, or below 0 and why: an errno, EAGAIN if the call will be made again. */
void tls_send_end(struct tls_sending *sending, const struct tls_call *call, ssize_t result,
                  int error);

/* Bytes were sent or received that could not be seen, or not in time. */
void tls_unseen(const struct tls_call *call, enum direction_name direction, ssize_t result);

/* `result` bytes came; 0: the end; below 0: why. */
void tls_received(const struct tls_call *call, void *bytes, ssize_t result, int error);

/* The session is established. */
void tls_shook_hands(const struct tls_call *call);

/* What is known of a session ends where it gets another transport, begins again, or is freed. */
void tls_forget(const void *session);

/* The program carries an OpenSSL of its own and exports its functions (Node): they are patched so
   that its calls are seen. Only before there are threads. NULL, or why they stay unseen. */
const char *tls_openssl_patch_program(void);

/* A session whose end is not seen: if it is another one than its connection says, by the random
   bytes of its ClientHello, it is forgotten. */
void tls_forget_if_other(const void *session, const uint8_t random[TLS_RANDOM_BYTES]);

/* The library has no such function. */
int tls_not_there(void);
