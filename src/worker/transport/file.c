#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/slice.h"
#include "worker/error_text.h"
#include "worker/otlp/json.h"
#include "worker/transport/create.h"
#include "worker/transport/outcome.h"
#include "worker/transport/system.h"

/* Without O_NONBLOCK a named pipe that nobody reads would hold the worker. */
#define FILE_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
#define FILE_MODE  0644

struct file {
    struct transport base;
    char *path;
    bool in_flight;
    struct export_batch batch;
    bool is_torn; /* the file ends in the beginning of a line: the disk was full */
};

static struct file *self_of(struct transport *transport)
{
    return (struct file *)transport;
}

static int begin(struct transport *transport, const struct export_batch *batch)
{
    struct file *self = self_of(transport);
    self->batch = *batch;
    self->in_flight = true;
    return 0;
}

/* One write is one line, whoever else appends; only a failing disk takes a part. */
static int append(struct file *self, int fd, const char *line, size_t size)
{
    size_t written = 0;
    while (written < size) {
        long count = system_write(fd, line + written, size - written);
        if (count == -EINTR) {
            continue;
        }
        if (count <= 0) {
            self->is_torn = self->is_torn || written > 0;
            return count < 0 ? (int)count : -EIO;
        }
        written += (size_t)count;
    }
    self->is_torn = false;
    return 0;
}

static int append_line(struct file *self, const json_t *json)
{
    /* The first byte ends a torn line; else it is left out. */
    size_t size = json_dumpb(json, NULL, 0, JSON_COMPACT);
    char *line = size > 0 ? malloc(size + 2) : NULL;
    if (line == NULL) {
        return -ENOMEM;
    }
    line[0] = '\n';
    json_dumpb(json, line + 1, size, JSON_COMPACT);
    line[size + 1] = '\n';
    size_t skipped = self->is_torn ? 0 : 1;
    int result;
    int fd = system_open(self->path, FILE_FLAGS, FILE_MODE);
    if (fd < 0) {
        result = fd;
    } else {
        result = append(self, fd, line + skipped, size + 2 - skipped);
        system_close(fd);
    }
    free(line);
    return result;
}

static enum transport_result step(struct transport *transport, struct transport_outcome *outcome)
{
    struct file *self = self_of(transport);
    if (!self->in_flight) {
        return TRANSPORT_PENDING;
    }
    self->in_flight = false;
    *outcome = (struct transport_outcome){0};
    json_t *json = otlp_bytes_to_json(slice_of(self->batch.bytes, self->batch.size));
    if (json == NULL) {
        outcome_say(outcome, "%s: the batch cannot be decoded", self->path);
        return TRANSPORT_REFUSED;
    }
    int result = append_line(self, json);
    json_decref(json);
    if (result == 0) {
        return TRANSPORT_DELIVERED;
    }
    outcome_say(outcome, "%s: %s", self->path, error_text(-result));
    return TRANSPORT_RETRY;
}

static size_t descriptors(struct transport *transport, struct pollfd *into, size_t capacity,
                          int *timeout_ms)
{
    (void)into;
    (void)capacity;
    if (self_of(transport)->in_flight) {
        *timeout_ms = 0;
    }
    return 0;
}

static void cancel(struct transport *transport)
{
    self_of(transport)->in_flight = false;
}

static void destroy(struct transport *transport)
{
    free(self_of(transport)->path);
    free(transport);
}

static const struct transport_ops file_ops = {
    .name = "file",
    .begin = begin,
    .step = step,
    .descriptors = descriptors,
    .cancel = cancel,
    .destroy = destroy,
};

struct transport *file_create(const char *path)
{
    int fd = system_open(path, FILE_FLAGS, FILE_MODE);
    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    system_close(fd);
    struct file *self = calloc(1, sizeof(*self));
    /* The application may change its working directory. */
    char *copy = realpath(path, NULL);
    if (self == NULL || copy == NULL) {
        free(self);
        free(copy);
        errno = ENOMEM;
        return NULL;
    }
    self->base.ops = &file_ops;
    self->path = copy;
    return &self->base;
}
