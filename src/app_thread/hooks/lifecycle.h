/* What the tail jumps call before they jump. Each may run in a signal handler and keeps errno. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

void lifecycle_before_vfork(void);
void lifecycle_before_prctl(int option);
void lifecycle_before_dlopen(void);
void lifecycle_before_dlclose(void);

/* Whether the new program is to be told on whose behalf it is started: then the stub goes on to the
   function of programs.c rather than to the original. */
bool lifecycle_before_exec(void);

/* These two answer whether the call is a fork: then the stub goes on to the function below rather
   than to the original. */
bool lifecycle_before_clone(int (*function)(void *), void *stack, int flags);
bool lifecycle_before_syscall(long number, long a, long b, long c);

/* ---- programs.c: with the environment that child_environment.h makes ---- */

int program_execve(const char *path, char *const arguments[], char *const environment[]);
int program_execv(const char *path, char *const arguments[]);
int program_execvp(const char *file, char *const arguments[]);
int program_execvpe(const char *file, char *const arguments[], char *const environment[]);
int program_execl(const char *path, const char *first, ...);
int program_execle(const char *path, const char *first, ...);
int program_execlp(const char *file, const char *first, ...);
int program_fexecve(int fd, char *const arguments[], char *const environment[]);
int program_execveat(int fd, const char *path, char *const arguments[], char *const environment[],
                     int flags);

/* ---- forks.c ---- */

bool fork_is_clone(int (*function)(void *), void *stack, int flags);
int fork_clone(int (*function)(void *), void *stack, int flags, void *argument, pid_t *parent_id,
               void *thread_area, pid_t *child_id);
bool fork_is_system_call(long number, long a, long b);
long fork_system_call(long number, long a, long b, long c, long d, long e);
