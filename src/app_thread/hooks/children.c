/*
 * Children that ended, as the program is told. A drainer that comes late to the remains of a
 * process learns from its parent how it ended.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "app_thread/callbacks.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"
#include "base/compiler.h"

static pid_t ended(pid_t child, int status)
{
    if (child > 0 && callbacks.child_ended != NULL && hook_is_on() &&
        (WIFEXITED(status) || WIFSIGNALED(status))) {
        callbacks.child_ended(child, status);
    }
    return child;
}

/* Who does not ask for the status is not told; we are. */
EXPORTED pid_t wait(int *status)
{
    int own = 0;
    int *into = status != NULL ? status : &own;
    pid_t child = ORIGINAL(wait)(into);
    return ended(child, child > 0 ? *into : 0);
}

EXPORTED pid_t waitpid(pid_t process, int *status, int options)
{
    int own = 0;
    int *into = status != NULL ? status : &own;
    pid_t child = ORIGINAL(waitpid)(process, into, options);
    return ended(child, child > 0 ? *into : 0);
}

EXPORTED pid_t wait3(int *status, int options, struct rusage *usage)
{
    int own = 0;
    int *into = status != NULL ? status : &own;
    pid_t child = ORIGINAL(wait3)(into, options, usage);
    return ended(child, child > 0 ? *into : 0);
}

EXPORTED pid_t wait4(pid_t process, int *status, int options, struct rusage *usage)
{
    int own = 0;
    int *into = status != NULL ? status : &own;
    pid_t child = ORIGINAL(wait4)(process, into, options, usage);
    return ended(child, child > 0 ? *into : 0);
}

EXPORTED int waitid(idtype_t type, id_t id, siginfo_t *information, int options)
{
    int result = ORIGINAL(waitid)(type, id, information, options);
    if (result == 0 && information != NULL && information->si_signo == SIGCHLD) {
        int status = information->si_status;
        switch (information->si_code) {
        case CLD_EXITED:
            ended(information->si_pid, (status & 0xFF) << 8);
            break;
        case CLD_KILLED:
        case CLD_DUMPED:
            ended(information->si_pid, status & 0x7F);
            break;
        default:
            break;
        }
    }
    return result;
}
