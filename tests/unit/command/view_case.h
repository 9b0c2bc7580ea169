/* A case of tests/golden/view: spans from JSON in a store, as `wirespan view` would have them. */
#pragma once

#include <jansson.h>
#include <otlp.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

#include "command/view/store.h"
#include "worker/otlp/json_read.h"

static inline Otlp__ExportTraceServiceRequest *view_case_load(const char *folder, const char *name)
{
    char path[1024];
    json_error_t error;
    snprintf(path, sizeof(path), "%s/%s.json", folder, name);
    json_t *json = json_load_file(path, 0, &error);
    const char *what = "";
    Otlp__ExportTraceServiceRequest *message = json != NULL ? otlp_from_json(json, &what) : NULL;
    if (message == NULL) {
        fprintf(stderr, "%s: %s%s\n", path, json == NULL ? error.text : "", what);
        abort();
    }
    json_decref(json);
    return message;
}

static inline void view_case_add(struct store *store, const char *folder, const char *name)
{
    Otlp__ExportTraceServiceRequest *message = view_case_load(folder, name);
    store_add(store, message, 0);
    otlp__export_trace_service_request__free_unpacked(message, NULL);
}
