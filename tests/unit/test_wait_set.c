/* What a call of poll or select waits for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "app_thread/connection.h"
#include "app_thread/wait_set.h"

#define LISTENER 700
#define PIPE     701
#define OTHER    702

static const struct thread_state self;

static int set_up(void **state)
{
    (void)state;
    atomic_store(&descriptor_kinds[LISTENER], DESCRIPTOR_STREAM);
    atomic_store(&descriptor_kinds[PIPE], DESCRIPTOR_OTHER);
    atomic_store(&descriptor_kinds[OTHER], DESCRIPTOR_OTHER);
    return 0;
}

static struct wait_company look_at_poll(const struct pollfd *polled, uint64_t size)
{
    struct wait_set set = {.polled = polled, .size = size};
    return wait_set_look(&self, &set);
}

static void test_poll(void **state)
{
    (void)state;
    struct pollfd polled[3] = {{-1, POLLIN, 0}, {PIPE, POLLIN, 0}, {-1, POLLIN, 0}};
    struct wait_company company = look_at_poll(polled, 3);
    assert_true(company.is_known);
    assert_int_equal(company.count, 1);
    assert_false(company.has_strangers || company.has_client);
    polled[2].fd = LISTENER;
    company = look_at_poll(polled, 3);
    assert_int_equal(company.count, 2);
    assert_true(company.has_strangers);
    company = look_at_poll(polled, 0);
    assert_true(company.is_known);
    assert_int_equal(company.count, 0);
}

static void test_select(void **state)
{
    (void)state;
    fd_set readable;
    fd_set writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(PIPE, &readable);
    FD_SET(PIPE, &writable);
    struct wait_set set = {.sets = {&readable, &writable, NULL}, .size = PIPE + 1};
    struct wait_company company = wait_set_look(&self, &set);
    assert_true(company.is_known);
    assert_int_equal(company.count, 1);
    FD_SET(LISTENER, &writable);
    company = wait_set_look(&self, &set);
    assert_int_equal(company.count, 2);
    assert_true(company.has_strangers);
    set.size = LISTENER; /* above the limit nothing counts */
    assert_int_equal(wait_set_look(&self, &set).count, 0);
}

static void test_memory_that_cannot_be_read(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    void *end = pages + page - sizeof(struct pollfd);
    assert_true(look_at_poll(end, 1).is_known);
    assert_false(look_at_poll(end, 2).is_known);
    assert_int_equal(look_at_poll(end, 2).count, 2);
    assert_false(look_at_poll(end, UINT64_MAX).is_known);
    struct wait_set set = {.sets = {(void *)(pages + page), NULL, NULL}, .size = 10};
    assert_false(wait_set_look(&self, &set).is_known);
    munmap(pages, 2 * page);
}

static void test_what_is_ready(void **state)
{
    (void)state;
    struct pollfd polled[3] = {
        {PIPE, POLLIN, 0}, {OTHER, POLLIN, POLLIN}, {LISTENER, POLLIN, POLLHUP}};
    struct wait_set set = {.polled = polled, .size = 3};
    struct epoll_event events[4];
    assert_int_equal(wait_set_collect(&set, events, 4), 2);
    assert_int_equal(events[0].data.u64, OTHER);
    assert_int_equal(events[1].data.u64, LISTENER);
    assert_int_equal(wait_set_collect(&set, events, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_poll, set_up),
        cmocka_unit_test_setup(test_select, set_up),
        cmocka_unit_test_setup(test_memory_that_cannot_be_read, set_up),
        cmocka_unit_test_setup(test_what_is_ready, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
