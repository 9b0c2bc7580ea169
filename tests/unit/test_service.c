/* Which requests are a service's. */
#include "wire/service.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct slice slice(const char *text)
{
    return slice_of(text, strlen(text));
}

/* The path of the endpoint that a request is for. */
static void check(const char *method, const char *target, const char *path)
{
    const struct service_endpoint *endpoint =
        service_endpoint(service_find(slice(method), slice(target), false));
    if (path == NULL) {
        assert_null(endpoint);
        return;
    }
    assert_non_null(endpoint);
    assert_true(slice_equals(service_text(endpoint->path), slice(path)));
}

static void test_targets(void **state)
{
    (void)state;
    check("POST", "/v1/chat/completions", "*/chat/completions");
    check("POST", "/openai/deployments/d/chat/completions?api-version=1", "*/chat/completions");
    check("POST", "http://host:1/v1/chat/completions", "*/chat/completions");
    check("POST", "/v1/completions", "*/v1/completions");
    check("POST", "/prompt", "*/prompt");
    check("GET", "/history/7f3c", "/history/*");
    check("POST", "/v2/models/m/infer", "*/v2/models/*/infer");
    check("GET", "/ws", "/ws");
    check("GET", "/ws?clientId=1", "/ws");
    check("POST", "/v2/models/m/versions/1/infer", "*/v2/models/*/versions/*/infer");
    check("POST", "/triton/v2/models/m/infer", "*/v2/models/*/infer");
}

/* What this process serves itself is found by other rules than what it asks for. */
static void test_served(void **state)
{
    (void)state;
    const struct service_endpoint *jobs =
        service_endpoint(service_find(slice("POST"), slice("/api/jobs?now=1"), true));
    assert_non_null(jobs);
    assert_true(jobs->is_served);
    assert_true(jobs->reads_request);
    assert_false(jobs->reads_reply);
    assert_int_equal(service_find(slice("POST"), slice("/api/jobs"), false), SERVICE_NONE);
    assert_int_equal(service_find(slice("GET"), slice("/api/jobs"), true), SERVICE_NONE);
    assert_int_equal(service_find(slice("POST"), slice("/prompt"), true), SERVICE_NONE);
    assert_int_equal(service_find(slice("GET"), slice("/ws"), true), SERVICE_NONE);
}

static void test_others(void **state)
{
    (void)state;
    check("GET", "/v1/chat/completions", NULL);
    check("POST", "/v1/chat/completions/x", NULL);
    check("POST", "/chat/completion", NULL);
    check("POST", "completions", NULL);
    check("POST", "//", NULL);
    check("POST", "/", NULL);
    check("POST", "", NULL);
    check("POST", "*", NULL);
    check("POST", "http://host", NULL);
    check("POST", "host:443", NULL);
    check("GET", "/history/", NULL);
    check("GET", "/wss", NULL);
    check("GET", "/w", NULL);
    check("GET", "/history/a/b", NULL);
    check("POST", "/v2/models//infer", NULL);
    check("POST", "/v2/models/m/n/infer", NULL);
    check("POST", "/x?y=/prompt", NULL);
    assert_null(service_endpoint(UINT8_MAX));
}

static void test_fields(void **state)
{
    (void)state;
    const struct service_endpoint *chat =
        service_endpoint(service_find(slice("POST"), slice("/v1/chat/completions"), false));
    uint8_t header = service_header_field(chat, slice("OpenAI-Processing-Ms"));
    assert_int_not_equal(header, SERVICE_NO_FIELD);
    assert_int_equal(service_header_field(chat, slice("authorization")), SERVICE_NO_FIELD);
    assert_null(service_field(chat, chat->field_count));
    assert_null(service_constant(chat, chat->constant_count));
    /* Either way of saying it is one attribute. */
    const struct json_node *nodes = service_nodes(chat->request_nodes);
    uint8_t tokens = json_tree_member(nodes, 0, slice("max_tokens"));
    uint8_t more = json_tree_member(nodes, 0, slice("max_completion_tokens"));
    assert_int_not_equal(tokens, 0);
    assert_int_not_equal(nodes[tokens].path, nodes[more].path);
    assert_int_equal(service_field(chat, nodes[tokens].path)->first,
                     service_field(chat, nodes[more].path)->first);
    assert_int_equal(json_tree_member(nodes, 0, slice("messages")), 0);
    assert_int_equal(json_tree_member(nodes, 0, slice("prompt")), 0);
}

static void test_events(void **state)
{
    (void)state;
    const struct service_endpoint *prompt =
        service_endpoint(service_find(slice("POST"), slice("/prompt"), false));
    const struct service_endpoint *messages =
        service_endpoint(service_find(slice("GET"), slice("/ws"), false));
    const struct service_endpoint *chat =
        service_endpoint(service_find(slice("POST"), slice("/v1/chat/completions"), false));
    assert_false(prompt->reads_messages);
    assert_true(messages->reads_messages);
    assert_false(messages->reads_reply);
    assert_true(messages->reads_sent);
    assert_false(messages->reads_request);
    assert_true(messages->reads_query);
    assert_false(prompt->reads_sent);
    assert_false(prompt->reads_query);
    /* What is told on one endpoint is found again on the other. */
    uint8_t left = service_field_of(prompt, slice("comfyui.queue_remaining"));
    assert_int_not_equal(left, SERVICE_NO_FIELD);
    assert_int_not_equal(service_field_of(messages, slice("comfyui.queue_remaining")),
                         SERVICE_NO_FIELD);
    assert_int_equal(service_field_of(chat, slice("comfyui.queue_remaining")), SERVICE_NO_FIELD);
    /* One name, so that one id is one run. */
    assert_true(slice_equals(service_text(prompt->run_name), service_text(messages->run_name)));
    assert_int_equal(service_event(prompt, 0)->outcome, SERVICE_RUN_BEGINS);
    assert_int_equal(service_event(prompt, 0)->field, SERVICE_NO_FIELD);
    assert_null(service_event(prompt, prompt->event_count));
    assert_int_equal(chat->run_field, SERVICE_NO_FIELD);
    assert_null(service_event(chat, 0));
    assert_int_equal(service_event(messages, 0)->outcome, SERVICE_RUN_BEGINS);
    assert_int_equal(service_event(messages, 2)->outcome, SERVICE_RUN_NAMED);
    assert_int_equal(service_event(messages, 3)->outcome, SERVICE_RUN_NOTED);
    const struct service_event *last = service_event(messages, 6);
    assert_int_equal(last->outcome, SERVICE_RUN_COMPLETED);
    assert_int_not_equal(last->without, SERVICE_NO_FIELD);
    assert_true(slice_equals(service_text(last->value), slice("executing")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets), cmocka_unit_test(test_served),
        cmocka_unit_test(test_others),  cmocka_unit_test(test_fields),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
