/* What /proc tells of a running process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "command/doctor/losses_view.h"
#include "command/doctor/place.h"
#include "command/doctor/text_list.h"

enum process_state {
    PROCESS_IS_SEEN,
    PROCESS_NOT_THERE,
    PROCESS_HAS_ENDED,   /* a zombie */
    PROCESS_IS_KERNELS,  /* a thread of the kernel: it has no program */
    PROCESS_IS_NOT_OURS, /* this user may not look into it */
};

struct process_view {
    enum process_state state;
    pid_t id;
    struct place place;  /* its file system */
    char *executable;    /* as it names it itself */
    int executable_file; /* open for reading, or -1 */
    char *environment_text;
    const char **environment; /* NULL-terminated: what it was started with */
    struct text_list mapped;  /* objects' files, each once */
    bool has_library;         /* libwirespan.so is among what it has mapped */
    bool library_is_replaced; /* but the file has been removed or exchanged since */
    bool is_secure;           /* AT_SECURE: the loader ignores LD_PRELOAD */
    bool has_fast_clock;      /* the kernel's vDSO is mapped */
    size_t io_uring_count;    /* its descriptors of io_uring */
    int seccomp;              /* 0: none, 1: strict, 2: a filter */
    bool is_traced;           /* by a debugger or strace */
    pid_t own_id;             /* its number in its own namespace */
    struct losses_view losses;
    bool parent_has_preload; /* its parent was started with LD_PRELOAD naming libwirespan.so */
};

/* Reads all there is. False without memory; to be finished in any case. */
bool process_view_read(struct process_view *view, pid_t id);

void process_view_finish(struct process_view *view);

/* The parts, for tests: the text of /proc/PID/maps, and of /proc/PID/status. */
bool process_view_take_maps(struct process_view *view, const char *maps);
void process_view_take_status(struct process_view *view, const char *status, pid_t *parent);
