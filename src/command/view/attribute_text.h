/* Attribute values as text. */
#pragma once

#include <otlp.pb-c.h>

#include "command/view/buffer.h"

/* Appends `value`: a string as it is, lists as [a, b], maps as {k=v}, bytes as hex; at most
   LIMIT_VIEW_TEXT bytes, cut between characters. */
void attribute_text_append(struct buffer *text, const Otlp__AnyValue *value);

/* Appends `text` cut to LIMIT_VIEW_TEXT bytes between characters. */
void attribute_text_append_cut(struct buffer *into, const char *text);

/* Appends "k=v k=v". */
void attribute_text_append_all(struct buffer *text, Otlp__KeyValue *const *attributes,
                               size_t count);
