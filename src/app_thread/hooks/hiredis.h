/* hiredis, 0.13 and later. */
#pragma once

#include "app_thread/hooks/caller_scope.h"

extern struct scope_family hiredis_family;
