#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "fake_transport.h"
#include "worker/delivery.h"
#include "worker/otlp/envelope.h"

#define MS UINT64_C(1000000)

static struct fake_transport *fake;
static struct delivery delivery;
static struct delivery_report report;
static uint8_t bytes[4] = {1, 2, 3, 4};
static const struct export_batch batch = {bytes, sizeof(bytes), 10};

static int set_up(void **state)
{
    (void)state;
    fake = fake_create("fake");
    delivery_init(&delivery, &fake->base, 10000 * MS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    delivery_finish(&delivery);
    return 0;
}

static enum delivery_event step(uint64_t now_ms, uint64_t random)
{
    memset(&report, 0xff, sizeof(report));
    return delivery_step(&delivery, now_ms * MS, random, &report);
}

static void assert_done(uint32_t exported, uint32_t lost)
{
    assert_int_equal(report.exported, exported);
    assert_int_equal(report.lost, lost);
    assert_int_equal(delivery.state, DELIVERY_IDLE);
}

static void delivered(void **state)
{
    (void)state;
    assert_int_equal(step(0, 0), DELIVERY_NOTHING);
    assert_true(delivery_is_ready(&delivery, 0));
    fake->result = TRANSPORT_PENDING;
    delivery_start(&delivery, &batch, 0);
    assert_false(delivery_is_ready(&delivery, 0));
    assert_int_equal(step(0, 0), DELIVERY_NOTHING);
    assert_int_equal(delivery.state, DELIVERY_IN_FLIGHT);
    assert_int_equal(delivery_next_ns(&delivery), 10000 * MS);
    fake->result = TRANSPORT_DELIVERED;
    assert_int_equal(step(5, 0), DELIVERY_DONE);
    assert_done(10, 0);
    assert_int_equal(fake->delivered_count, 1);
    assert_memory_equal(fake->delivered[0].bytes, bytes, sizeof(bytes));
    assert_true(delivery_next_ns(&delivery) == UINT64_MAX);
}

static void partial_success_counts_what_was_rejected(void **state)
{
    (void)state;
    fake->rejected = 3;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(0, 0), DELIVERY_DONE);
    assert_done(7, 3);
    assert_int_equal(report.loss, LOSS_EXPORT_PARTIAL);
    /* more than there were is not believed */
    fake->rejected = 11;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(0, 0), DELIVERY_DONE);
    assert_done(0, 10);
}

static void refused_is_final(void **state)
{
    (void)state;
    fake->result = TRANSPORT_REFUSED;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(0, 0), DELIVERY_DONE);
    assert_done(0, 10);
    assert_int_equal(report.loss, LOSS_EXPORT_REFUSED);
    assert_string_equal(report.message, "as told");
    assert_int_equal(fake->begun, 1);
}

static void the_backoff_grows_and_jitters(void **state)
{
    (void)state;
    delivery.timeout_ns = 0;
    fake->result = TRANSPORT_RETRY;
    static const uint32_t bases[] = {1000, 1500, 2250, 3375, 5000, 5000, 5000};
    delivery_start(&delivery, &batch, 0);
    uint64_t now = 0;
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        uint64_t base = bases[i] * MS;
        /* the smallest and the largest draw */
        uint64_t random = i % 2 == 0 ? 0 : base;
        assert_int_equal(delivery_step(&delivery, now, random, &report), DELIVERY_RETRIES);
        uint64_t pause = delivery.not_before_ns - now;
        uint64_t expected = i % 2 == 0 ? base / 2 : base / 2 + base;
        /* 3375 * 1.5 is cut to 5000 */
        assert_int_equal(pause, expected);
        assert_int_equal(delivery_next_ns(&delivery), delivery.not_before_ns);
        assert_int_equal(delivery_step(&delivery, delivery.not_before_ns - 1, 0, &report),
                         DELIVERY_NOTHING);
        now = delivery.not_before_ns;
    }
    assert_int_equal(fake->begun, 7);
    fake->result = TRANSPORT_DELIVERED;
    assert_int_equal(delivery_step(&delivery, now, 0, &report), DELIVERY_DONE);
    assert_done(10, 0);
}

