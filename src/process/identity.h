/* What tells one process from another, drawn when a process gets its first segment. */
#pragma once

#include "app_thread/attachment.h"

/* Sets the page's epoch and random seed, unless this process has them. */
void identity_draw(struct attachment *page);
