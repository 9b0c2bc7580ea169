/* The interface as the process folder uses it: from an environment to a file of spans. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "handoff/segment.h"
#include "worker/worker.h"

static char folder[64];
static char output[8192];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/wirespan-api-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static const char *read_file(const char *name)
{
    FILE *file = fopen(path_of(name), "r");
    assert_non_null(file);
    size_t size = fread(output, 1, sizeof(output) - 1, file);
    output[size] = '\0';
    fclose(file);
    return output;
}

/* stderr goes to a file while an exporter lives. */
static int saved_stderr;

static void catch_stderr(void)
{
    saved_stderr = dup(STDERR_FILENO);
    int fd = open(path_of("stderr"), O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
    assert_true(saved_stderr >= 0 && fd >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
}

static void release_stderr(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
}

static struct segment *make_segment(size_t *size)
{
    *size = segment_size(64);
    struct segment *segment = aligned_alloc(64, *size);
    assert_non_null(segment);
    memset(segment, 0, *size);
    segment_initialize(segment, 64, getpid(), (struct segment_clock){1, 1});
    return segment;
}

static void complete_one(struct segment *segment)
{
    uint32_t cursor = 0;
    uint16_t slot = segment_claim(segment, &cursor);
    struct record *record = segment_record(segment, slot);
    record->kind = RECORD_REDIS_CLIENT;
    record->trace_flags = 3;
    memset(record->trace_id, 0xab, sizeof(record->trace_id));
    memset(record->span_id, 0xcd, sizeof(record->span_id));
    record->start_ns = now_ns() - 1000000;
    record->end_ns = record->start_ns + 5000;
    record_add_field(record, FIELD_COMMAND, SLICE("PING"), 16);
    segment_open(segment, slot);
    segment_complete(segment, &segment->doorbell, slot, 0);
}

static void from_an_environment_to_a_file(void **state)
{
    (void)state;
    char variable[160];
    snprintf(variable, sizeof(variable), "WIRESPAN_FILE=%s", path_of("spans.jsonl"));
    const char *const environment[] = {
        "OTEL_TRACES_EXPORTER=file",      variable,
        "OTEL_SERVICE_NAME=shop",         "WIRESPAN_LOG_LEVEL=info",
        "OTEL_BSP_SCHEDULE_DELAY=faster", NULL,
    };
    size_t size;
    struct segment *segment = make_segment(&size);
    struct worker_wait wait;
    time_t before = time(NULL);
    assert_int_equal(wirespan_worker.version, WORKER_API_VERSION);
    catch_stderr();
    struct exporter *exporter = wirespan_worker.create(environment, false);
    assert_non_null(exporter);
    assert_int_equal(wirespan_worker.add_segment(exporter, segment, size, NULL), 0);
    wirespan_worker.step(exporter, now_ns(), false, &wait);
    assert_true(wait.idle);
    complete_one(segment);
    uint64_t deadline = now_ns() + UINT64_C(10000000000);
    do {
        wirespan_worker.step(exporter, now_ns(), true, &wait);
    } while (!wirespan_worker.is_drained(exporter) && now_ns() < deadline);
    assert_true(wirespan_worker.is_drained(exporter));
    wirespan_worker.remove_segment(exporter, segment, 0);
    wirespan_worker.destroy(exporter);
    release_stderr();
    free(segment);

    const char *spans = read_file("spans.jsonl");
    assert_non_null(strstr(spans, "\"name\":\"PING\""));
    assert_non_null(strstr(spans, "\"traceId\":\"abababababababababababababababab\""));
    assert_non_null(strstr(spans, "\"shop\""));
    const char *start = strstr(spans, "\"startTimeUnixNano\":\"");
    assert_non_null(start);
    long long seconds = atoll(start + strlen("\"startTimeUnixNano\":\"")) / 1000000000;
    assert_true(seconds >= before - 1 && seconds <= time(NULL));

    const char *said = read_file("stderr");
    assert_non_null(strstr(said, "wirespan: OTEL_BSP_SCHEDULE_DELAY=faster: not a whole number"));
    assert_non_null(strstr(said, "wirespan: 1 spans exported by file\n"
                                 "wirespan: lost: nothing\n"));
}

static void switched_off_there_is_no_exporter(void **state)
{
    (void)state;
    static const char *const variables[] = {"OTEL_TRACES_EXPORTER=none", "OTEL_SDK_DISABLED=true",
                                            "WIRESPAN_ENABLED=false"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *const environment[] = {variables[i], NULL};
        catch_stderr();
        assert_null(wirespan_worker.create(environment, false));
        release_stderr();
        assert_string_equal(read_file("stderr"), "");
    }
}

static void an_exporter_that_cannot_work_says_why(void **state)
{
    (void)state;
    char variable[160];
    snprintf(variable, sizeof(variable), "WIRESPAN_FILE=%s", path_of("none/spans.jsonl"));
    const char *const environment[] = {"OTEL_TRACES_EXPORTER=file", variable, NULL};
    catch_stderr();
    assert_null(wirespan_worker.create(environment, false));
    release_stderr();
    const char *said = read_file("stderr");
    assert_non_null(strstr(said, "wirespan: file exporter: "));
    assert_non_null(strstr(said, "none/spans.jsonl"));
    assert_non_null(strstr(said, "wirespan: nothing is exported"));
}

static void log_level_none_is_silent(void **state)
{
    (void)state;
    char variable[160];
    snprintf(variable, sizeof(variable), "WIRESPAN_FILE=%s", path_of("none/spans.jsonl"));
    const char *const environment[] = {"WIRESPAN_LOG_LEVEL=none", "OTEL_TRACES_EXPORTER=file",
                                       "OTEL_SDK_DISABLED=maybe", variable, NULL};
    catch_stderr();
    assert_null(wirespan_worker.create(environment, false));
    release_stderr();
    assert_string_equal(read_file("stderr"), "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(from_an_environment_to_a_file),
        TEST(switched_off_there_is_no_exporter),
        TEST(an_exporter_that_cannot_work_says_why),
        TEST(log_level_none_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
