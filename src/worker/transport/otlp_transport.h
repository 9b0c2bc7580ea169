/*
 * What OTLP over HTTP and over gRPC have in common: a batch becomes the body of a POST, whose
 * answer is judged. Each holds this as its first member.
 */
#pragma once

#include <stdbool.h>

#include "worker/transport/post.h"
#include "worker/transport/transport.h"

struct otlp_transport;

/* What the answer to the batch in flight means. */
typedef enum transport_result otlp_judge(struct otlp_transport *self,
                                         const struct post_answer *answer,
                                         struct transport_outcome *outcome);

struct otlp_transport {
    struct transport base;
    otlp_judge *judge;
    struct post *post;
    char place[128]; /* the endpoint, as it may be said */
    bool gzip;
    uint8_t *body;     /* made of the batch in flight; NULL if the batch itself is sent */
    size_t batch_size; /* not compressed */
    uint32_t span_count;
};

/* Fills in all but the batch, and makes the post. `self` is zero but for what its owner added.
   False if the post cannot be made, which has been said; then `self` is the caller's to free. */
bool otlp_transport_init(struct otlp_transport *self, const struct transport_ops *ops,
                         otlp_judge *judge, const struct config *config,
                         const struct post_options *options);

/* Sends `body`, which is `owned` -- freed here, also on failure -- or, with NULL for that, lies in
   the batch. Returns 0 or a negative errno. */
int otlp_transport_begin(struct otlp_transport *self, const struct export_batch *batch,
                         struct slice body, uint8_t *owned);

/* These are for struct transport_ops. `destroy` frees the transport. */
enum transport_result otlp_transport_step(struct transport *transport,
                                          struct transport_outcome *outcome);
size_t otlp_transport_descriptors(struct transport *transport, struct pollfd *into, size_t capacity,
                                  int *timeout_ms);
void otlp_transport_cancel(struct transport *transport);
void otlp_transport_destroy(struct transport *transport);
