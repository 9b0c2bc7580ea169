#include "worker/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "wire/hex.h"
#include "worker/otlp/encode.h"
#include "worker/proc_file.h"
#include "worker/runtime.h"
#include "worker/utc_time.h"
#include "worker/utf8.h"

/* All text once, the literal keys, and what stands around them. */
#define ENCODED_BYTES (2 * LIMIT_RESOURCE_TEXT)
/* /proc/<pid>/mountinfo and /etc/passwd are read this far. */
#define FILE_BYTES        32768
#define COMMAND_BYTES     256
#define CONTAINER_ID_SIZE 64

#if defined(__x86_64__)
#define HOST_ARCH "amd64"
#elif defined(__aarch64__)
#define HOST_ARCH "arm64"
#endif

struct builder {
    int32_t described_id; /* whose /proc is read */
    const struct config *config;
    const struct resource_source *source;
    size_t count;
    size_t text_used;
    struct attribute attributes[LIMIT_RESOURCE_ATTRIBUTES];
    char text[LIMIT_RESOURCE_TEXT];
    char file[FILE_BYTES];
    uint8_t encoded[ENCODED_BYTES];
};

/* ---- the set of attributes ---- */

/* A valid copy; NULL data if there is no room. */
static struct slice keep(struct builder *builder, struct slice text)
{
    uint8_t *at = (uint8_t *)builder->text + builder->text_used;
    bool cut;
    size_t used = utf8_repair(text, at, sizeof(builder->text) - builder->text_used, &cut);
    if (cut) {
        return (struct slice){NULL, 0};
    }
    builder->text_used += used;
    return slice_of(at, used);
}

/* The attribute of that key, a new one if there is none. NULL if there is no room. */
static struct attribute *attribute_of(struct builder *builder, struct slice key)
{
    for (size_t i = 0; i < builder->count; i++) {
        if (slice_equals(builder->attributes[i].key, key)) {
            return &builder->attributes[i];
        }
    }
    if (builder->count == LIMIT_RESOURCE_ATTRIBUTES) {
        return NULL;
    }
    struct attribute *attribute = &builder->attributes[builder->count++];
    attribute->key = key;
    return attribute;
}

/* `key` must outlive the builder. What is empty is not known, so it is not set. */
static void set_string(struct builder *builder, struct slice key, struct slice value)
{
    struct slice text = value.size > 0 ? keep(builder, value) : value;
    struct attribute *attribute = text.size > 0 ? attribute_of(builder, key) : NULL;
    if (attribute != NULL) {
        attribute->type = ATTRIBUTE_STRING;
        attribute->string = text;
    }
}

static void set_int(struct builder *builder, struct slice key, int64_t value)
{
    struct attribute *attribute = attribute_of(builder, key);
    if (attribute != NULL) {
        attribute->type = ATTRIBUTE_INT;
        attribute->integer = value;
    }
}

/* ---- text ---- */

static struct slice first_line(struct slice text)
{
    const uint8_t *end = text.size > 0 ? memchr(text.data, '\n', text.size) : NULL;
    text.size = end != NULL ? (size_t)(end - text.data) : text.size;
    return text;
}

static bool next_line(struct slice *text, struct slice *line)
{
    if (text->size == 0) {
        return false;
    }
    *line = first_line(*text);
    slice_take(text, line->size < text->size ? line->size + 1 : line->size);
    return true;
}

static struct slice after_last(struct slice text, uint8_t byte)
{
    for (size_t i = text.size; i > 0; i--) {
        if (text.data[i - 1] == byte) {
            return slice_of(text.data + i, text.size - i);
        }
    }
    return text;
}

/* The field number `index` (from 0) of a line whose fields `separator` parts. */
static struct slice field_of(struct slice line, uint8_t separator, unsigned index)
{
    for (;;) {
        const uint8_t *end = line.size > 0 ? memchr(line.data, separator, line.size) : NULL;
        size_t size = end != NULL ? (size_t)(end - line.data) : line.size;
        if (index-- == 0) {
            return slice_of(line.data, size);
        }
        if (end == NULL) {
            return (struct slice){NULL, 0};
        }
        slice_take(&line, size + 1);
    }
}

