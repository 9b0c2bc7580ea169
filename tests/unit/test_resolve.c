#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/transport/resolve.h"

/* A name server that the test plays itself. */
struct scene {
    int server;
    char hosts[32];
    char servers[32];
    struct resolve_sources sources;
    struct resolve resolve;
    int64_t now_ms;
};

static void write_file(char *path, const char *text)
{
    snprintf(path, 32, "/tmp/wirespan-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void scene_init(struct scene *scene, const char *hosts, const char *servers)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    *scene = (struct scene){.now_ms = 1000};
    scene->server = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(scene->server, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(scene->server, (struct sockaddr *)&address, &size), 0);
    write_file(scene->hosts, hosts);
    write_file(scene->servers, servers);
    scene->sources =
        (struct resolve_sources){scene->hosts, scene->servers, ntohs(address.sin_port)};
}

static void scene_finish(struct scene *scene)
{
    resolve_finish(&scene->resolve);
    close(scene->server);
    unlink(scene->hosts);
    unlink(scene->servers);
}

static void begin(struct scene *scene, const char *host)
{
    resolve_begin(&scene->resolve, host, &scene->sources, scene->now_ms);
}

static enum resolve_result step(struct scene *scene)
{
    return resolve_step(&scene->resolve, scene->now_ms);
}

struct question {
    uint8_t bytes[512];
    size_t size;
    struct sockaddr_in from;
    char name[256];
    unsigned type;
};

/* Loopback delivers at once: what was sent is there. */
static bool next_question(struct scene *scene, struct question *question)
{
    socklen_t size = sizeof(question->from);
    ssize_t got = recvfrom(scene->server, question->bytes, sizeof(question->bytes), MSG_DONTWAIT,
                           (struct sockaddr *)&question->from, &size);
    if (got <= 0) {
        return false;
    }
    question->size = (size_t)got;
    size_t at = 12;
    question->name[0] = '\0';
    while (question->bytes[at] != 0) {
        size_t used = strlen(question->name);
        snprintf(question->name + used, sizeof(question->name) - used, "%s%.*s",
                 used > 0 ? "." : "", question->bytes[at], (char *)&question->bytes[at + 1]);
        at += 1u + question->bytes[at];
    }
    question->type = question->bytes[at + 2];
    assert_int_equal(question->size, at + 5);
    return true;
}

/* Answers with `code` and the records in `data`, of which there are `count`. */
static void answer(struct scene *scene, const struct question *question, uint8_t code,
                   const void *data, size_t data_size, uint8_t count)
{
    uint8_t bytes[1024];
    memcpy(bytes, question->bytes, question->size);
    memcpy(bytes + question->size, data, data_size);
    bytes[2] |= 0x80;
    bytes[3] = (uint8_t)(0x80 | code);
    bytes[7] = count;
    assert_true(sendto(scene->server, bytes, question->size + data_size, 0,
                       (const struct sockaddr *)&question->from, sizeof(question->from)) > 0);
}

#define RECORD_A "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x07"
#define RECORD_AAAA                                                                                \
    "\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10"                                             \
    "\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
#define RECORD_CNAME "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01x\xc0\x0c"

static void expect_questions(struct scene *scene, const char *name, struct question pair[static 2])
{
    assert_true(next_question(scene, &pair[0]));
    assert_true(next_question(scene, &pair[1]));
    assert_string_equal(pair[0].name, name);
    assert_string_equal(pair[1].name, name);
    assert_int_equal(pair[0].type, 1);
    assert_int_equal(pair[1].type, 28);
    struct question none;
    assert_false(next_question(scene, &none));
}

static void refuse_both(struct scene *scene, const char *name, uint8_t code)
{
    struct question pair[2];
    expect_questions(scene, name, pair);
    answer(scene, &pair[0], code, "", 0, 0);
    answer(scene, &pair[1], code, "", 0, 0);
}

static void the_hosts_file_comes_first(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene,
               "127.0.0.1 localhost\n10.1.2.3\tother Collector # a comment collectors\n"
               "# 10.9.9.9 collector\nfd00::1 collector\nbad collector\n",
               "nameserver 127.0.0.1\n");
    begin(&scene, "collector");
    assert_int_equal(step(&scene), RESOLVE_FOUND);
    assert_int_equal(scene.resolve.address_count, 2);
    assert_string_equal(scene.resolve.addresses[0], "10.1.2.3");
    assert_string_equal(scene.resolve.addresses[1], "fd00::1");
    scene_finish(&scene);
}

