#include "wire/http1.h"
