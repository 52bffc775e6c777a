# SPDX-License-Identifier: Apache-2.0
"""What all waits of the C library have in common: they are cut into slices, and between two of them signals are served
and other greenlets run."""

import time

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t

from pykafka_fast._core.csrc cimport PKF_OK
from pykafka_fast.native import has_greenlets, rest

cdef int64_t SLICE_NS = 50_000_000  # signals are served at least this often
# Where other greenlets wait for their turn: a look without a wait, and the piece of a longer work.
cdef int64_t LOOK_NS = -2  # -1 is an exception
cdef int64_t PIECE_NS = 1_000_000


cdef double deadline_after(timeout) except? -1:
    """When so many seconds from now are over, in monotonic time; -1: never, which is what a number means, too, that no
    float can hold."""
    try:
        return -1 if timeout is None else <double> time.monotonic() + <double> timeout
    except OverflowError:
        return -1


cdef int64_t slice_until(double deadline) except -1:
    """Nanoseconds to sleep at most before signals are served again; 0 when the deadline has passed (-1: never).
    Negative: only look."""
    cdef int64_t slice_ns = LOOK_NS if has_greenlets() else SLICE_NS
    if deadline < 0:
        return slice_ns
    cdef double left = deadline - <double> time.monotonic()
    return 0 if left <= 0 else <int64_t> min(<double> slice_ns, left * 1e9)  # no double above int64 is cast


cdef int64_t slice_of_work() except -1:
    """Nanoseconds that may pass, working and waiting, before signals are served again."""
    return PIECE_NS if has_greenlets() else SLICE_NS


cdef int between_slices(int status) except -1:
    """status: what the last one ended with."""
    PyErr_CheckSignals()
    if status != PKF_OK:
        rest()
    return 0
