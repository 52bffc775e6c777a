# SPDX-License-Identifier: Apache-2.0
"""A method that the interpreter calls by METH_FASTCALL | METH_KEYWORDS, with arguments borrowed from the caller.

Cython's own entry takes a reference to each argument, also to the ones left out. Most of send()'s are None then, and to
count that one up and down ten times, each time waiting for the last, is a tenth of what a send() costs.
"""

from cpython.object cimport PyMethodDef, PyObject, PyTypeObject
from cpython.type cimport PyType_Modified

cdef extern from "Python.h":
    const int METH_FASTCALL
    const int METH_KEYWORDS
    object PyDescr_NewMethod(PyTypeObject *type, PyMethodDef *method)
    PyObject *PyTuple_GET_ITEM(PyObject *tuple, Py_ssize_t i)
    Py_ssize_t PyTuple_GET_SIZE(PyObject *tuple)

ctypedef object (*Entry)(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)


cdef inline bint take_arguments(
    PyObject **into, tuple parameters, Py_ssize_t positional, PyObject *const *args, Py_ssize_t count, PyObject *names,
) noexcept:
    """Sort arguments by parameter (interned names; the first is required), None for those left out.

    False: not what the parameters allow, or a name that only a comparison of text would find.
    """
    cdef Py_ssize_t i, at, last = PyTuple_GET_SIZE(<PyObject *> parameters) - 1
    cdef PyObject *name
    if count > positional:
        return False
    into[0] = NULL
    for i in range(count):
        into[i] = args[i]
    for i in range(max(count, 1), last + 1):
        into[i] = <PyObject *> None
    if names != NULL:
        for i in range(PyTuple_GET_SIZE(names)):
            name = PyTuple_GET_ITEM(names, i)
            at = last
            while at >= count and PyTuple_GET_ITEM(<PyObject *> parameters, at) != name:
                at -= 1
            if at < count:
                return False
            into[at] = args[count + i]
    return into[0] != NULL


cdef inline object call_anyhow(
    function, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names,
):
    """Pass on what a method was called with to a function that takes any arguments, right or wrong."""
    cdef Py_ssize_t i
    positional = [<object> self]
    for i in range(count):
        positional.append(<object> args[i])
    named = {}
    if names != NULL:
        for i in range(PyTuple_GET_SIZE(names)):
            named[<object> PyTuple_GET_ITEM(names, i)] = <object> args[count + i]
    return function(*positional, **named)


cdef inline object replace_method(type cls, PyMethodDef *method):
    """Put a method into an extension type; returns the one of that name that was there."""
    methods = <dict> <object> (<PyTypeObject *> cls).tp_dict
    name = (<bytes> method.ml_name).decode()
    replaced = methods[name]
    methods[name] = PyDescr_NewMethod(<PyTypeObject *> cls, method)
    PyType_Modified(cls)
    return replaced
