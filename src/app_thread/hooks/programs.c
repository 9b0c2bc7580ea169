/* Programs that are started: told on whose behalf, if that is known (child_environment.h). */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app_thread/child_environment.h"
#include "app_thread/hooks/hook.h"
#include "app_thread/hooks/lifecycle.h"
#include "app_thread/hooks/originals.h"
#include "base/limits.h"
#include "base/system_call.h"

/* ---- exec ---- */

/* Which call it is, with what is not the environment. */
enum form { FORM_PATH, FORM_SEARCH, FORM_DESCRIPTOR, FORM_AT };

struct program {
    enum form form;
    int fd;
    int flags;
    const char *path;
    char *const *arguments;
};

static int not_there(void)
{
    errno = ENOSYS;
    return -1;
}

static int call(const struct program *program, char *const *environment)
{
    switch (program->form) {
    case FORM_SEARCH:
        return original_execvpe == NULL
                   ? not_there()
                   : original_execvpe(program->path, program->arguments, environment);
    case FORM_DESCRIPTOR:
        return original_fexecve == NULL
                   ? not_there()
                   : original_fexecve(program->fd, program->arguments, environment);
    case FORM_AT:
        return original_execveat == NULL
                   ? not_there()
                   : original_execveat(program->fd, program->path, program->arguments, environment,
                                       program->flags);
    case FORM_PATH:
    default:
        return original_execve(program->path, program->arguments, environment);
    }
}

/* Comes back only if it failed. */
static int become(const struct program *program, char *const *environment)
{
    struct thread_state *self = &thread_state;
    char *const *ours = child_environment_make(self, environment);
    int result = call(program, ours != NULL ? ours : environment);
    if (ours != NULL) {
        child_environment_give_back(self);
    }
    return result;
}

int program_execve(const char *path, char *const arguments[], char *const environment[])
{
    return become(&(struct program){.form = FORM_PATH, .path = path, .arguments = arguments},
                  environment);
}

int program_execv(const char *path, char *const arguments[])
{
    return program_execve(path, arguments, environ);
}

int program_execvpe(const char *file, char *const arguments[], char *const environment[])
{
    return become(&(struct program){.form = FORM_SEARCH, .path = file, .arguments = arguments},
                  environment);
}

/* A C library without execvpe is left with what it has. */
int program_execvp(const char *file, char *const arguments[])
{
    return original_execvpe == NULL ? original_execvp(file, arguments)
                                    : program_execvpe(file, arguments, environ);
}

int program_fexecve(int fd, char *const arguments[], char *const environment[])
{
    return become(&(struct program){.form = FORM_DESCRIPTOR, .fd = fd, .arguments = arguments},
                  environment);
}

int program_execveat(int fd, const char *path, char *const arguments[], char *const environment[],
                     int flags)
{
    return become(
        &(struct program){
            .form = FORM_AT, .fd = fd, .path = path, .arguments = arguments, .flags = flags},
        environment);
}

/* ---- exec with arguments one by one ---- */

/* As many as calls that somebody has written down have; more go into memory of their own, which is
   no stack's, because the C library is not asked for a larger one either. */
#define LISTED 64u

struct list {
    size_t count; /* with the NULL */
    char **arguments;
    char *few[LISTED];
};

static bool list_begin(struct list *list, const char *first, va_list rest)
{
    va_list counted;
    list->count = 1;
    va_copy(counted, rest);
    for (const char *one = first; one != NULL; one = va_arg(counted, const char *)) {
        list->count++;
    }
    va_end(counted);
    list->arguments = list->few;
    if (list->count > LISTED) {
        long memory = raw_system_call(SYS_mmap, 0, (long)(list->count * sizeof(char *)),
                                      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory < 0 && memory > -4096) {
            errno = (int)-memory;
            return false;
        }
        list->arguments = (char **)memory;
    }
    return true;
}

static int list_end(struct list *list, int result)
{
    if (list->arguments != list->few) {
        raw_system_call(SYS_munmap, (long)list->arguments, (long)(list->count * sizeof(char *)), 0,
                        0, 0, 0);
    }
    return result;
}

/* The caller's strings are not constant to exec, which changes none. */
static char *own(const char *text)
{
    union {
        const char *borrowed;
        char *own;
    } pointer = {.borrowed = text};
    return pointer.own;
}

/* A va_list that was handed over cannot be handed on by its address everywhere: so a macro. */
#define LIST(list, first, rest)                                                                    \
    do {                                                                                           \
        va_start(rest, first);                                                                     \
        if (!list_begin(&(list), first, rest)) {                                                   \
            va_end(rest);                                                                          \
            return -1;                                                                             \
        }                                                                                          \
        (list).arguments[0] = own(first);                                                          \
        for (size_t i = 1; i < (list).count; i++) {                                                \
            (list).arguments[i] = va_arg(rest, char *);                                            \
        }                                                                                          \
    } while (0)

int program_execl(const char *path, const char *first, ...)
{
    struct list list;
    va_list rest;
    LIST(list, first, rest);
    va_end(rest);
    return list_end(&list, program_execve(path, list.arguments, environ));
}

int program_execlp(const char *file, const char *first, ...)
{
    struct list list;
    va_list rest;
    LIST(list, first, rest);
    va_end(rest);
    return list_end(&list, program_execvp(file, list.arguments));
}

int program_execle(const char *path, const char *first, ...)
{
    struct list list;
    va_list rest;
    LIST(list, first, rest);
    char *const *environment = va_arg(rest, char *const *);
    va_end(rest);
    return list_end(&list, program_execve(path, list.arguments, environment));
}

/* ---- posix_spawn ---- */

typedef int spawn_function(pid_t *child, const char *path,
                           const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attributes, char *const arguments[],
                           char *const environment[]);

static int spawn(spawn_function *original, pid_t *child, const char *path,
                 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                 char *const arguments[], char *const environment[])
{
    struct thread_state *self = &thread_state;
    if (original == NULL) {
        return ENOSYS;
    }
    char *const *ours =
        hook_is_on() && !hook_is_aside(self) ? child_environment_make(self, environment) : NULL;
    int result =
        original(child, path, actions, attributes, arguments, ours != NULL ? ours : environment);
    if (ours != NULL) {
        child_environment_give_back(self);
    }
    return result;
}

EXPORTED int posix_spawn(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *attributes, char *const arguments[],
                         char *const environment[])
{
    return spawn(ORIGINAL(posix_spawn), child, path, actions, attributes, arguments, environment);
}

EXPORTED int posix_spawnp(pid_t *child, const char *file, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attributes, char *const arguments[],
                          char *const environment[])
{
    return spawn(ORIGINAL(posix_spawnp), child, file, actions, attributes, arguments, environment);
}
