#include "runtime/python_method.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "app_thread/readable.h"
#include "base/symbol_versions.h"
#include "base/system_call.h"

/* Where the descriptor of a method has its type and its struct method, and a function the latter;
   checked by the name that is found there. */
enum { DESCRIPTOR_TYPE = 16, DESCRIPTOR_METHOD = 40, FUNCTION_METHOD = 16 };

/* The kernel adds nothing to it, which it refuses where that cannot be written. */
static bool is_writable(void *word)
{
    const long adds = 1l << 28;
    uint32_t nobody = 0;
    return raw_system_call(SYS_futex, (long)&nobody, 5 /* FUTEX_WAKE_OP */, 0, 0, (long)word,
                           adds) >= 0;
}

static struct python_method *check_method(struct python_method *method, const char *name, int flags)
{
    size_t size = strlen(name) + 1;
    bool is_it = method != NULL && readable(method, sizeof(*method)) &&
                 readable(method->name, size) && memcmp(method->name, name, size) == 0 &&
                 (flags == 0 || method->flags == flags) && is_writable(&method->function);
    return is_it ? method : NULL;
}

struct python_method *python_method_of_type(py_object *type, const char *name, int flags)
{
    const void *descriptor_type = dlsym(RTLD_DEFAULT, "PyMethodDescr_Type");
    py_object *descriptor = python_get(type, name);
    struct python_method *method = NULL;
    const void *of = NULL;
    if (descriptor != NULL && descriptor->type == descriptor_type) {
        memcpy(&of, (const char *)descriptor + DESCRIPTOR_TYPE, sizeof(of));
    }
    if (of != NULL && of == type) {
        memcpy(&method, (const char *)descriptor + DESCRIPTOR_METHOD, sizeof(method));
    }
    python_forget(descriptor);
    return check_method(method, name, flags);
}

static struct python_method *method_of_function(py_object *function, const char *name, int flags)
{
    struct python_method *method = NULL;
    if (function != NULL) {
        memcpy(&method, (const char *)function + FUNCTION_METHOD, sizeof(method));
    }
    python_forget(function);
    return check_method(method, name, flags);
}

struct python_method *python_method_of_module(py_object *module, const char *name)
{
    py_object *function = python_get(module, name);
    if (function != NULL && function->type != python.PyCFunction_Type) {
        python_forget(function);
        function = NULL;
    }
    return method_of_function(function, name, 0);
}

struct python_method *python_method_of_cython(py_object *type, const char *name, int flags)
{
    static const char cython[] = "cython_function_or_method";
    py_object *function = python_get(type, name);
    py_object *kind = function == NULL ? NULL : (py_object *)(uintptr_t)function->type;
    /* Only a type's own attributes are asked for, and a type has its name by its own type's. */
    if (kind != NULL && !python_is_text(python_get(kind, "__name__"), cython, sizeof(cython))) {
        python_forget(function);
        function = NULL;
    }
    return method_of_function(function, name, flags);
}

void python_method_watch(struct python_method *method, py_method **original, py_method *ours)
{
    *original = method->function;
    atomic_thread_fence(memory_order_release);
    method->function = ours;
}
