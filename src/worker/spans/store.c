/*
 * Object stores: S3 and what speaks like it, Azure Blob, Google Cloud Storage. Which one a request
 * is for is told by what only its clients send, by the host, or by the query of a signed URL; what
 * it does, to which object, by method, path and query. Values of the query that sign are not here:
 * they were redacted when the target was copied. Downloads of models are told by the name of the
 * file.
 */
#include "base/compiler.h"
#include "worker/spans/kinds.h"

#define LITERAL(text)                                                                              \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

#define NS_PER_S 1e9

struct object {
    struct slice bucket;
    struct slice key;       /* as in the path, percent-encoded */
    struct slice operation; /* empty: none that is known */
};

static bool ends_with(struct slice text, struct slice end)
{
    return text.size >= end.size &&
           slice_equals_ignoring_case(slice_of(text.data + text.size - end.size, end.size), end);
}

/* Where `part` begins; the text's size if it is not in it. */
static size_t find(struct slice text, struct slice part)
{
    for (size_t at = 0; at + part.size <= text.size; at++) {
        if (memcmp(text.data + at, part.data, part.size) == 0) {
            return at;
        }
    }
    return text.size;
}

/* The value of a member of the query; NULL data: it has none, empty: one without a value. */
static struct slice query_value(struct slice query, struct slice name)
{
    while (query.size > 0) {
        struct slice member = slice_take(&query, find(query, SLICE("&")));
        slice_take(&query, query.size > 0);
        struct slice key = slice_take(&member, find(member, SLICE("=")));
        if (slice_equals_ignoring_case(key, name)) {
            slice_take(&member, member.size > 0);
            return member.data == NULL ? SLICE("") : member;
        }
    }
    return (struct slice){NULL, 0};
}

static bool has(struct slice query, struct slice name)
{
    return query_value(query, name).data != NULL;
}

/* The first segment of a path without its slash, and what is behind it. */
static struct slice take_segment(struct slice *path)
{
    slice_take(path, path->size > 0 && path->data[0] == '/');
    struct slice segment = slice_take(path, find(*path, SLICE("/")));
    slice_take(path, path->size > 0);
    return segment;
}

/* ---- whose ---- */

static bool is_gcs_path(struct slice path)
{
    return slice_starts_with(path, SLICE("/storage/v1/b/")) ||
           slice_starts_with(path, SLICE("/upload/storage/v1/b/")) ||
           slice_starts_with(path, SLICE("/download/storage/v1/b/"));
}

static enum store_provider provider_of_host(struct slice host)
{
    if (ends_with(host, SLICE(".amazonaws.com"))) {
        bool is_s3 = slice_starts_with(host, SLICE("s3.")) ||
                     slice_starts_with(host, SLICE("s3-")) ||
                     find(host, SLICE(".s3.")) < host.size || find(host, SLICE(".s3-")) < host.size;
        return is_s3 ? STORE_S3 : STORE_NONE;
    }
    if (ends_with(host, SLICE(".blob.core.windows.net"))) {
        return STORE_AZURE;
    }
    return ends_with(host, SLICE("storage.googleapis.com")) ? STORE_GCS : STORE_NONE;
}

static enum store_provider provider_of(const struct record *record, struct slice host,
                                       const struct target *target)
{
    enum store_provider by_host = provider_of_host(host);
    if (by_host != STORE_NONE) {
        return by_host;
    }
    if (record->http.store > STORE_NONE && record->http.store < STORE_COUNT) {
        /* Azure's queues, tables and files are asked in the same way. */
        bool is_other =
            record->http.store == STORE_AZURE && ends_with(host, SLICE(".core.windows.net"));
        return is_other ? STORE_NONE : (enum store_provider)record->http.store;
    }
    if (is_gcs_path(target->path) || has(target->query, SLICE("X-Goog-Signature"))) {
        return STORE_GCS;
    }
    if (has(target->query, SLICE("X-Amz-Signature")) ||
        (has(target->query, SLICE("AWSAccessKeyId")) && has(target->query, SLICE("Signature")))) {
        return STORE_S3;
    }
    return has(target->query, SLICE("sig")) && has(target->query, SLICE("sv")) &&
                   has(target->query, SLICE("sr"))
               ? STORE_AZURE
               : STORE_NONE;
}

/* ---- what ---- */

static bool is(struct slice method, const char *known)
{
    return slice_equals(method, slice_of(known, strlen(known)));
}

