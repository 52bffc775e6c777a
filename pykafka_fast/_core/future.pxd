# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int64_t, uint64_t

from pykafka_fast._core.accumulator cimport Accumulator
from pykafka_fast._core.csrc cimport pkf_accum, pkf_batch, pkf_slot


cdef class RecordFuture:
    cdef pkf_slot slot   # slot.batch: a reference of ours; NULL until the append filled it


cdef class Listener:
    cdef int kind            # CALLBACK, ERRBACK, BOTH or LOOP
    cdef RecordFuture future
    cdef object f            # LOOP: the asyncio loop
    cdef object args         # LOOP: the asyncio future
    cdef object kwargs

    cdef pkf_batch *attach_to(self) noexcept   # the batch to attach it to; NULL: there is none
    cdef pkf_batch *undecided(self) noexcept   # the batch it waits for; NULL: it can be run
    cdef bint holds_up(self) noexcept          # those behind it must not overtake it
    cdef object failure(self)
    cdef object metadata(self)
    cdef Listener following(self)              # what is to be run right after it


cdef inline void expect_look(RecordFuture future) noexcept:
    """A failure that nobody looks at is to be told to the log."""
    future.slot.index |= -0x80000000


cdef enum:
    CALLBACK = 0
    ERRBACK = 1
    BOTH = 2
    LOOP = 3


cdef RecordFuture new_future()
cdef bint attach(Listener listener) except -1
cdef uint64_t post(Accumulator accumulator, Listener listener) except? 0
cdef object run_listener(Listener listener, bint here)
cdef int check_thread(pkf_accum *accum) except -1
cdef double check_timeout(timeout) except? -1
cdef bint undelivered(const pkf_batch *batch) noexcept
