# SPDX-License-Identifier: Apache-2.0
"""The caller's keys, values and headers as spans, without copying; let_go() closes what was opened. And numbers."""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.list cimport PyList_Check
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport strchr, strcmp, strpbrk, strspn

from pykafka_fast._core.csrc cimport pkf_header, pkf_span
from pykafka_fast.types import whole

cdef extern from "Python.h":
    bint PyLong_CheckExact(object o)
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_Check(object o)
    bint PyTuple_Check(object o)
    Py_ssize_t PyTuple_GET_SIZE(object o)
    PyObject *PyTuple_GET_ITEM(object o, Py_ssize_t i)
    bint PyByteArray_Check(object o)
    bint PyMemoryView_Check(object o)

cdef enum:
    INLINE_HEADERS = 8  # more are gathered on the heap

# An empty bytes-like still needs an address: a span without one is null.
cdef const uint8_t *EMPTY = <const uint8_t *> b""


cdef int64_t gather_number(object number, str what, int64_t most) except? -1:
    """A partition or a timestamp: a whole number from 0 to `most`."""
    cdef int overflow = 0
    cdef int64_t found
    if PyLong_CheckExact(number):
        found = PyLong_AsLongLongAndOverflow(number, &overflow)
        if overflow == 0 and 0 <= found <= most:
            return found
    return whole(what, number, most)


cdef int gather_bytes(object data, str what, pkf_span *span, Py_buffer *view, bint *viewed) except -1:
    """A bytes-like object as a span; None as a null one. The view, if one was needed, is open until let_go()."""
    if PyBytes_Check(data):
        span.base = <const uint8_t *> PyBytes_AS_STRING(data)
        span.len = <size_t> PyBytes_GET_SIZE(data)
        return 0
    if data is None:
        span.base = NULL
        span.len = 0
        return 0
    return view_bytes(data, what, span, view, viewed)


cdef int view_bytes(object data, str what, pkf_span *span, Py_buffer *view, bint *viewed) except -1:
    try:
        if PyUnicode_Check(data):  # numpy's is a buffer, too
            raise TypeError
        PyObject_GetBuffer(data, view, PyBUF_ND | PyBUF_FORMAT)
    except TypeError:
        raise unsupported(data, what) from None
    except (BufferError, ValueError) as error:
        raise TypeError(f"the serialized {what} is a buffer that is not contiguous: {error}") from None
    try:
        check_bytes(data, what, view)
    except BaseException:
        PyBuffer_Release(view)
        raise
    viewed[0] = True
    span.base = <const uint8_t *> view.buf if view.len > 0 else EMPTY
    span.len = <size_t> view.len
    return 0


cdef object unsupported(object data, str what):
    return TypeError(
        f"Unsupported type for serialized {what}: {type(data).__name__}; it must be bytes, another contiguous "
        f"buffer, or None (is a {what}_serializer missing?)")


cdef int check_bytes(object data, str what, const Py_buffer *view) except -1:
    """Not numbers or pointers, which nobody could read back; who makes a memoryview of numbers knows what he does."""
    cdef bint numbers
    if PyByteArray_Check(data):
        return 0
    if PyMemoryView_Check(data):
        numbers = view.itemsize != 1 and (view.format == NULL or strpbrk(view.format, "OPZ") != NULL)
    else:
        if is_scalar(data):
            raise unsupported(data, what)
        numbers = view.format != NULL and strchr(view.format, b"?") != NULL
        numbers = numbers or (view.itemsize != 1 and not is_void(view))
    if not numbers:
        return 0
    format = "" if view.format == NULL else view.format.decode("utf-8", "replace")
    raise TypeError(
        f"Unsupported type for serialized {what}: {type(data).__name__} with items of format {format!r}, which are "
        f"no bytes (is a {what}_serializer missing? A memoryview of numbers is sent as they lie in memory)")


cdef bint is_scalar(object data) except -1:
    """A number or a time of numpy's, whose memory may look like bytes."""
    if getattr(data, "ndim", None) != 0:
        return False
    return getattr(getattr(data, "dtype", None), "kind", "V") not in ("S", "V")


cdef bint is_void(const Py_buffer *view) noexcept:
    """One item of plain bytes, as numpy.void is."""
    return view.ndim == 0 and view.format != NULL and strcmp(view.format + strspn(view.format, "0123456789"), "x") == 0


cdef tuple pairs_of(object headers):
    """The headers as a tuple of our own, because another thread may change the list while the GIL is released."""
    if not PyList_Check(headers):
        raise TypeError(f"headers must be a list of (str, bytes) pairs, not {type(headers).__name__}")
    pairs = tuple(headers)
    for pair in pairs:
        if PyTuple_Check(pair) and PyTuple_GET_SIZE(pair) == 2 and isinstance(pair[1], (bytearray, memoryview)):
            return tuple([with_bytes(pair) for pair in pairs])
    return pairs


cdef object with_bytes(object pair):
    if PyTuple_Check(pair) and PyTuple_GET_SIZE(pair) == 2 and isinstance(pair[1], (bytearray, memoryview)):
        return pair[0], bytes(pair[1])
    return pair


cdef int gather_headers(tuple pairs, Gathered *g) except -1:
    """(str, bytes or None) pairs as spans, alive as long as the caller holds `pairs`."""
    cdef Py_ssize_t count = PyTuple_GET_SIZE(pairs), i
    g.headers = g.inline_headers
    if count > INLINE_HEADERS:
        g.headers = <pkf_header *> malloc(count * sizeof(pkf_header))
        if g.headers == NULL:
            raise MemoryError
    for i in range(count):
        gather_header(<object> PyTuple_GET_ITEM(pairs, i), &g.headers[i])
    g.append.headers = g.headers
    g.append.header_count = <int32_t> count
    return 0


cdef int gather_header(object pair, pkf_header *header) except -1:
    cdef Py_ssize_t size = 0
    if not PyTuple_Check(pair) or PyTuple_GET_SIZE(pair) != 2:
        raise TypeError(f"a header must be a (str, bytes or None) pair, not {pair!r:.200}")
    key = <object> PyTuple_GET_ITEM(pair, 0)
    value = <object> PyTuple_GET_ITEM(pair, 1)
    if not PyUnicode_Check(key):
        raise TypeError(f"a header's key must be str, not {type(key).__name__}")
    header.key.base = <const uint8_t *> PyUnicode_AsUTF8AndSize(key, &size)
    header.key.len = <size_t> size
    if value is None:
        header.value.base = NULL
        header.value.len = 0
    elif PyBytes_Check(value):
        header.value.base = <const uint8_t *> PyBytes_AS_STRING(value)
        header.value.len = <size_t> PyBytes_GET_SIZE(value)
    else:
        raise TypeError(f"a header's value must be bytes or None, not {type(value).__name__}")
    return 0


cdef void let_go(Gathered *g) noexcept:
    if g.key_viewed:
        PyBuffer_Release(&g.key_view)
    if g.value_viewed:
        PyBuffer_Release(&g.value_view)
    if g.headers != NULL and g.headers != g.inline_headers:
        free(g.headers)
