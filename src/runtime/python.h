/*
 * CPython in this process: what it exports and is asked, and how its objects are asked about.
 *
 * Whoever calls a function of it holds Python's lock. What a function returns is the caller's.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A PyObject: a count of references, and its type. Everything else is asked for, or tried out. */
typedef struct py_object {
    intptr_t references;
    const void *type;
} py_object;

typedef int py_visit(py_object *object, void *argument);
typedef int py_traverse(py_object *object, py_visit *visit, void *argument);

#define PYTHON_FUNCTIONS(X)                                                                        \
    X(int, PyContext_Enter, (py_object *))                                                         \
    X(int, PyContext_Exit, (py_object *))                                                          \
    X(py_object *, PyContext_New, (void))                                                          \
    X(py_object *, PyContextVar_New, (const char *name, py_object *otherwise))                     \
    X(py_object *, PyContextVar_Set, (py_object * variable, py_object * value))                    \
    X(char *, PyBytes_AsString, (py_object *))                                                     \
    X(py_object *, PyCFunction_NewEx, (void *method, py_object *self, py_object *module))          \
    X(void *, PyCapsule_GetPointer, (py_object *, const char *name))                               \
    X(py_object *, PyCapsule_New, (void *pointer, const char *name, void (*end)(py_object *)))     \
    X(py_object *, PyDict_GetItem, (py_object * dictionary, py_object * key))                      \
    X(void, PyErr_Clear, (void))                                                                   \
    X(py_object *, PyErr_Occurred, (void))                                                         \
    X(py_object *, PyEval_GetFrame, (void))                                                        \
    X(py_object *, PyEval_GetLocals, (void))                                                       \
    X(py_object *, PyFrame_GetCode, (py_object * frame))                                           \
    X(int, PyGILState_Check, (void))                                                               \
    X(void *, PyGILState_GetThisThreadState, (void))                                               \
    X(py_object *, PyImport_GetModule, (py_object * name))                                         \
    X(void *, PyInterpreterState_Get, (void))                                                      \
    X(void *, PyInterpreterState_Main, (void))                                                     \
    X(long, PyLong_AsLong, (py_object *))                                                          \
    X(py_object *, PyLong_FromLong, (long))                                                        \
    X(py_object *, PyObject_CallObject, (py_object * callable, py_object * arguments))             \
    X(py_object *, PyObject_GetItem, (py_object * mapping, py_object * key))                       \
    X(py_object *, PyObject_GenericGetAttr, (py_object *, py_object * name))                       \
    X(int, PyObject_GenericSetAttr, (py_object *, py_object * name, py_object * value))            \
    X(intptr_t, PyObject_Hash, (py_object *))                                                      \
    X(void *, PyThreadState_Get, (void))                                                           \
    X(py_object *, PySequence_GetItem, (py_object * sequence, intptr_t at))                        \
    X(intptr_t, PySequence_Size, (py_object * sequence))                                           \
    X(py_object *, PyTuple_GetItem, (py_object * tuple, intptr_t at))                              \
    X(py_object *, PyTuple_New, (intptr_t size))                                                   \
    X(int, PyTuple_SetItem, (py_object * tuple, intptr_t at, py_object * item))                    \
    X(void *, PyType_GetSlot, (const void *type, int slot))                                        \
    X(int, PyType_IsSubtype, (const void *type, const void *of))                                   \
    X(const char *, PyUnicode_AsUTF8, (py_object *))                                               \
    X(py_object *, PyUnicode_FromString, (const char *))                                           \
    X(py_object *, PyUnicode_InternFromString, (const char *))                                     \
    X(py_object *, PyWeakref_GetObject, (py_object * reference))                                   \
    X(int, Py_AddPendingCall, (int (*function)(void *), void *argument))                           \
    X(int, Py_AtExit, (void (*function)(void)))                                                    \
    X(void, Py_DecRef, (py_object *))                                                              \
    X(const char *, Py_GetVersion, (void))                                                         \
    X(void, Py_IncRef, (py_object *))

/* The types of what a callback or an item may consist of, None and False. */
#define PYTHON_TYPES(X)                                                                            \
    X(PyBaseObject_Type)                                                                           \
    X(PyBytes_Type)                                                                                \
    X(PyCFunction_Type)                                                                            \
    X(PyCell_Type)                                                                                 \
    X(PyDict_Type)                                                                                 \
    X(PyFloat_Type)                                                                                \
    X(PyFunction_Type)                                                                             \
    X(PyListIter_Type)                                                                             \
    X(PyList_Type)                                                                                 \
    X(PyLong_Type)                                                                                 \
    X(PyMethod_Type)                                                                               \
    X(PyRangeIter_Type)                                                                            \
    X(PySet_Type)                                                                                  \
    X(PyTupleIter_Type)                                                                            \
    X(PyTuple_Type)                                                                                \
    X(PyUnicode_Type)                                                                              \
    X(PyZip_Type)                                                                                  \
    X(_Py_FalseStruct)                                                                             \
    X(_Py_NoneStruct)

