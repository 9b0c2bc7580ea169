/* Workflows: the records that worker/workflow.c makes. */
#include "base/compiler.h"
#include "worker/spans/kinds.h"

static struct slice name_of(enum workflow_event event)
{
    switch (event) {
    case WORKFLOW_START:
        return SLICE("workflow.start");
    case WORKFLOW_STEP_SUBMIT:
        return SLICE("workflow.step_submit");
    case WORKFLOW_STEP_COMPLETE:
        return SLICE("workflow.step_complete");
    case WORKFLOW_STEP_FAIL:
        return SLICE("workflow.step_fail");
    case WORKFLOW_COMPLETE:
        return SLICE("workflow.complete");
    case WORKFLOW_CANCEL:
        return SLICE("workflow.cancel");
    case WORKFLOW_TIMEOUT:
        return SLICE("workflow.timeout");
    case WORKFLOW_EVENT_COUNT:
        break;
    }
    return SLICE("workflow");
}

static void add_text(struct span *span, struct slice key, struct slice value)
{
    if (value.data != NULL) {
        span_add_string(span, key, value);
    }
}

void spans_build_workflow(struct span *span, const struct record *record,
                          const struct record_text *text)
{
    const struct slice *fields = text->fields;
    span->kind = SPAN_INTERNAL;
    span->name = name_of((enum workflow_event)record->workflow.event);
    add_text(span, SLICE("messaging.system"), fields[FIELD_JOB_SYSTEM]);
    add_text(span, SLICE("workflow.id"), fields[FIELD_JOB_WORKFLOW]);
    spans_add_number(span, SLICE("workflow.step_number"), fields[FIELD_JOB_STEP]);
    spans_add_number(span, SLICE("workflow.total_steps"), fields[FIELD_JOB_STEPS]);
    add_text(span, SLICE("job.id"), fields[FIELD_JOB_ID]);
    /* A workflow is of the type of its first step. */
    add_text(span,
             record->workflow.event == WORKFLOW_START ? SLICE("workflow.type")
                                                      : SLICE("workflow.step_type"),
             fields[FIELD_JOB_TYPE]);
    add_text(span, SLICE("customer.id"), fields[FIELD_JOB_CUSTOMER]);
    add_text(span, SLICE("customer.tier"), fields[FIELD_JOB_TIER]);
    add_text(span, SLICE("user.id"), fields[FIELD_JOB_USER]);
    spans_add_links(span, record);
    if (record->workflow.event == WORKFLOW_TIMEOUT) {
        span_set_error(span, SLICE("timeout"));
    }
    if (record->workflow.event == WORKFLOW_STEP_FAIL) {
        struct slice type = fields[FIELD_JOB_ERROR_TYPE];
        struct slice valid = type.size > 0 ? span_text(span, type) : SLICE("_OTHER");
        span_set_error(span, valid.data != NULL ? valid : SLICE("_OTHER"));
    }
}
