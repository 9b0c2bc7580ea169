#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/transport/create.h"

/* resource_spans { scope_spans { spans { name: "x" } } } */
static const uint8_t one_span[] = {0x0a, 7, 0x12, 5, 0x12, 3, 0x2a, 1, 'x'};
static const struct export_batch batch = {one_span, sizeof(one_span), 1};

static off_t size_of(int fd)
{
    struct stat file;
    assert_int_equal(fstat(fd, &file), 0);
    return file.st_size;
}

static void writes_to_its_file(void **state)
{
    (void)state;
    struct transport_outcome outcome;
    int fd = memfd_create("console", MFD_CLOEXEC);
    struct transport *transport = console_create(fd);
    assert_non_null(transport);
    assert_int_equal(transport->ops->step(transport, &outcome), TRANSPORT_PENDING);
    assert_int_equal(transport->ops->begin(transport, &batch), 0);
    assert_int_equal(transport->ops->step(transport, &outcome), TRANSPORT_DELIVERED);
    assert_int_equal(outcome.rejected, 0);
    char text[64] = "";
    assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
    assert_memory_equal(text, "[internal] x  0.000 ms\n", 23);
    transport->ops->destroy(transport);
    close(fd);
}

/* A daemon closes the standard descriptors; the next file that it opens gets their number. */
static void does_not_write_to_another_file(void **state)
{
    (void)state;
    struct transport_outcome outcome;
    int fd = memfd_create("console", MFD_CLOEXEC);
    struct transport *transport = console_create(fd);
    int other = memfd_create("other", MFD_CLOEXEC);
    assert_int_equal(dup2(other, fd), fd);
    assert_int_equal(transport->ops->begin(transport, &batch), 0);
    assert_int_equal(transport->ops->step(transport, &outcome), TRANSPORT_REFUSED);
    assert_int_equal(size_of(other), 0);
    close(fd);
    assert_int_equal(transport->ops->begin(transport, &batch), 0);
    assert_int_equal(transport->ops->step(transport, &outcome), TRANSPORT_REFUSED);
    transport->ops->destroy(transport);
    close(other);
}

static void needs_an_open_file(void **state)
{
    (void)state;
    assert_null(console_create(-1));
}

static void cancel_forgets(void **state)
{
    (void)state;
    struct transport_outcome outcome;
    struct pollfd descriptor;
    int timeout_ms = -1;
    int fd = memfd_create("console", MFD_CLOEXEC);
    struct transport *transport = console_create(fd);
    assert_int_equal(transport->ops->begin(transport, &batch), 0);
    assert_int_equal(transport->ops->descriptors(transport, &descriptor, 1, &timeout_ms), 1);
    transport->ops->cancel(transport);
    assert_int_equal(transport->ops->descriptors(transport, &descriptor, 1, &timeout_ms), 0);
    assert_int_equal(transport->ops->step(transport, &outcome), TRANSPORT_PENDING);
    assert_int_equal(size_of(fd), 0);
    transport->ops->destroy(transport);
    close(fd);
}

static void refuses_what_is_no_batch(void **state)
{
    (void)state;
    int fd = memfd_create("console", MFD_CLOEXEC);
    struct transport *transport = console_create(fd);
    const struct export_batch broken = {one_span, sizeof(one_span) - 1, 1};
    assert_true(transport->ops->begin(transport, &broken) < 0);
    transport->ops->destroy(transport);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_to_its_file),
        cmocka_unit_test(does_not_write_to_another_file),
        cmocka_unit_test(needs_an_open_file),
        cmocka_unit_test(cancel_forgets),
        cmocka_unit_test(refuses_what_is_no_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
