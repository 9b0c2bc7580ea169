/* What the tail jumps call before they jump. Each may run in a signal handler and keeps errno. */
#pragma once

void lifecycle_before_exec(void);
void lifecycle_before_vfork(void);
void lifecycle_before_clone(int (*function)(void *), void *stack, int flags);
void lifecycle_before_prctl(int option);
void lifecycle_before_dlopen(void);
void lifecycle_before_dlclose(void);
void lifecycle_before_syscall(long number, long a, long b, long c);
