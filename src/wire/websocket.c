#include "wire/websocket.h"