static bool to_number(struct slice text, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || *number > UINT64_MAX / 10 - 1) {
            return false;
        }
        *number = *number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.size > 0;
}

static struct slice read_of(struct builder *builder, const char *name)
{
    return proc_file_read_of(builder->source->root, builder->described_id, name, builder->file,
                             sizeof(builder->file));
}

static struct slice read_file(struct builder *builder, const char *path)
{
    return proc_file_read(builder->source->root, path, builder->file, sizeof(builder->file));
}

/* ---- process ---- */

/* Without what /proc says of a file that was replaced. */
static struct slice without_remark(struct slice path)
{
    static const struct slice deleted = {(const uint8_t *)" (deleted)", 10};
    if (path.size > deleted.size &&
        memcmp(path.data + path.size - deleted.size, deleted.data, deleted.size) == 0) {
        path.size -= deleted.size;
    }
    return path;
}

/* Empty if it may not be read. */
static struct slice executable_of(struct builder *builder, int32_t process_id)
{
    return without_remark(proc_file_link_of(builder->source->root, process_id, "exe", builder->file,
                                            sizeof(builder->file)));
}

static struct slice executable_path(struct builder *builder)
{
    const char *program = builder->source->program;
    return program != NULL ? without_remark(slice_of(program, strlen(program)))
                           : executable_of(builder, builder->described_id);
}

static struct slice executable_name(struct builder *builder)
{
    struct slice path = executable_path(builder);
    return path.size > 0 ? after_last(path, '/') : first_line(read_of(builder, "comm"));
}

static bool runs_the_program(struct builder *builder, int32_t process_id)
{
    return process_id != 0 && slice_equals(after_last(executable_of(builder, process_id), '/'),
                                           executable_name(builder));
}

/* Whose /proc describes the process: its own, unless it has ended, or is another program by now. */
static void choose_described(struct builder *builder)
{
    const struct resource_source *source = builder->source;
    builder->described_id = source->process_id;
    if (source->program != NULL && !runs_the_program(builder, source->process_id)) {
        builder->described_id =
            runs_the_program(builder, source->program_id) ? source->program_id : 0;
    }
}

/* Ticks after boot at which the process started: field 22 of stat, counted from behind the name,
   which may hold anything. */
static bool start_ticks(struct builder *builder, uint64_t *ticks)
{
    struct slice stat = after_last(read_of(builder, "stat"), ')');
    return to_number(field_of(stat, ' ', 20), ticks);
}

static void set_creation_time(struct builder *builder)
{
    uint64_t ticks;
    long ticks_per_second = sysconf(_SC_CLK_TCK);
    if (!start_ticks(builder, &ticks) || ticks_per_second <= 0) {
        return;
    }
    uint64_t milliseconds =
        builder->source->boot_time_ns / 1000000 + ticks * 1000 / (uint64_t)ticks_per_second;
    char text[UTC_TIME_BYTES];
    size_t size = utc_time_format(milliseconds, text);
    set_string(builder, SLICE("process.creation.time"), slice_of(text, size));
}

/* The effective user's name by /etc/passwd alone: the name service would load the machine's own
   libraries into the host process. */
static void set_owner(struct builder *builder)
{
    struct slice status = read_of(builder, "status");
    struct slice line;
    uint64_t user = UINT64_MAX;
    while (next_line(&status, &line)) {
        if (slice_starts_with(line, SLICE("Uid:"))) {
            to_number(field_of(line, '\t', 2), &user);
        }
    }
    struct slice passwd = read_file(builder, "/etc/passwd");
    while (user != UINT64_MAX && next_line(&passwd, &line)) {
        uint64_t number;
        if (to_number(field_of(line, ':', 2), &number) && number == user) {
            set_string(builder, SLICE("process.owner"), field_of(line, ':', 0));
            return;
        }
    }
}

