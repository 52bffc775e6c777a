# SPDX-License-Identifier: Apache-2.0
"""Door to CRC-32C (csrc/pkf_crc32c.h)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint32_t

from pykafka_fast._core.csrc cimport pkf_crc32c_fn, pkf_crc32c_name, pkf_crc32c_select

cdef pkf_crc32c_fn fastest = pkf_crc32c_select(NULL)


def crc32c(data, uint32_t value=0, str implementation=None):
    cdef pkf_crc32c_fn crc = fastest
    cdef Py_buffer view
    cdef uint32_t result
    if implementation is not None:
        crc = named(implementation)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    result = crc(value, view.buf, <size_t>view.len)
    PyBuffer_Release(&view)
    return result


cdef pkf_crc32c_fn named(str implementation) except NULL:
    name = implementation.encode()
    cdef pkf_crc32c_fn crc = pkf_crc32c_select(name)
    if crc == NULL:
        raise ValueError(f"no CRC-32C implementation {implementation!r} here; there are {implementations()}")
    return crc


def implementations():
    cdef size_t i = 0
    names = []
    while pkf_crc32c_name(i) != NULL:
        names.append(pkf_crc32c_name(i).decode())
        i += 1
    return names