static void both_families_are_asked_for(void **state)
{
    (void)state;
    struct scene scene;
    struct question pair[2];
    int64_t due_ms;
    scene_init(&scene, "", "nameserver 127.0.0.1\n");
    begin(&scene, "otel.example");
    assert_true(resolve_descriptor(&scene.resolve, &due_ms) >= 0);
    assert_int_equal(due_ms, scene.now_ms + 5000);
    expect_questions(&scene, "otel.example", pair);
    assert_int_equal(step(&scene), RESOLVE_PENDING);
    answer(&scene, &pair[1], 0, RECORD_AAAA, sizeof(RECORD_AAAA) - 1, 1);
    assert_int_equal(step(&scene), RESOLVE_PENDING);
    answer(&scene, &pair[0], 0, RECORD_CNAME RECORD_A, sizeof(RECORD_CNAME RECORD_A) - 1, 2);
    assert_int_equal(step(&scene), RESOLVE_FOUND);
    assert_int_equal(scene.resolve.address_count, 2);
    assert_string_equal(scene.resolve.addresses[0], "fd00::7");
    assert_string_equal(scene.resolve.addresses[1], "10.0.0.7");
    scene_finish(&scene);
}

static void one_family_is_enough_in_the_end(void **state)
{
    (void)state;
    struct scene scene;
    struct question pair[2];
    scene_init(&scene, "", "nameserver 127.0.0.1\noptions timeout:1\n");
    begin(&scene, "a.b");
    expect_questions(&scene, "a.b", pair);
    answer(&scene, &pair[0], 0, RECORD_A, sizeof(RECORD_A) - 1, 1);
    assert_int_equal(step(&scene), RESOLVE_PENDING);
    scene.now_ms += 1000;
    assert_int_equal(step(&scene), RESOLVE_FOUND);
    scene_finish(&scene);
}

static void the_search_list(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, "",
               "search ignored.example\nnameserver 127.0.0.1\n"
               "search svc.cluster.local cluster.local\noptions ndots:2\n");
    static const char *const short_name[] = {"otel.obs.svc.cluster.local", "otel.obs.cluster.local",
                                             "otel.obs"};
    begin(&scene, "otel.obs");
    for (size_t i = 0; i < 3; i++) {
        refuse_both(&scene, short_name[i], 3);
        assert_int_equal(step(&scene), i < 2 ? RESOLVE_PENDING : RESOLVE_FAILED);
    }
    static const char *const long_name[] = {"a.b.c", "a.b.c.svc.cluster.local",
                                            "a.b.c.cluster.local"};
    begin(&scene, "a.b.c");
    for (size_t i = 0; i < 3; i++) {
        refuse_both(&scene, long_name[i], i == 0 ? 0 : 3); /* there, but without addresses */
        assert_int_equal(step(&scene), i < 2 ? RESOLVE_PENDING : RESOLVE_FAILED);
    }
    begin(&scene, "a.");
    refuse_both(&scene, "a", 3);
    assert_int_equal(step(&scene), RESOLVE_FAILED);
    scene_finish(&scene);
}

