# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int64_t

from pykafka_fast._core.csrc cimport pkf_append, pkf_header, pkf_span


cdef struct Gathered:
    pkf_append append
    pkf_header inline_headers[8]
    pkf_header *headers   # inline_headers, or malloc
    Py_buffer key_view
    Py_buffer value_view
    bint key_viewed
    bint value_viewed


cdef int64_t gather_number(object number, str what, int64_t most) except? -1
cdef int gather_bytes(object data, str what, pkf_span *span, Py_buffer *view, bint *viewed) except -1
cdef tuple pairs_of(object headers)
cdef int gather_header(object pair, pkf_header *header) except -1
cdef int gather_headers(tuple pairs, Gathered *g) except -1
cdef void let_go(Gathered *g) noexcept