enum python_state { PYTHON_UNKNOWN, PYTHON_READY, PYTHON_OFF };

struct python {
#define FIELD(result, name, arguments) result(*name) arguments;
    PYTHON_FUNCTIONS(FIELD)
#undef FIELD
#define FIELD(name) const void *name;
    PYTHON_TYPES(FIELD)
#undef FIELD
    int (*is_finalizing)(void);
    int (*collects)(
        void); /* stops the collection of garbage; whether it was on. NULL before 3.10 */
    int (*collects_again)(void);
    /* What a type has by that name, not asked for anything; NULL: cannot be told. */
    py_object *(*find_in_type)(const void *type, py_object *name);
    _Atomic uint8_t state;  /* enum python_state */
    _Atomic bool has_begun; /* a request that a loop or hub serves */
    bool tells;
    /* What was tried out, and is constant from then on. */
    py_object *variable;
    uint32_t hash;       /* of the variable, as a table of variables sees it */
    uint32_t context_at; /* in the state of a thread */
    const void *of_few;  /* types of the table's nodes */
    const void *of_many;
    const void *capsule;
    const void *context;
    /* Functions of asyncio's, once they were asked for. */
    py_object *get_running_loop;
    py_object *current_task;
    const void *handles[2];   /* types of what a loop will call: asyncio's, uvloop's */
    const void *step;         /* of what a handle calls to let a task go on */
    const py_object *fetch;   /* code by which tornado's client makes a request */
    const py_object *handler; /* and its server works for one */
    bool watches_greenlets;   /* or has tried to */
    bool tells_previous;      /* a context tells in which other one it was entered */
};

extern struct python python;

/* Finalizers do not run before python_leave. Returns what that is told. */
static inline int python_stay(void)
{
    return python.collects != NULL && python.collects();
}

/* Whether the main interpreter runs, and nothing has gone wrong in it, so that its functions may be
   called where it expects none, as python_stay says. */
static inline bool python_enter(int *collects)
{
    if (python.is_finalizing() || python.PyErr_Occurred() != NULL ||
        python.PyInterpreterState_Get() != python.PyInterpreterState_Main()) {
        return false;
    }
    *collects = python_stay();
    return true;
}

static inline void python_leave(int collects)
{
    if (collects) {
        python.collects_again();
    }
}

static inline void python_forget(py_object *object)
{
    if (object != NULL) {
        python.Py_DecRef(object);
    }
}

/* An attribute that is in an object or its class; no code of a program's is asked for it. */
static inline py_object *python_get(py_object *object, const char *name)
{
    py_object *text = object == NULL ? NULL : python.PyUnicode_FromString(name);
    py_object *value = text == NULL ? NULL : python.PyObject_GenericGetAttr(object, text);
    python_forget(text);
    if (value == NULL) {
        python.PyErr_Clear();
    }
    return value;
}

/* The same, and `object` is given up. */
static inline py_object *python_step(py_object *object, const char *name)
{
    py_object *value = python_get(object, name);
    python_forget(object);
    return value;
}

/* What a frame's variables have by that name, which are a dictionary or, since 3.13, a view of
   them; they are given up. */
static inline py_object *python_local(py_object *variables, const char *name)
{
    py_object *key = variables == NULL ? NULL : python.PyUnicode_FromString(name);
    py_object *value = key == NULL ? NULL : python.PyObject_GetItem(variables, key);
    python_forget(key);
    python_forget(variables);
    if (value == NULL) {
        python.PyErr_Clear();
    }
    return value;
}

/* A module that is loaded already. */
static inline py_object *python_module(const char *name)
{
    py_object *text = python.PyUnicode_FromString(name);
    py_object *module = text == NULL ? NULL : python.PyImport_GetModule(text);
    python_forget(text);
    if (module == NULL) {
        python.PyErr_Clear();
    }
    return module;
}

static inline bool python_is_text(py_object *text, const char *wanted, size_t size)
{
    const char *is = text == NULL ? NULL : python.PyUnicode_AsUTF8(text);
    bool equals = is != NULL && strncmp(is, wanted, size) == 0;
    python_forget(text);
    if (is == NULL) {
        python.PyErr_Clear();
    }
    return equals;
}
