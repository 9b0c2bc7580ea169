/*
 * Threads that wait for each other: who wakes another one may hand something over.
 *
 * Each of these is looked at only where that matters (handover.h). A thread that is cancelled in
 * its wait leaves it by another way than by its return, and is woken by nobody then.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "app_thread/handover.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/originals.h"

static SLOW void wakes(const void *object)
{
    struct thread_state *self = &thread_state;
    int error = errno;
    if (!hook_is_aside(self)) {
        handover_wakes(self, object);
    }
    errno = error;
}

static SLOW void waits(const void *object)
{
    struct thread_state *self = &thread_state;
    if (!hook_is_aside(self)) {
        handover_waits(self, object);
    }
}

static SLOW int waited(const void *object, int result)
{
    struct thread_state *self = &thread_state;
    int error = errno;
    if (!hook_is_aside(self)) {
        handover_waited(self, object, result == 0);
    }
    errno = error;
    return result;
}

/* Who waits already when this begins to matter is seen to be woken, too. */
#define WAIT(call, object)                                                                         \
    if (handover_is_watched()) {                                                                   \
        waits(object);                                                                             \
    }                                                                                              \
    int result = call;                                                                             \
    return handover_is_watched() ? waited(object, result) : result

#define WAKE(object)                                                                               \
    if (handover_is_watched()) {                                                                   \
        wakes(object);                                                                             \
    }

EXPORTED int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    WAIT(ORIGINAL(pthread_cond_wait)(condition, mutex), condition);
}

EXPORTED int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                    const struct timespec *until)
{
    WAIT(ORIGINAL(pthread_cond_timedwait)(condition, mutex, until), condition);
}

EXPORTED int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                    clockid_t clock, const struct timespec *until)
{
    if (unlikely(ORIGINAL(pthread_cond_clockwait) == NULL)) {
        return ENOSYS;
    }
    WAIT(original_pthread_cond_clockwait(condition, mutex, clock, until), condition);
}

EXPORTED int pthread_cond_signal(pthread_cond_t *condition)
{
    WAKE(condition)
    return ORIGINAL(pthread_cond_signal)(condition);
}

EXPORTED int pthread_cond_broadcast(pthread_cond_t *condition)
{
    WAKE(condition)
    return ORIGINAL(pthread_cond_broadcast)(condition);
}

EXPORTED int sem_wait(sem_t *semaphore)
{
    WAIT(ORIGINAL(sem_wait)(semaphore), semaphore);
}

EXPORTED int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    WAIT(ORIGINAL(sem_timedwait)(semaphore, until), semaphore);
}

EXPORTED int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
    if (unlikely(ORIGINAL(sem_clockwait) == NULL)) {
        errno = ENOSYS;
        return -1;
    }
    WAIT(original_sem_clockwait(semaphore, clock, until), semaphore);
}

EXPORTED int sem_post(sem_t *semaphore)
{
    WAKE(semaphore)
    return ORIGINAL(sem_post)(semaphore);
}
