/* The values that a service's rules name, out of JSON documents as they pass and into a record. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "handoff/record.h"
#include "wire/json.h"
#include "wire/service.h"

#define SERVICE_VALUES_COUNTED 8u

/* Fields are the reader's own. */
struct service_values {
    uint8_t endpoint;
    bool is_open; /* the value at hand is being taken */
    uint8_t count_field[SERVICE_VALUES_COUNTED];
    uint32_t counts[SERVICE_VALUES_COUNTED];
    uint64_t taken; /* attributes that have their value, by their first field */
    struct json json;
};

/* `nodes` is one of the endpoint's trees. */
void service_values_begin(struct service_values *values, uint8_t endpoint, uint16_t nodes);

/* A piece of a document. False: this is no JSON. */
bool service_values_read(struct service_values *values, struct record *record, struct slice bytes);

/* Another document about the same begins. */
void service_values_next_document(struct service_values *values);

/* The document ended here: whether it is one. */
bool service_values_is_complete(const struct service_values *values);

/* Tells what was counted. */
void service_values_finish(const struct service_values *values, struct record *record);

/* A value as a whole. */
void service_values_add(struct record *record, uint8_t number, struct slice text);

/* What was taken for a field; NULL data: nothing. */
struct slice service_values_find(const struct record *record, uint8_t number);
