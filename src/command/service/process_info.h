/* What the kernel tells about other processes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum process_answer { PROCESS_NO, PROCESS_YES, PROCESS_UNKNOWN };

/* A pidfd, close-on-exec, or -errno: -ESRCH if there is no such process. */
int process_open(pid_t process_id);

/* The namespace in which this process numbers others, as the kernel numbers it; 0: not told. */
uint32_t process_namespace_id(void);

/* Whether the process that the pidfd stands for has ended. */
bool process_has_ended(int pidfd);

/* When the process started, CLOCK_BOOTTIME, cut to the kernel's tick. False if it is not told. */
bool process_start_ns(pid_t process_id, uint64_t *start_ns);

/* Whether the process has the memory file of that inode mapped. Unknown where another user's
   processes are not to be looked into. */
enum process_answer process_maps(pid_t process_id, ino_t inode);

/* The process that calls itself `own_id` in the innermost of its namespaces, which is
   `namespace_id` if that is not 0, and has the file mapped. 0: there is none. -1: there may be one
   that is not to be looked into. Looks at every process of the machine. */
pid_t process_find(int32_t own_id, uint32_t namespace_id, ino_t inode);

/* The same of a status as wait tells it. */
int32_t process_cause_of(int status);

/* Why a process that has ended did so: record_abort_cause(). */
int32_t process_end_cause(pid_t process_id, int pidfd);
