/* Resources made from a /proc and /etc in a temporary folder, read back with protobuf-c. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <otlp.pb-c.h>

#include "base/limits.h"
#include "worker/resource.h"

static char root[64];
static struct config config;
static Otlp__Resource *message;
static unsigned complaints;

static void make_folder_of(char *path)
{
    for (char *at = path + strlen(root) + 1; *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            mkdir(path, 0700);
            *at = '/';
        }
    }
}

static void write_bytes(const char *name, const void *bytes, size_t size)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    make_folder_of(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static void link_to(const char *name, const char *target)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    make_folder_of(path);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/wirespan-resource-XXXXXX");
    assert_non_null(mkdtemp(root));
    memset(&config, 0, sizeof(config));
    complaints = 0;
    link_to("proc/42/exe", "/usr/bin/python3.11");
    write_bytes("proc/42/cmdline", "python\0worker.py\0--token=x", 27);
    write_text("proc/42/stat", "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 "
                               "2 3\n");
    write_text("proc/42/status", "Name:\tpython\nUid:\t1000\t1001\t1000\t1000\n");
    write_text("proc/42/cgroup", "0::/\n");
    write_text("proc/sys/kernel/hostname", "box\n");
    write_text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nshop:x:1001:1001::/:/bin/false\n");
    write_text("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    return 0;
}

static void unpack(struct resource *resource)
{
    assert_non_null(resource);
    message = otlp__resource__unpack(NULL, resource->size, resource->bytes);
    assert_non_null(message);
    resource_release(resource);
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    if (message != NULL) {
        otlp__resource__free_unpacked(message, NULL);
        message = NULL;
    }
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    return system(command);
}

static void count_complaint(void *context, const char *line)
{
    (void)context;
    (void)line;
    complaints++;
}

static void build(void)
{
    struct resource_source source = {
        .root = root,
        .process_id = 42,
        .boot_time_ns = UINT64_C(1700000000) * 1000000000,
        .random = {0, 1, 2, 3, 4, 5, 0xf6, 7, 0xc8, 9, 10, 11, 12, 13, 14, 15},
    };
    if (message != NULL) {
        otlp__resource__free_unpacked(message, NULL);
    }
    unpack(resource_create(&config, &source, count_complaint, NULL));
}

/* As text; "-" if absent. No key may stand there twice. */
static const char *value_of(const char *key)
{
    static char text[512];
    strcpy(text, "-");
    unsigned found = 0;
    for (size_t i = 0; i < message->n_attributes; i++) {
        const Otlp__KeyValue *pair = message->attributes[i];
        if (strcmp(pair->key, key) != 0) {
            continue;
        }
        found++;
        if (pair->value->value_case == OTLP__ANY_VALUE__VALUE_INT_VALUE) {
            snprintf(text, sizeof(text), "%" PRId64, pair->value->int_value);
        } else {
            snprintf(text, sizeof(text), "%s", pair->value->string_value);
        }
    }
    assert_true(found <= 1);
    return text;
}

static void a_process_is_described(void **state)
{
    (void)state;
    build();
    assert_string_equal(value_of("service.name"), "python3.11");
    assert_string_equal(value_of("service.instance.id"), "00010203-0405-4607-8809-0a0b0c0d0e0f");
    assert_string_equal(value_of("process.pid"), "42");
    assert_string_equal(value_of("process.executable.name"), "python3.11");
    assert_string_equal(value_of("process.command"), "python");
    char created[64];
    long ticks = sysconf(_SC_CLK_TCK);
    assert_int_equal(ticks, 100);
    strcpy(created, "2023-11-14T22:15:23.450Z");
    assert_string_equal(value_of("process.creation.time"), created);
    assert_string_equal(value_of("process.owner"), "shop");
    assert_string_equal(value_of("host.name"), "box");
    assert_string_equal(value_of("host.id"), "0123456789abcdef0123456789abcdef");
    assert_string_equal(value_of("os.type"), "linux");
    assert_string_equal(value_of("container.id"), "-");
    assert_string_equal(value_of("telemetry.sdk.name"), "wirespan");
    assert_string_equal(value_of("telemetry.sdk.language"), "c");
    assert_string_equal(value_of("telemetry.sdk.version"), WIRESPAN_VERSION);
    assert_string_equal(value_of("telemetry.distro.name"), "wirespan");
    assert_string_equal(value_of("telemetry.distro.version"), WIRESPAN_VERSION);
    assert_string_equal(value_of("deployment.environment.name"), "-");
#if defined(__x86_64__)
    assert_string_equal(value_of("host.arch"), "amd64");
#endif
}

static void check_runtime(const char *executable, const char *name, const char *version)
{
    link_to("proc/42/exe", executable);
    build();
    assert_string_equal(value_of("process.runtime.name"), name);
    assert_string_equal(value_of("process.runtime.version"), version);
}

