/* The slab's two kinds of blocks: neither can take all of it from the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app_thread/slab.h"

#define ALL   (LIMIT_SLAB_BYTES / SLAB_BLOCK_BYTES)
#define SHARE (LIMIT_SLAB_SHARE / SLAB_BLOCK_BYTES)

static uint32_t blocks[SLAB_KINDS][ALL];

static uint32_t take_all(enum slab_kind kind)
{
    uint32_t count = 0;
    while (count < ALL && (blocks[kind][count] = slab_take(kind)) != 0) {
        count++;
    }
    return count;
}

static void give_all(enum slab_kind kind, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        slab_give(kind, blocks[kind][i]);
    }
}

static void connections_leave_a_share_of_buffers(void **state)
{
    (void)state;
    assert_int_equal(take_all(SLAB_CONNECTION), ALL - SHARE);
    assert_int_equal(take_all(SLAB_BUFFER), SHARE);
    /* However often they come and go. */
    give_all(SLAB_CONNECTION, ALL - SHARE);
    assert_int_equal(slab_take(SLAB_BUFFER), 0);
    give_all(SLAB_BUFFER, SHARE);
    assert_int_equal(take_all(SLAB_CONNECTION), ALL - SHARE);
    assert_int_equal(take_all(SLAB_BUFFER), SHARE);
    give_all(SLAB_CONNECTION, ALL - SHARE);
    give_all(SLAB_BUFFER, SHARE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_leave_a_share_of_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
