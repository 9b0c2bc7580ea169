/* Rule files of the user's own, at the start of a process. */
#pragma once

#include "base/slice.h"
#include "rules/rules.h"

/* Is told what is wrong, a line of text without a newline. */
typedef void rules_complaint(const char *text);

/* Compiles the files that `paths` names, a colon between them, and the shipped rules behind them,
   into memory that stays mapped. A file that is wrong is left out, and told of. NULL: there is
   none that is right. */
const struct rules *rules_files_load(struct slice paths, rules_complaint *complain);
