#include "process/config.h"