/* What S3's way of asking means, which Google's XML is, too. */
static struct slice s3_operation(struct slice method, struct slice query, bool has_key)
{
    bool is_part = has(query, SLICE("partNumber"));
    bool is_multipart = has(query, SLICE("uploadId"));
    /* Not the object, but what is known of it. */
    if (has(query, SLICE("acl")) || has(query, SLICE("tagging"))) {
        return SLICE("");
    }
    if (!has_key) {
        return is(method, "GET") ? SLICE("list") : SLICE("");
    }
    if (is(method, "PUT")) {
        return is_part ? SLICE("upload_part") : SLICE("upload");
    }
    if (is(method, "POST")) {
        return is_multipart                   ? SLICE("upload_complete")
               : has(query, SLICE("uploads")) ? SLICE("upload_begin")
                                              : SLICE("");
    }
    if (is(method, "DELETE")) {
        return is_multipart ? SLICE("upload_abort") : SLICE("delete");
    }
    return is(method, "GET") ? SLICE("download") : is(method, "HEAD") ? SLICE("head") : SLICE("");
}

/* The bucket is the beginning of the host, or of the path. */
static struct object s3_object(struct slice method, struct slice host, const struct target *target)
{
    struct object object = {.bucket = {NULL, 0}};
    size_t dot = find(host, SLICE(".s3."));
    struct slice path = target->path;
    dot = dot < host.size ? dot : find(host, SLICE(".s3-"));
    dot = dot < host.size ? dot : find(host, SLICE(".storage.googleapis.com"));
    if (dot < host.size) {
        object.bucket = slice_of(host.data, dot);
        slice_take(&path, path.size > 0);
    } else {
        object.bucket = take_segment(&path);
    }
    object.key = path;
    object.operation = s3_operation(method, target->query, path.size > 0);
    return object;
}

static struct slice azure_operation(struct slice method, struct slice query, bool has_key)
{
    struct slice what = query_value(query, SLICE("comp"));
    if (is(method, "PUT") && has_key) {
        return what.data == NULL                          ? SLICE("upload")
               : slice_equals(what, SLICE("block"))       ? SLICE("upload_part")
               : slice_equals(what, SLICE("appendblock")) ? SLICE("upload_part")
               : slice_equals(what, SLICE("page"))        ? SLICE("upload_part")
               : slice_equals(what, SLICE("blocklist"))   ? SLICE("upload_complete")
                                                          : SLICE("");
    }
    if (is(method, "GET") && slice_equals(what, SLICE("list"))) {
        return SLICE("list");
    }
    if (!has_key || what.data != NULL) {
        return SLICE("");
    }
    return is(method, "GET")      ? SLICE("download")
           : is(method, "HEAD")   ? SLICE("head")
           : is(method, "DELETE") ? SLICE("delete")
                                  : SLICE("");
}

/* A name without dots, or an address: where emulators are asked, and no domain of one's own is. */
static bool is_bare(struct slice host)
{
    bool has_dots = false;
    bool has_letters = false;
    for (size_t i = 0; i < host.size; i++) {
        has_dots |= host.data[i] == '.';
        has_letters |= (uint8_t)(ascii_lower(host.data[i]) - 'a') < 26;
    }
    return !has_dots || !has_letters;
}

/* Emulators have the account first, where a container and a blob are not all that there is. */
static struct object azure_object(struct slice method, struct slice host,
                                  const struct target *target)
{
    struct object object = {.bucket = {NULL, 0}};
    struct slice path = target->path;
    object.bucket = take_segment(&path);
    if (is_bare(host) && find(path, SLICE("/")) < path.size) {
        object.bucket = take_segment(&path);
    }
    object.key = path;
    object.operation = azure_operation(method, target->query, path.size > 0);
    return object;
}

/* Google's JSON: [/upload or /download]/storage/v1/b/BUCKET/o[/OBJECT]. */
static struct object gcs_object(struct slice method, struct slice host, const struct target *target)
{
    struct object object = {.bucket = {NULL, 0}};
    struct slice path = target->path;
    if (!is_gcs_path(path)) {
        return s3_object(method, host, target);
    }
    bool is_upload = slice_starts_with(path, SLICE("/upload/"));
    bool has_media = slice_starts_with(path, SLICE("/download/")) ||
                     slice_equals(query_value(target->query, SLICE("alt")), SLICE("media"));
    slice_take(&path, find(path, SLICE("/b/")) + 3);
    object.bucket = take_segment(&path);
    bool has_objects = take_segment(&path).size > 0;
    object.key = path;
    if (is_upload) {
        struct slice type = query_value(target->query, SLICE("uploadType"));
        bool is_part = has(target->query, SLICE("upload_id"));
        object.key = query_value(target->query, SLICE("name"));
        object.operation = is_part                                  ? SLICE("upload_part")
                           : slice_equals(type, SLICE("resumable")) ? SLICE("upload_begin")
                                                                    : SLICE("upload");
    } else if (is(method, "GET")) {
        object.operation = !has_objects     ? SLICE("")
                           : path.size == 0 ? SLICE("list")
                           : has_media      ? SLICE("download")
                                            : SLICE("head");
    } else if (is(method, "DELETE") && path.size > 0) {
        object.operation = SLICE("delete");
    }
    return object;
}

