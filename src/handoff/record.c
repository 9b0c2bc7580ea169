#include "handoff/record.h"
