/* libcurl: what is asked of it, by the numbers of its interface (curl/curl.h), which never change.
 */
#pragma once

#include "app_thread/hooks/caller_scope.h"

extern struct scope_family libcurl_family;

enum {
    CURL_URL = 0x100001,
    CURL_REQUEST_BYTES = 0x20000C,
    CURL_METHOD = 0x10003A,
    CURL_STATUS = 0x200002,
    CURL_REDIRECTS = 0x200014,
    CURL_CONNECTS = 0x20001A,
    CURL_PEER_PORT = 0x200028,
    CURL_LOCAL_PORT = 0x20002A,
    CURL_VERSION = 0x20002E,
    CURL_SOCKET = 0x50002C,
    CURL_SENT = 0x600007,
    CURL_RECEIVED = 0x600008,
    CURL_TOTAL_US = 0x600032,
    CURL_NAME_US,
    CURL_CONNECT_US,
    CURL_READY_US,
    CURL_FIRST_BYTE_US,
    CURL_REDIRECT_US,
    CURL_TLS_US
};

/* Options of a handle. */
enum {
    CURL_OPTION_FOLLOW = 52,
    CURL_OPTION_VERSION = 84,
    CURL_OPTION_HEADERS_FOR = 229,
    CURL_OPTION_HEADERS = 10023
};

/* Values of CURL_OPTION_VERSION. With those between, plain text is HTTP/1. */
enum {
    CURL_WANTS_HTTP10 = 1,
    CURL_WANTS_HTTP11 = 2,
    CURL_WANTS_HTTP2_AT_ONCE = 5,
    CURL_WANTS_HTTP3_ALONE = 31
};

/* What CURL_VERSION gives. */
enum { CURL_HTTP10 = 1, CURL_HTTP11 = 2, CURL_HTTP2 = 3, CURL_HTTP3 = 30 };

/* CURLcode. */
enum {
    CURL_FAILED_INIT = 2,
    CURL_NO_RESOLVE = 6,
    CURL_NO_CONNECT = 7,
    CURL_HTTP2_ERROR = 16,
    CURL_PARTIAL = 18,
    CURL_WRITE_ERROR = 23,
    CURL_TIMED_OUT = 28,
    CURL_ABORTED = 42,
    CURL_BAD_ARGUMENT = 43,
    CURL_NOTHING = 52,
    CURL_SEND_ERROR = 55,
    CURL_RECV_ERROR = 56,
    CURL_STREAM_ERROR = 92
};

/* CURLMcode, CURLMSG. */
enum { CURL_MULTI_INTERNAL = 4, CURL_DONE = 1 };

struct curl_message {
    int what;
    struct Curl_easy *easy;
    union {
        void *pointer;
        int result;
    } data;
};
