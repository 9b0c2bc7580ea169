#include "wire/redact.h"