static void retry_after_is_kept(void **state)
{
    (void)state;
    fake->result = TRANSPORT_RETRY;
    fake->retry_after_ms = 3000;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(0, 12345), DELIVERY_RETRIES);
    assert_int_equal(delivery.not_before_ns, 3000 * MS);
    assert_int_equal(step(2999, 0), DELIVERY_NOTHING);
    assert_int_equal(fake->begun, 1);
    fake->result = TRANSPORT_DELIVERED;
    assert_int_equal(step(3000, 0), DELIVERY_DONE);
    assert_done(10, 0);
}

static void a_flush_cuts_only_our_own_pause_short(void **state)
{
    (void)state;
    fake->result = TRANSPORT_RETRY;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(0, 0), DELIVERY_RETRIES);
    delivery_hurry(&delivery, 1 * MS);
    assert_int_equal(step(1, 0), DELIVERY_RETRIES);
    assert_int_equal(fake->begun, 2);
    fake->retry_after_ms = 3000;
    delivery_hurry(&delivery, 2 * MS);
    assert_int_equal(step(2, 0), DELIVERY_RETRIES);
    delivery_hurry(&delivery, 3 * MS);
    assert_int_equal(step(3, 0), DELIVERY_NOTHING);
    assert_int_equal(fake->begun, 3);
}

static void retry_after_binds_the_next_batch_too_and_is_capped(void **state)
{
    (void)state;
    fake->result = TRANSPORT_RETRY;
    fake->retry_after_ms = LIMIT_RETRY_AFTER_MS + 1;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(0, 0), DELIVERY_DONE);
    assert_done(0, 10);
    assert_int_equal(report.loss, LOSS_EXPORT_EXPIRED);
    assert_false(delivery_is_ready(&delivery, (LIMIT_RETRY_AFTER_MS - 1) * MS));
    assert_true(delivery_is_ready(&delivery, LIMIT_RETRY_AFTER_MS * MS));
}

static void it_gives_up_in_time(void **state)
{
    (void)state;
    fake->result = TRANSPORT_RETRY;
    delivery_start(&delivery, &batch, 0);
    uint64_t now = 0;
    enum delivery_event event = DELIVERY_RETRIES;
    while (event == DELIVERY_RETRIES) {
        event = delivery_step(&delivery, now, 500 * MS, &report);
        now = event == DELIVERY_RETRIES ? delivery.not_before_ns : now;
    }
    assert_int_equal(event, DELIVERY_DONE);
    assert_done(0, 10);
    assert_int_equal(report.loss, LOSS_EXPORT_EXPIRED);
    assert_true(now < 10000 * MS);
    assert_true(fake->begun > 3);
    /* our own pause does not hold up the next batch */
    assert_true(delivery_is_ready(&delivery, now));
}

static void a_silent_receiver_is_cancelled(void **state)
{
    (void)state;
    fake->result = TRANSPORT_PENDING;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(9999, 0), DELIVERY_NOTHING);
    assert_int_equal(step(10000, 0), DELIVERY_DONE);
    assert_done(0, 10);
    assert_int_equal(report.loss, LOSS_EXPORT_EXPIRED);
    assert_int_equal(fake->cancelled, 1);
    assert_false(fake->in_flight);
}

static void an_answer_at_the_deadline_counts(void **state)
{
    (void)state;
    fake->result = TRANSPORT_PENDING;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(0, 0), DELIVERY_NOTHING);
    fake->result = TRANSPORT_DELIVERED;
    assert_int_equal(step(20000, 0), DELIVERY_DONE);
    assert_done(10, 0);
}

static void no_timeout_waits_for_ever(void **state)
{
    (void)state;
    delivery.timeout_ns = 0;
    fake->result = TRANSPORT_PENDING;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(1000000000, 0), DELIVERY_NOTHING);
    assert_true(delivery_next_ns(&delivery) == UINT64_MAX);
}

