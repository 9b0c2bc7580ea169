/* What one read of the monotonic clock costs on this machine: the vDSO's page of time, or a system
   call where the clock source does not allow that. */
#pragma once

#include "command/doctor/examine.h"

struct clock_cost clock_cost_measure(void);
