#include "wire/resp.h"
