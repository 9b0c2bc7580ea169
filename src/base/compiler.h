/* Compiler spellings used throughout. */
#pragma once

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* The slow half of a function whose fast half is inlined. */
#define SLOW __attribute__((noinline, cold))

/* An exported, interposed function. */
#define EXPORTED __attribute__((visibility("default")))