static void set_runtime(struct builder *builder)
{
    struct runtime runtime;
    runtime_detect(&runtime, builder->source->root, builder->described_id, executable_path(builder),
                   builder->file, sizeof(builder->file));
    set_string(builder, SLICE("process.runtime.name"), runtime.name);
    set_string(builder, SLICE("process.runtime.version"), runtime.version);
}

static void detect_process(struct builder *builder)
{
    set_int(builder, SLICE("process.pid"), builder->source->process_id);
    set_string(builder, SLICE("process.executable.name"), executable_name(builder));
    struct slice command = field_of(read_of(builder, "cmdline"), '\0', 0);
    command.size = command.size < COMMAND_BYTES ? command.size : COMMAND_BYTES;
    set_string(builder, SLICE("process.command"), command);
    set_runtime(builder);
    if (builder->described_id == builder->source->process_id) {
        set_creation_time(builder);
    }
    set_owner(builder);
}

/* ---- host and container ---- */

/* The first run of exactly 64 hex digits. */
static struct slice find_container_id(struct slice text)
{
    size_t run = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && hex_digit(text.data[i]) >= 0) {
            run++;
            continue;
        }
        if (run == CONTAINER_ID_SIZE) {
            return slice_of(text.data + i - CONTAINER_ID_SIZE, CONTAINER_ID_SIZE);
        }
        run = 0;
    }
    return (struct slice){NULL, 0};
}

static bool contains(struct slice text, struct slice part)
{
    return text.size >= part.size && memmem(text.data, text.size, part.data, part.size) != NULL;
}

/* cgroup v1 ends its paths with the id; under v2 the runtime's own mounts name it. */
static struct slice container_id(struct builder *builder)
{
    struct slice id = find_container_id(read_of(builder, "cgroup"));
    if (id.size > 0) {
        return id;
    }
    struct slice mounts = read_of(builder, "mountinfo");
    struct slice line;
    while (next_line(&mounts, &line)) {
        if (contains(line, SLICE("/containers/")) || contains(line, SLICE("/sandboxes/"))) {
            id = find_container_id(line);
            if (id.size > 0) {
                return id;
            }
        }
    }
    return id;
}

static void detect_host(struct builder *builder)
{
    set_string(builder, SLICE("host.name"),
               first_line(read_file(builder, "/proc/sys/kernel/hostname")));
#ifdef HOST_ARCH
    set_string(builder, SLICE("host.arch"), SLICE(HOST_ARCH));
#endif
    set_string(builder, SLICE("os.type"), SLICE("linux"));
    struct slice container = container_id(builder);
    if (container.size > 0) {
        /* A container's machine-id is its image's. */
        set_string(builder, SLICE("container.id"), container);
        return;
    }
    struct slice id = first_line(read_file(builder, "/etc/machine-id"));
    if (id.size == 0) {
        id = first_line(read_file(builder, "/var/lib/dbus/machine-id"));
    }
    set_string(builder, SLICE("host.id"), id);
}

/* ---- service and deployment ---- */

static void set_instance_id(struct builder *builder)
{
    uint8_t id[16];
    char text[40];
    memcpy(id, builder->source->random, sizeof(id));
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* version 4 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80); /* RFC 9562's variant */
    int size = snprintf(text, sizeof(text),
                        "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                        id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9],
                        id[10], id[11], id[12], id[13], id[14], id[15]);
    set_string(builder, SLICE("service.instance.id"), slice_of(text, (size_t)size));
}

static void detect_service(struct builder *builder)
{
    const struct config *config = builder->config;
    struct slice name = executable_name(builder);
    set_string(builder, SLICE("service.name"), name.size > 0 ? name : SLICE("unknown_service"));
    set_instance_id(builder);
    set_string(builder, SLICE("deployment.environment.name"), config->environment);
    set_string(builder, SLICE("cloud.region"), config->region);
    set_string(builder, SLICE("machine.id"), config->machine_id);
    set_string(builder, SLICE("worker.id"), config->worker_id);
}

/* ---- OTEL_RESOURCE_ATTRIBUTES ---- */