static void what_cannot_begin_is_tried_again(void **state)
{
    (void)state;
    fake->begin_error = -ENOMEM;
    delivery_start(&delivery, &batch, 0);
    assert_int_equal(step(0, 0), DELIVERY_RETRIES);
    assert_int_equal(delivery.state, DELIVERY_WAITING);
    fake->begin_error = -EMSGSIZE;
    assert_int_equal(step(500, 0), DELIVERY_DONE);
    assert_done(0, 10);
    assert_int_equal(report.loss, LOSS_EXPORT_REFUSED);
}

static void finishing_counts_what_is_on_its_way(void **state)
{
    (void)state;
    bool destroyed = false;
    struct delivery other;
    struct fake_transport *transport = fake_create("other");
    transport->destroyed = &destroyed;
    transport->result = TRANSPORT_PENDING;
    delivery_init(&other, &transport->base, 0);
    delivery_start(&other, &batch, 0);
    delivery_step(&other, 0, 0, &report);
    assert_int_equal(delivery_finish(&other), 10);
    assert_true(destroyed);
}

/* ---- too large ---- */

#define SPANS 10u

/* A request of ten spans in two groups; the spans are their numbers. */
static struct export_batch make_request(uint8_t into[512])
{
    static const uint32_t counts[] = {3, SPANS - 3};
    uint8_t *at = into;
    uint8_t number = 0;
    for (size_t i = 0; i < 2; i++) {
        at = otlp_envelope_open(at, SLICE("r"), 3 * counts[i]);
        for (uint32_t j = 0; j < counts[i]; j++) {
            *at++ = 0x12;
            *at++ = 1;
            *at++ = number++;
        }
        at = otlp_envelope_close(at);
    }
    return (struct export_batch){into, (size_t)(at - into), SPANS};
}

/* Their numbers, in the order in which they were delivered. */
static size_t read_delivered(uint8_t numbers[64])
{
    size_t count = 0;
    for (uint32_t i = 0; i < fake->delivered_count; i++) {
        struct slice request = slice_of(fake->delivered[i].bytes, fake->delivered[i].size);
        struct slice resource;
        struct slice spans;
        while (otlp_envelope_take(&request, &resource, &spans)) {
            uint32_t taken;
            assert_int_equal(resource.size, 1);
            for (;;) {
                struct slice span = otlp_envelope_take_spans(&spans, 1, &taken);
                if (taken == 0) {
                    break;
                }
                numbers[count++] = span.data[2];
            }
        }
        assert_int_equal(request.size, 0);
    }
    return count;
}

/* Steps to the end; what was exported and lost by all its reports together. */
static void deliver_all(const struct export_batch *request, uint32_t *exported, uint32_t *lost)
{
    *exported = 0;
    *lost = 0;
    delivery_start(&delivery, request, 0);
    for (int i = 0; i < 100 && delivery.state != DELIVERY_IDLE; i++) {
        if (step(0, 0) != DELIVERY_NOTHING) {
            *exported += report.exported;
            *lost += report.lost;
        }
    }
    assert_int_equal(delivery.state, DELIVERY_IDLE);
}

static void what_is_too_large_goes_in_halves(void **state)
{
    (void)state;
    uint8_t room[512];
    struct export_batch request = make_request(room);
    for (uint32_t most = 1; most <= SPANS; most++) {
        for (int begins = 0; begins < 2; begins++) {
            uint8_t numbers[64];
            uint32_t exported;
            uint32_t lost;
            fake->most_spans = most;
            fake->refuses_to_begin = begins == 0;
            deliver_all(&request, &exported, &lost);
            assert_int_equal(exported, SPANS);
            assert_int_equal(lost, 0);
            assert_int_equal(read_delivered(numbers), SPANS);
            for (uint8_t i = 0; i < SPANS; i++) {
                assert_int_equal(numbers[i], i);
            }
            for (uint32_t i = 0; i < fake->delivered_count; i++) {
                assert_in_range(fake->delivered[i].span_count, 1, most);
                free(fake->delivered[i].bytes);
            }
            fake->delivered_count = 0;
        }
    }
}

