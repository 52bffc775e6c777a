# SPDX-License-Identifier: Apache-2.0
"""Door to murmur2 (csrc/pkf_murmur2.h)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t

from pykafka_fast._core.csrc cimport pkf_murmur2


def murmur2(data):
    cdef Py_buffer view
    cdef int32_t result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    result = pkf_murmur2(view.buf, <size_t>view.len)
    PyBuffer_Release(&view)
    return result
