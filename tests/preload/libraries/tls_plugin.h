/* What tests/preload/programs/tls_loading.c loads. */
#pragma once

#include <stdbool.h>

typedef bool tls_plugin_function(int client, int server, unsigned exchanges);
tls_plugin_function tls_plugin_talk;
