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
    bint PyUnicode_CheckExact(PyObject *o)
    int PyUnicode_Compare(PyObject *left, PyObject *right)

ctypedef object (*Entry)(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)


cdef inline Py_ssize_t parameter_of(PyObject *parameters, Py_ssize_t first, PyObject *name) noexcept:
    """Its place, `first` or later; -1: none. Names in a program are interned, those from elsewhere may be equal."""
    cdef Py_ssize_t at
    for at in range(PyTuple_GET_SIZE(parameters) - 1, first - 1, -1):
        if PyTuple_GET_ITEM(parameters, at) == name:
            return at
    if PyUnicode_CheckExact(name):
        for at in range(first, PyTuple_GET_SIZE(parameters)):
            if PyUnicode_Compare(PyTuple_GET_ITEM(parameters, at), name) == 0:
                return at
    return -1


cdef inline bint take_arguments(
    PyObject **into, tuple parameters, Py_ssize_t positional, PyObject *const *args, Py_ssize_t count, PyObject *names,
) noexcept:
    """Sort arguments by parameter (the first is required), None for those left out. False: not what they allow.

    What is borrowed stays only as long as the caller keeps it: hold it before anything that may run Python."""
    cdef Py_ssize_t i, at
    if count > positional:
        return False
    into[0] = NULL
    for i in range(count):
        into[i] = args[i]
    for i in range(max(count, 1), PyTuple_GET_SIZE(<PyObject *> parameters)):
        into[i] = <PyObject *> None
    if names != NULL:
        for i in range(PyTuple_GET_SIZE(names)):
            at = parameter_of(<PyObject *> parameters, count, PyTuple_GET_ITEM(names, i))
            if at < 0:
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
