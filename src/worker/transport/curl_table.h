/*
 * libcurl, loaded at run time: the only place that knows where its functions come from.
 *
 * It is not linked because a program that is only watched must not depend on it, and because some
 * programs export symbols of their own TLS library that would capture those of libcurl's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define CURL_FUNCTION(name) __typeof__(curl_##name) *name

struct curl_table {
    CURL_FUNCTION(global_init_mem);
    CURL_FUNCTION(version_info);
    CURL_FUNCTION(easy_init);
    CURL_FUNCTION(easy_setopt);
    CURL_FUNCTION(easy_getinfo);
    CURL_FUNCTION(easy_strerror);
    CURL_FUNCTION(easy_cleanup);
    CURL_FUNCTION(multi_init);
    CURL_FUNCTION(multi_setopt);
    CURL_FUNCTION(multi_add_handle);
    CURL_FUNCTION(multi_remove_handle);
    CURL_FUNCTION(multi_socket_action);
    CURL_FUNCTION(multi_info_read);
    CURL_FUNCTION(multi_cleanup);
    CURL_FUNCTION(slist_append);
    CURL_FUNCTION(slist_free_all);
};

#undef CURL_FUNCTION

/* Names that libcurl has, by preference; NULL-terminated. */
extern const char *const curl_table_names[];

/* Loads libcurl under the first of `names` that exists, initialises it and fills `*table`. The
   library stays loaded and initialised for the life of the process: the application may use it
   too, and OpenSSL's exit handlers point into it. On failure returns false with the reason in
   `why` and leaves `*table` alone. */
bool curl_table_load(struct curl_table *table, const char *const *names, char *why,
                     size_t why_size);