/* ---- */

static void add_size(struct span *span, const struct record *record, struct slice operation)
{
    if (slice_equals(operation, SLICE("download")) && record->http.status / 100 == 2) {
        span_add_int(span, SLICE("storage.size"), (int64_t)record->http.response_body_bytes);
    } else if (slice_equals(operation, SLICE("upload")) ||
               slice_equals(operation, SLICE("upload_part"))) {
        span_add_int(span, SLICE("storage.size"), (int64_t)record->http.request_body_bytes);
    }
}

/* The service's answer has said it. */
static bool has_path(const struct span *span)
{
    for (uint32_t i = 0; i < span->attribute_count; i++) {
        if (slice_equals(span->attributes[i].key, SLICE("storage.path"))) {
            return true;
        }
    }
    return false;
}

static void add_object(struct span *span, const struct record *record, enum store_provider provider,
                       struct slice method, struct slice host, const struct target *target)
{
    static const struct slice names[STORE_COUNT] = {
        [STORE_S3] = LITERAL("s3"),
        [STORE_AZURE] = LITERAL("azure_blob"),
        [STORE_GCS] = LITERAL("gcs"),
    };
    struct object object = provider == STORE_AZURE ? azure_object(method, host, target)
                           : provider == STORE_GCS ? gcs_object(method, host, target)
                                                   : s3_object(method, host, target);
    span_add_literal(span, SLICE("storage.provider"), names[provider]);
    if (object.operation.size > 0) {
        span_add_literal(span, SLICE("storage.operation"), object.operation);
    }
    if (object.bucket.size > 0) {
        span_add_string(span, SLICE("storage.bucket"), object.bucket);
    }
    if (object.key.size > 0 && !has_path(span)) {
        span_add_string(span, SLICE("storage.path"), object.key);
    }
    add_size(span, record, object.operation);
}

/* ---- models ---- */

static bool is_model(struct slice path)
{
    static const struct slice endings[] = {
        LITERAL(".safetensors"), LITERAL(".ckpt"), LITERAL(".gguf"), LITERAL(".ggml"),
        LITERAL(".onnx"),        LITERAL(".pt"),   LITERAL(".pth"),
    };
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (ends_with(path, endings[i])) {
            return true;
        }
    }
    return false;
}

static void add_model(struct span *span, const struct record *record, struct slice path)
{
    uint64_t bytes = record->http.response_body_bytes;
    uint64_t took = record->end_ns - record->start_ns;
    struct slice file = path;
    while (path.size > 0) {
        file = take_segment(&path);
    }
    span_add_string(span, SLICE("model.file"), file);
    span_add_int(span, SLICE("model.size"), (int64_t)bytes);
    span_add_bool(span, SLICE("model.download.resumed"), record->http.status == 206);
    if (took > 0) {
        span_add_double(span, SLICE("model.download.bytes_per_second"),
                        (double)bytes * NS_PER_S / (double)took);
    }
}

void spans_add_store(struct span *span, const struct record *record, const struct record_text *text)
{
    struct target target = spans_parse_target(text->fields[FIELD_TARGET]);
    struct slice method = text->fields[FIELD_METHOD];
    if (target.path.size == 0) {
        return;
    }
    struct slice authority =
        target.form == TARGET_ABSOLUTE ? target.authority : text->fields[FIELD_HOST];
    struct slice host = spans_parse_authority(authority).host;
    enum store_provider provider = provider_of(record, host, &target);
    if (unlikely(provider != STORE_NONE)) {
        add_object(span, record, provider, method, host, &target);
    }
    bool is_answered = record->http.status == 200 || record->http.status == 206;
    if (is(method, "GET") && is_answered && record->end_ns > 0 && is_model(target.path)) {
        add_model(span, record, target.path);
    }
}
