#include "wire/redis_command.h"
