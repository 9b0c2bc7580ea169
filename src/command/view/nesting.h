/* Whether an encoded message may be decoded: the decoder takes stack for every level. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/slice.h"

/* True if `encoded`, a message of type `descriptor`, is well formed down to its last message and
   holds at most LIMIT_VIEW_NESTING levels of messages. Needs no memory. */
bool nesting_is_bounded(struct slice encoded, const ProtobufCMessageDescriptor *descriptor);
