#include "handoff/segment.h"