static struct slice trim(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        slice_take(&text, 1);
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

/* Percent-decodes into the builder's text. False where a '%' is not followed by two hex digits. */
static bool decode(struct builder *builder, struct slice text, struct slice *decoded)
{
    uint8_t *out = (uint8_t *)builder->file;
    size_t used = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%') {
            int high = i + 1 < text.size ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (used == sizeof(builder->file)) {
            return false;
        }
        out[used++] = byte;
    }
    *decoded = keep(builder, slice_of(out, used));
    return decoded->data != NULL;
}

static bool take_pair(struct builder *builder, struct slice pair)
{
    const uint8_t *equals = memchr(pair.data, '=', pair.size);
    if (equals == NULL) {
        return false;
    }
    size_t at = (size_t)(equals - pair.data);
    struct slice key;
    struct slice value;
    if (!decode(builder, trim(slice_of(pair.data, at)), &key) || key.size == 0 ||
        !decode(builder, trim(slice_of(pair.data + at + 1, pair.size - at - 1)), &value)) {
        return false;
    }
    struct attribute *attribute = attribute_of(builder, key);
    if (attribute == NULL) {
        return false;
    }
    attribute->type = ATTRIBUTE_STRING;
    attribute->string = value;
    return true;
}

/* All or nothing: one bad pair discards the variable. */
static bool take_pairs(struct builder *builder, struct slice list)
{
    while (list.size > 0) {
        struct slice pair = field_of(list, ',', 0);
        slice_take(&list, pair.size < list.size ? pair.size + 1 : pair.size);
        pair = trim(pair);
        if (pair.size > 0 && !take_pair(builder, pair)) {
            return false;
        }
    }
    return true;
}

static void merge_environment(struct builder *builder, config_complaint *complain, void *context)
{
    struct attribute before[LIMIT_RESOURCE_ATTRIBUTES];
    size_t count = builder->count;
    memcpy(before, builder->attributes, sizeof(before));
    if (take_pairs(builder, builder->config->resource_attributes)) {
        return;
    }
    memcpy(builder->attributes, before, sizeof(before));
    builder->count = count;
    if (complain != NULL) {
        complain(context,
                 "OTEL_RESOURCE_ATTRIBUTES: not a list of key=value with percent-encoding, "
                 "or too long; all of it is ignored");
    }
}

static void name_ourselves(struct builder *builder)
{
    set_string(builder, SLICE("telemetry.sdk.name"), SLICE("wirespan"));
    set_string(builder, SLICE("telemetry.sdk.language"), SLICE("c"));
    set_string(builder, SLICE("telemetry.sdk.version"), SLICE(WIRESPAN_VERSION));
    set_string(builder, SLICE("telemetry.distro.name"), SLICE("wirespan"));
    set_string(builder, SLICE("telemetry.distro.version"), SLICE(WIRESPAN_VERSION));
}

/* ---- the whole ---- */

static struct resource *encode(struct builder *builder)
{
    size_t size = otlp_encode_resource(builder->attributes, builder->count, builder->encoded,
                                       sizeof(builder->encoded));
    struct resource *resource = malloc(sizeof(*resource) + size);
    if (resource == NULL) {
        return NULL;
    }
    *resource = (struct resource){.references = 1, .size = size};
    memcpy(resource->bytes, builder->encoded, size);
    return resource;
}

struct resource *resource_create(const struct config *config, const struct resource_source *source,
                                 config_complaint *complain, void *context)
{
    struct builder *builder = malloc(sizeof(*builder));
    if (builder == NULL) {
        return NULL;
    }
    builder->config = config;
    builder->source = source;
    builder->count = 0;
    builder->text_used = 0;
    choose_described(builder);
    detect_service(builder);
    detect_process(builder);
    detect_host(builder);
    merge_environment(builder, complain, context);
    set_string(builder, SLICE("service.name"), config->service_name);
    name_ourselves(builder);
    struct resource *resource = encode(builder);
    free(builder);
    return resource;
}

void resource_release(struct resource *resource)
{
    if (resource != NULL && --resource->references == 0) {
        free(resource);
    }
}
