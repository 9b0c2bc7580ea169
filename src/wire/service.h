/*
 * Services: which requests are theirs, and what is kept of what they and their answers say.
 *
 * A constant table that is made of rules/services.rules while the project is built. Both sides of
 * the segment read it: a record names an endpoint and its fields by their numbers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "wire/json_path.h"

/* No endpoint of any service. */
#define SERVICE_NONE 0u

enum service_source {
    SERVICE_REQUEST,
    SERVICE_REPLY,
    SERVICE_HEADER,
    SERVICE_MESSAGE, /* a text that comes by the WebSocket which the request opens */
    SERVICE_SENT,    /* one that goes by it */
    SERVICE_QUERY    /* of the request's target, whoever's it is */
};

/* What an answer or a message says of a run: work of the service that goes on beyond its request.
 */
enum service_outcome {
    SERVICE_RUN_BEGINS, /* the request, or a message that is sent, asked for it */
    SERVICE_RUN_GOES_ON,
    SERVICE_RUN_STARTED,
    SERVICE_RUN_COMPLETED,
    SERVICE_RUN_FAILED,
    SERVICE_RUN_CANCELLED,
    SERVICE_RUN_NAMED,      /* the answer to what was sent: the run has this id */
    SERVICE_RUN_NOTED,      /* of no run: what it says is told of all that go on */
    SERVICE_RUN_PROGRESSED, /* it goes on, and how far it is */
    SERVICE_OUTCOMES
};

enum service_type {
    SERVICE_STRING,
    SERVICE_INT,
    SERVICE_DOUBLE,
    SERVICE_BOOL,
    SERVICE_STRINGS,
    SERVICE_COUNT, /* how many values there are, whatever they are */
    SERVICE_TEXT   /* a string, or a number as it is written */
};

/* No field. */
#define SERVICE_NO_FIELD UINT8_MAX

struct service_text {
    uint16_t at; /* in the table's text */
    uint16_t size;
};

struct service_field {
    struct service_text attribute;
    struct service_text header; /* SERVICE_HEADER: in lower case; SERVICE_QUERY: the name */
    uint8_t source;             /* enum service_source */
    uint8_t type;               /* enum service_type */
    uint8_t first;              /* the first field of the endpoint with this attribute */
};

struct service_constant {
    struct service_text attribute;
    struct service_text value;
};

/* Holds where a field has that value and another one has none. */
struct service_event {
    struct service_text value;
    uint8_t outcome; /* enum service_outcome */
    uint8_t field;   /* SERVICE_NO_FIELD: it holds always */
    uint8_t without; /* SERVICE_NO_FIELD: none */
    uint8_t error;   /* whose value is the type of the failure; SERVICE_NO_FIELD: none */
};

struct service_endpoint {
    struct service_text method;
    struct service_text path;
    struct service_text name; /* of the span; empty: as of any request */
    uint8_t name_field;       /* whose value follows the name */
    uint8_t needs;            /* without a value of this field the request was no service's */
    uint8_t field_count;
    uint8_t constant_count;
    uint8_t run_field; /* whose value is the run's id; SERVICE_NO_FIELD: it tells of none */
    uint8_t event_count;
    uint16_t first_field;
    uint16_t first_constant;
    uint16_t first_event;
    uint16_t request_nodes; /* where the tree of paths begins; or that of messages sent */
    uint16_t reply_nodes;   /* or those of messages */
    bool reads_request;
    bool reads_reply;
    bool reads_messages;
    bool reads_sent;
    bool reads_query;
    bool is_served;               /* by this process */
    struct service_text run_name; /* of the span of a run that begins here, or goes on */
};

/* Which endpoint a request is for, that this process serves or asks; SERVICE_NONE for nearly all. A
   look at four bytes of the target, as a rule. */
uint8_t service_find(struct slice method, struct slice target, bool is_served);

/* The endpoint; NULL for SERVICE_NONE and numbers that none has. */
const struct service_endpoint *service_endpoint(uint8_t number);

/* A field of the endpoint; NULL if it has none of that number. */
const struct service_field *service_field(const struct service_endpoint *endpoint, uint8_t number);

const struct service_constant *service_constant(const struct service_endpoint *endpoint,
                                                uint8_t number);

/* The first event that holds is what is said. NULL: it has none of that number. */
const struct service_event *service_event(const struct service_endpoint *endpoint, uint8_t number);

/* The first field with this attribute; SERVICE_NO_FIELD: none. */
uint8_t service_field_of(const struct service_endpoint *endpoint, struct slice attribute);

/* The field that is filled by a header of the reply; SERVICE_NO_FIELD: none. */
uint8_t service_header_field(const struct service_endpoint *endpoint, struct slice name);

struct slice service_text(struct service_text text);

/* The tree of the values that are kept of a body; paths are the numbers of fields. */
const struct json_node *service_nodes(uint16_t first);
