/*
 * Methods of CPython's own types, watched in place: the table in which Python keeps a method's
 * address gets ours, which calls the one that was there. Nothing is changed that a program sees.
 */
#pragma once

#include "runtime/python.h"

/* A method's address takes the object and up to four more words, whatever is in them. */
typedef py_object *py_method(py_object *self, void *, void *, void *, void *);

/* PyMethodDef */
struct python_method {
    const char *name;
    py_method *function;
    int flags;
};

#define METHOD_TAKES_A_VECTOR                                                                      \
    0x82 /* METH_FASTCALL | METH_KEYWORDS: arguments, their number, names */
#define METHOD_TAKES_ITS_TYPE 0x200 /* METH_METHOD: before the arguments */
#define METHOD_TAKES_NOTHING  0x04  /* METH_NOARGS */
#define METHOD_TAKES_ONE      0x08  /* METH_O */

/* The method of that type, if it is where it is looked for and can be replaced, else NULL; `flags`
   0: any. `type` NULL: there is none. */
struct python_method *python_method_of_type(py_object *type, const char *name, int flags);

/* The same of a module's function. */
struct python_method *python_method_of_module(py_object *module, const char *name);

/* The same of a type that Cython has made. */
struct python_method *python_method_of_cython(py_object *type, const char *name, int flags);

/* Python calls `ours` from now on; `*original` is set before. */
void python_method_watch(struct python_method *method, py_method **original, py_method *ours);