static void servers_that_fail_or_are_silent(void **state)
{
    (void)state;
    struct scene scene;
    struct question pair[2];
    scene_init(&scene, "", "nameserver 127.0.0.1\noptions attempts:3 timeout:2\n");
    begin(&scene, "a.b");
    refuse_both(&scene, "a.b", 2);
    assert_int_equal(step(&scene), RESOLVE_PENDING);
    expect_questions(&scene, "a.b", pair);
    scene.now_ms += 1999;
    assert_int_equal(step(&scene), RESOLVE_PENDING);
    scene.now_ms += 1;
    assert_int_equal(step(&scene), RESOLVE_PENDING);
    expect_questions(&scene, "a.b", pair);
    scene.now_ms += 2000;
    assert_int_equal(step(&scene), RESOLVE_FAILED);
    scene_finish(&scene);
}

static void a_server_that_is_not_there(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, "", "nameserver 127.0.0.1\n");
    close(scene.server);
    begin(&scene, "a.b");
    /* The refusal of each attempt arrives at once; no time passes. */
    for (int steps = 0; step(&scene) == RESOLVE_PENDING; steps++) {
        assert_true(steps < 10);
    }
    assert_int_equal(step(&scene), RESOLVE_FAILED);
    scene.server = -1;
    scene_finish(&scene);
}

static void answers_that_are_none(void **state)
{
    (void)state;
    struct scene scene;
    struct question pair[2];
    scene_init(&scene, "", "nameserver 127.0.0.1\n");
    begin(&scene, "a.b");
    expect_questions(&scene, "a.b", pair);
    struct question forged = pair[0];
    forged.bytes[0] ^= 0xFF;
    answer(&scene, &forged, 0, RECORD_A, sizeof(RECORD_A) - 1, 1);
    assert_int_equal(step(&scene), RESOLVE_PENDING);
    /* Records that are cut off at every place, and more promised than there are. */
    for (size_t cut = 0; cut + 1 < sizeof(RECORD_A); cut++) {
        begin(&scene, "a.b");
        expect_questions(&scene, "a.b", pair);
        answer(&scene, &pair[0], 0, RECORD_A, cut, 200);
        answer(&scene, &pair[1], 0, "", 0, 0);
        step(&scene);
        assert_int_equal(scene.resolve.address_count, 0);
        while (next_question(&scene, &forged)) {
        }
        resolve_finish(&scene.resolve);
    }
    scene_finish(&scene);
}

static void more_addresses_than_are_kept(void **state)
{
    (void)state;
    struct scene scene;
    struct question pair[2];
    char records[12 * (sizeof(RECORD_A) - 1)];
    for (size_t i = 0; i < 12; i++) {
        memcpy(records + i * (sizeof(RECORD_A) - 1), RECORD_A, sizeof(RECORD_A) - 1);
    }
    scene_init(&scene, "", "nameserver 127.0.0.1\n");
    begin(&scene, "a.b");
    expect_questions(&scene, "a.b", pair);
    answer(&scene, &pair[0], 0, records, sizeof(records), 12);
    answer(&scene, &pair[1], 0, "", 0, 0);
    assert_int_equal(step(&scene), RESOLVE_FOUND);
    assert_int_equal(scene.resolve.address_count, LIMIT_NAME_ADDRESSES);
    scene_finish(&scene);
}

static void names_that_cannot_be_asked_for(void **state)
{
    (void)state;
    struct scene scene;
    struct question none;
    scene_init(&scene, "", "nameserver 127.0.0.1\n");
    char label[80];
    memset(label, 'x', sizeof(label));
    label[64] = '\0';
    const char *const names[] = {"", "a..b", label,
                                 "gr\xC3\xB6\xC3\x9F"
                                 "e.example"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        begin(&scene, names[i]);
        assert_int_equal(step(&scene), RESOLVE_FAILED);
        assert_false(next_question(&scene, &none));
    }
    scene_finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_file_comes_first),
        cmocka_unit_test(both_families_are_asked_for),
        cmocka_unit_test(one_family_is_enough_in_the_end),
        cmocka_unit_test(the_search_list),
        cmocka_unit_test(servers_that_fail_or_are_silent),
        cmocka_unit_test(a_server_that_is_not_there),
        cmocka_unit_test(answers_that_are_none),
        cmocka_unit_test(more_addresses_than_are_kept),
        cmocka_unit_test(names_that_cannot_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