static void runtimes_are_known_by_their_names(void **state)
{
    (void)state;
    check_runtime("/usr/bin/python3.11", "cpython", "3.11");
    check_runtime("/usr/bin/python3.11 (deleted)", "cpython", "3.11");
    check_runtime("/usr/bin/python3", "cpython", "-");
    check_runtime("/usr/bin/python", "cpython", "-");
    check_runtime("/usr/bin/ruby3.1", "ruby", "3.1");
    check_runtime("/usr/bin/php8.2", "php", "8.2");
    check_runtime("/usr/sbin/php-fpm8.2", "php", "8.2");
    check_runtime("/usr/bin/perl", "perl", "-");
    check_runtime("/usr/bin/perl5.36.0", "perl", "5.36.0");
    /* Not what they begin like, or not certain. */
    check_runtime("/usr/bin/pypy3.9", "-", "-");
    check_runtime("/usr/bin/python3.13t", "-", "-");
    check_runtime("/usr/bin/python3.", "-", "-");
    check_runtime("/usr/bin/python3..1", "-", "-");
    check_runtime("/usr/bin/node-exporter", "-", "-");
    check_runtime("/usr/bin/perlbug", "-", "-");
    check_runtime("/opt/server", "-", "-");
    char name[300];
    snprintf(name, sizeof(name), "/usr/bin/python3.%.*s", 40,
             "1111111111111111111111111111111111111111");
    check_runtime(name, "cpython", "-");
}

static void node_is_known_by_its_headers(void **state)
{
    (void)state;
    check_runtime("/opt/node/bin/node", "nodejs", "-");
    write_text("proc/42/root/opt/node/include/node/node_version.h",
               "#ifndef X\n#define NODE_MAJOR_VERSION 18\n#define NODE_MINOR_VERSION 20\n"
               "#define NODE_PATCH_VERSION 4\n#define NODE_VERSION_IS_LTS 1\n");
    check_runtime("/opt/node/bin/node", "nodejs", "18.20.4");
    check_runtime("/opt/node/bin/nodejs", "nodejs", "18.20.4");
    check_runtime("/opt/node/libexec/node", "nodejs", "-");
    check_runtime("/node", "nodejs", "-");
    write_text("proc/42/root/opt/node/include/node/node_version.h",
               "#define NODE_MAJOR_VERSION 18\n#define NODE_MINOR_VERSION (2)\n"
               "#define NODE_PATCH_VERSION 4\n");
    check_runtime("/opt/node/bin/node", "nodejs", "-");
}

static void java_is_known_by_its_release(void **state)
{
    (void)state;
    check_runtime("/opt/jdk/bin/java", "-", "-");
    write_text("proc/42/root/opt/jdk/release",
               "IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\nJAVA_VERSION_DATE=\"x\"\n");
    check_runtime("/opt/jdk/bin/java", "OpenJDK Runtime Environment", "17.0.15");
    write_text("proc/42/root/opt/jdk/release",
               "IMPLEMENTOR=\"Oracle Corporation\"\nJAVA_VERSION=\"21\"\n");
    check_runtime("/opt/jdk/bin/java", "-", "21");
    write_text("proc/42/root/opt/jdk/release", "JAVA_VERSION=\"1.8.0_402\"");
    check_runtime("/opt/jdk/bin/java", "-", "-");
}

static void nothing_can_be_read(void **state)
{
    (void)state;
    char kept[sizeof(root)];
    strcpy(kept, root);
    strcat(root, "/none");
    build();
    strcpy(root, kept);
    assert_string_equal(value_of("service.name"), "unknown_service");
    assert_string_equal(value_of("process.pid"), "42");
    assert_string_equal(value_of("host.name"), "-");
    assert_string_equal(value_of("process.creation.time"), "-");
}

static void a_replaced_program_keeps_its_name(void **state)
{
    (void)state;
    link_to("proc/42/exe", "/opt/app/server (deleted)");
    build();
    assert_string_equal(value_of("service.name"), "server");
}

static void the_environment_names_the_service(void **state)
{
    (void)state;
    config.machine_id = SLICE("gpu-1");
    config.worker_id = SLICE("gpu-1-worker-0");
    config.environment = SLICE("production");
    config.region = SLICE("us-west2");
    config.resource_attributes = SLICE("service.name=from-list, team=a%2Cb ,x=1+1,e=");
    build();
    assert_string_equal(value_of("service.name"), "from-list");
    assert_string_equal(value_of("team"), "a,b");
    assert_string_equal(value_of("x"), "1+1");
    assert_string_equal(value_of("e"), "");
    assert_string_equal(value_of("machine.id"), "gpu-1");
    assert_string_equal(value_of("worker.id"), "gpu-1-worker-0");
    assert_string_equal(value_of("deployment.environment.name"), "production");
    assert_string_equal(value_of("cloud.region"), "us-west2");
    config.service_name = SLICE("shop");
    build();
    assert_string_equal(value_of("service.name"), "shop");
    assert_int_equal(complaints, 0);
}

