# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int32_t

from pykafka_fast._core.csrc_bulk cimport pkf_range


cdef class RangeFuture:
    cdef pkf_range c
    cdef int32_t settled   # rows before this one are done
    cdef bint seen         # somebody has asked for the outcome, or will be told
    cdef object last       # the callback added last, until it has run: the next one waits for it


cdef RangeFuture new_range()