static void the_next_half_follows_at_once(void **state)
{
    (void)state;
    uint8_t room[512];
    struct export_batch request = make_request(room);
    fake->most_spans = SPANS / 2;
    delivery_start(&delivery, &request, 0);
    assert_int_equal(step(0, 0), DELIVERY_RETRIES);
    assert_string_equal(report.message, "too large");
    assert_int_equal(delivery.state, DELIVERY_IN_FLIGHT);
    assert_int_equal(step(1, 0), DELIVERY_PART);
    assert_int_equal(report.exported, SPANS / 2);
    assert_true(delivery_next_ns(&delivery) <= 1 * MS);
    assert_int_equal(step(1, 0), DELIVERY_DONE);
    assert_done(SPANS / 2, 0);
    assert_int_equal(fake->begun, 3);
}

/* A step that answers TOO_LARGE whatever comes. */
static enum transport_result always_too_large(struct transport *transport,
                                              struct transport_outcome *outcome)
{
    fake->in_flight = false;
    (void)transport;
    strcpy(outcome->message, "never");
    return TRANSPORT_TOO_LARGE;
}

static void one_span_is_the_smallest_part(void **state)
{
    (void)state;
    uint8_t room[512];
    struct export_batch request = make_request(room);
    uint32_t exported;
    uint32_t lost;
    fake->ops.step = always_too_large;
    deliver_all(&request, &exported, &lost);
    assert_int_equal(exported, 0);
    assert_int_equal(lost, SPANS);
    assert_int_equal(report.loss, LOSS_EXPORT_REFUSED);
    /* Every half, once: a binary tree with ten leaves. */
    assert_int_equal(fake->begun, 2 * SPANS - 1);
}

static void what_is_left_of_a_part_expires(void **state)
{
    (void)state;
    uint8_t room[512];
    struct export_batch request = make_request(room);
    fake->most_spans = SPANS / 2;
    delivery_start(&delivery, &request, 0);
    assert_int_equal(step(0, 0), DELIVERY_RETRIES);
    assert_int_equal(step(1, 0), DELIVERY_PART);
    fake->result = TRANSPORT_PENDING;
    assert_int_equal(step(2, 0), DELIVERY_NOTHING);
    assert_int_equal(step(10000, 0), DELIVERY_DONE);
    assert_done(0, SPANS / 2);
    assert_int_equal(report.loss, LOSS_EXPORT_EXPIRED);
    /* And at the end of all. */
    fake->result = TRANSPORT_DELIVERED;
    delivery_start(&delivery, &request, 20000 * MS);
    assert_int_equal(step(20000, 0), DELIVERY_RETRIES);
    assert_int_equal(step(20000, 0), DELIVERY_PART);
    struct transport *transport = delivery.transport;
    delivery.transport = &fake_create("another")->base;
    assert_int_equal(delivery_finish(&delivery), SPANS / 2);
    delivery_init(&delivery, transport, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(delivered),
        TEST(partial_success_counts_what_was_rejected),
        TEST(refused_is_final),
        TEST(what_is_too_large_goes_in_halves),
        TEST(the_next_half_follows_at_once),
        TEST(one_span_is_the_smallest_part),
        TEST(what_is_left_of_a_part_expires),
        TEST(the_backoff_grows_and_jitters),
        TEST(retry_after_is_kept),
        TEST(a_flush_cuts_only_our_own_pause_short),
        TEST(retry_after_binds_the_next_batch_too_and_is_capped),
        TEST(it_gives_up_in_time),
        TEST(a_silent_receiver_is_cancelled),
        TEST(an_answer_at_the_deadline_counts),
        TEST(no_timeout_waits_for_ever),
        TEST(what_cannot_begin_is_tried_again),
        TEST(finishing_counts_what_is_on_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
