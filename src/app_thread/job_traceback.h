/* Tracebacks that a queue keeps in base64 of zlib's format. */
#pragma once

#include "base/compiler.h"
#include "rules/match.h"

/* Replaces the stack of the facts by what was packed in it, and finds the failure's type and text
   in its last line. All of it stays in the capture: what was kept last is decoded in place and
   unpacked behind that. What was cut is not told of, for its end, which matters, is not there. */
SLOW void job_traceback_unpack(struct rule_capture *capture, struct rule_facts *facts);
