/* The families of TLS functions, and what their wrappers share. */
#pragma once

#include "app_thread/hooks/caller_scope.h"

extern struct scope_family tls_openssl;
