# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport uint64_t, uintptr_t

from pykafka_fast._core.csrc cimport pkf_accum, pkf_topic


cdef class Accumulator:
    cdef pkf_accum *c      # a reference of ours; never NULL after construction
    cdef dict by_name      # str -> Topic; put-if-absent under the lock below
    cdef object codec_of   # callable of a topic's name that returns (codec, level), or None
    cdef object lock       # a lock around the making of topics
    cdef object __weakref__


cdef class Topic:
    cdef pkf_topic *c              # lives as long as the accumulator
    cdef Accumulator accumulator   # keeps it alive
    cdef readonly str name


cdef bint is_news(uintptr_t accum, str topic, int code) except -1
cdef int check_not_forked(Accumulator accumulator) except -1
cdef int serve_signals(pkf_accum *accum, int status) except -1
cdef bint wait_delivered(pkf_accum *accum, uint64_t pushed, double deadline) except -1
