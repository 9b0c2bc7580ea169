#include "worker/transport/otlp_transport.h"

#include <stdlib.h>

static struct otlp_transport *self_of(struct transport *transport)
{
    return (struct otlp_transport *)transport;
}

static void release_body(struct otlp_transport *self)
{
    free(self->body);
    self->body = NULL;
}

bool otlp_transport_init(struct otlp_transport *self, const struct transport_ops *ops,
                         otlp_judge *judge, const struct config *config,
                         const struct post_options *options)
{
    self->base.ops = ops;
    self->judge = judge;
    self->gzip = config->gzip;
    post_describe_place(config->endpoint, self->place, sizeof(self->place));
    self->post = post_create(config, options);
    return self->post != NULL;
}

int otlp_transport_begin(struct otlp_transport *self, const struct export_batch *batch,
                         struct slice body, uint8_t *owned)
{
    self->body = owned;
    self->batch_size = batch->size;
    self->span_count = batch->span_count;
    int result = post_begin(self->post, body);
    if (result != 0) {
        release_body(self);
    }
    return result;
}

enum transport_result otlp_transport_step(struct transport *transport,
                                          struct transport_outcome *outcome)
{
    struct otlp_transport *self = self_of(transport);
    struct post_answer answer;
    if (!post_step(self->post, &answer)) {
        return TRANSPORT_PENDING;
    }
    release_body(self);
    *outcome = (struct transport_outcome){0};
    return self->judge(self, &answer, outcome);
}

size_t otlp_transport_descriptors(struct transport *transport, struct pollfd *into, size_t capacity,
                                  int *timeout_ms)
{
    return post_descriptors(self_of(transport)->post, into, capacity, timeout_ms);
}

void otlp_transport_cancel(struct transport *transport)
{
    post_cancel(self_of(transport)->post);
    release_body(self_of(transport));
}

void otlp_transport_destroy(struct transport *transport)
{
    struct otlp_transport *self = self_of(transport);
    post_destroy(self->post);
    release_body(self);
    free(self);
}