static void percent_encoding(void **state)
{
    (void)state;
    config.resource_attributes = SLICE("a=b%2Cc,d=e%3Df,k%3d=%25");
    build();
    assert_string_equal(value_of("a"), "b,c");
    assert_string_equal(value_of("d"), "e=f");
    assert_string_equal(value_of("k="), "%");
}

static void one_bad_pair_discards_all(void **state)
{
    (void)state;
    static const char *const bad[] = {"a=1,b=%zz", "a=1,b=%2", "a=1,b", "a=1,=b", "a=1, =b"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        config.resource_attributes = slice_of(bad[i], strlen(bad[i]));
        build();
        assert_string_equal(value_of("a"), "-");
        assert_string_equal(value_of("b"), "-");
        assert_string_equal(value_of("service.name"), "python3.11");
        assert_int_equal(complaints, i + 1);
    }
    config.resource_attributes = SLICE("a=1,,b=2,");
    build();
    assert_string_equal(value_of("b"), "2");
}

static void our_own_name_cannot_be_taken(void **state)
{
    (void)state;
    config.resource_attributes = SLICE("telemetry.sdk.name=opentelemetry,process.pid=7");
    build();
    assert_string_equal(value_of("telemetry.sdk.name"), "wirespan");
    assert_string_equal(value_of("process.pid"), "7");
}

static void too_many_attributes_are_discarded(void **state)
{
    (void)state;
    char list[4096] = "";
    for (unsigned i = 0; i < LIMIT_RESOURCE_ATTRIBUTES; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "k%u=v,", i);
    }
    config.resource_attributes = slice_of(list, strlen(list));
    build();
    assert_string_equal(value_of("k0"), "-");
    assert_int_equal(complaints, 1);
    char *value = malloc(2 * LIMIT_RESOURCE_TEXT);
    memset(value, 'v', 2 * LIMIT_RESOURCE_TEXT);
    memcpy(value, "k=", 2);
    config.resource_attributes = slice_of(value, 2 * LIMIT_RESOURCE_TEXT);
    build();
    free(value);
    assert_string_equal(value_of("k"), "-");
    assert_int_equal(complaints, 2);
    assert_string_equal(value_of("telemetry.sdk.name"), "wirespan");
}

static void text_is_made_valid(void **state)
{
    (void)state;
    config.resource_attributes = SLICE("a=%ff%00");
    config.worker_id = SLICE("w\x80");
    build();
    assert_string_equal(value_of("a"), "\xef\xbf\xbd\xef\xbf\xbd");
    assert_string_equal(value_of("worker.id"), "w\xef\xbf\xbd");
}

#define CONTAINER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void containers_are_found(void **state)
{
    (void)state;
    write_text("proc/42/cgroup", "12:cpu:/docker/" CONTAINER "\n0::/\n");
    build();
    assert_string_equal(value_of("container.id"), CONTAINER);
    assert_string_equal(value_of("host.id"), "-");
    write_text("proc/42/cgroup", "1:name=systemd:/x/cri-containerd-" CONTAINER ".scope\n");
    build();
    assert_string_equal(value_of("container.id"), CONTAINER);
    write_text("proc/42/cgroup", "0::/\n");
    write_text("proc/42/mountinfo",
               "1 2 0:1 / /x rw - overlay overlay rw,lowerdir=/l/" CONTAINER "/fs\n"
               "2 3 8:1 /var/lib/docker/containers/" CONTAINER "/hostname /etc/hostname rw\n");
    build();
    assert_string_equal(value_of("container.id"), CONTAINER);
    /* 63 and 65 digits are something else */
    write_text("proc/42/cgroup", "1:x:/docker/" CONTAINER "0\n");
    write_text("proc/42/mountinfo", "1 2 8:1 /containers/0112233 / rw\n");
    build();
    assert_string_equal(value_of("container.id"), "-");
}

static void this_very_process(void **state)
{
    (void)state;
    struct resource_source source = {
        .root = "", .process_id = getpid(), .boot_time_ns = UINT64_C(1700000000000000000)};
    unpack(resource_create(&config, &source, NULL, NULL));
    assert_string_equal(value_of("process.executable.name"), "test_worker_resource");
    char pid[32];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_string_equal(value_of("process.pid"), pid);
    assert_string_not_equal(value_of("process.creation.time"), "-");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_process_is_described),
        TEST(runtimes_are_known_by_their_names),
        TEST(node_is_known_by_its_headers),
        TEST(java_is_known_by_its_release),
        TEST(nothing_can_be_read),
        TEST(a_replaced_program_keeps_its_name),
        TEST(the_environment_names_the_service),
        TEST(percent_encoding),
        TEST(one_bad_pair_discards_all),
        TEST(our_own_name_cannot_be_taken),
        TEST(too_many_attributes_are_discarded),
        TEST(text_is_made_valid),
        TEST(containers_are_found),
        TEST(this_very_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
