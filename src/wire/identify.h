/* Which protocol the first bytes of a connection speak. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

enum wire_protocol {
    WIRE_UNDECIDED, /* more bytes are needed; never for LIMIT_IDENTIFY_BYTES bytes or more */
    WIRE_HTTP1,
    WIRE_HTTP2, /* the client preface */
    WIRE_RESP,
    WIRE_TLS,
    WIRE_UNKNOWN
};

/* From the first bytes that the client side sends: an HTTP method token and a space, the HTTP/2
   preface, "*<digit>" or a well-known inline Redis command, a TLS handshake record. */
enum wire_protocol identify_client_bytes(struct slice bytes);

/* From bytes that the server side sends first, or that are the first seen of a connection in the
   middle of traffic: "HTTP/1.", a RESP reply's first line, a TLS record. */
enum wire_protocol identify_server_bytes(struct slice bytes);
