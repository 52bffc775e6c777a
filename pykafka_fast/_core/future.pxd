# SPDX-License-Identifier: Apache-2.0
from pykafka_fast._core.csrc cimport pkf_slot


cdef class RecordFuture:
    cdef pkf_slot slot   # slot.batch: a reference of ours; NULL until the append filled it


cdef class Listener:
    cdef int kind            # CALLBACK, ERRBACK, BOTH or LOOP
    cdef RecordFuture future
    cdef object f            # LOOP: the asyncio loop
    cdef object args         # LOOP: the asyncio future
    cdef object kwargs


cdef inline void expect_look(RecordFuture future) noexcept:
    """A failure that nobody looks at is to be told to the log."""
    future.slot.index |= -0x80000000


cdef enum:
    CALLBACK = 0
    ERRBACK = 1
    BOTH = 2
    LOOP = 3


cdef RecordFuture new_future()
cdef object run_listener(Listener listener)
cdef void complain() noexcept
cdef object wake_loop(loop, list futures)
