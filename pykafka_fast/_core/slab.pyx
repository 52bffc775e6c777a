# SPDX-License-Identifier: Apache-2.0
"""Door to the pool of slabs (csrc/pkf_slab.h)."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from pykafka_fast._core.csrc cimport (
    PKF_E_EXHAUSTED, PKF_E_TIMEOUT, PKF_OK, pkf_pool, pkf_pool_close, pkf_pool_free,
    pkf_pool_get_stats, pkf_pool_new, pkf_pool_overdraft, pkf_pool_ready, pkf_pool_release, pkf_pool_round,
    pkf_pool_stats, pkf_pool_try, pkf_pool_wait, pkf_pool_wait_begin, pkf_pool_wait_cancel, pkf_pool_wait_take,
    pkf_pool_waiting, pkf_slab, pkf_status, pkf_waiter,
)
from pykafka_fast._core.status cimport check

import time

cdef uint64_t SLICE_NS = 50_000_000  # between two looks at signals


def round_size(size_t size):
    return pkf_pool_round(size)


# Untracked: it refers to its pool only, which refers to nothing. A collector that cleared `pool` first would leave
# __dealloc__ nowhere to release to.
@cython.no_gc
@cython.final
cdef class Slab:
    """A piece of the pool's memory; made by SlabPool only."""

    cdef SlabPool pool
    cdef pkf_slab *slab
    cdef Py_ssize_t views

    def __init__(self):
        raise TypeError("a SlabPool makes slabs")

    def __dealloc__(self):
        if self.slab != NULL:
            pkf_pool_release(self.pool.pool, self.slab)

    def __len__(self):
        return <Py_ssize_t>self.held().size

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef pkf_slab *slab = self.held()
        PyBuffer_FillInfo(view, self, slab.base, <Py_ssize_t>slab.size, 1, flags)
        self.views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.views -= 1

    @property
    def address(self):
        return <size_t>self.held().base

    @property
    def released(self):
        return self.slab == NULL

    def write(self, data, size_t offset=0):
        cdef pkf_slab *slab = self.held()
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if offset > slab.size or <size_t>view.len > slab.size - offset:
                raise ValueError(f"{view.len} bytes at {offset} do not fit a slab of {slab.size}")
            memcpy(slab.base + offset, view.buf, <size_t>view.len)
        finally:
            PyBuffer_Release(&view)

    def release(self):
        cdef pkf_slab *slab = self.held()
        if self.views:
            raise BufferError(f"{self.views} views of this slab are in use")
        self.slab = NULL
        pkf_pool_release(self.pool.pool, slab)

    cdef pkf_slab *held(self) except NULL:
        if self.slab == NULL:
            raise ValueError("this slab was released")
        return self.slab


@cython.final
cdef class SlabPool:
    cdef pkf_pool *pool

    def __cinit__(self, size_t budget):
        self.pool = pkf_pool_new(budget)
        if self.pool == NULL:
            raise ValueError(f"no pool of {budget} bytes: it must hold at least one slab of 4096")

    def __dealloc__(self):
        # Every Slab keeps its pool alive, and no thread waits in a pool that nobody refers to.
        if self.pool != NULL and pkf_pool_free(self.pool) != PKF_OK:
            raise SystemError("a slab pool was dropped while in use")

    def acquire(self, size_t size, double timeout=0.0):
        cdef pkf_slab *slab = NULL
        cdef pkf_status status = pkf_pool_try(self.pool, size, &slab)
        if status == PKF_E_EXHAUSTED and timeout > 0:
            status = self.wait(size, timeout, &slab)
        return self.handle(status, slab)

    def ready(self, size_t size):
        cdef pkf_slab *slab = NULL
        cdef pkf_status status = pkf_pool_ready(self.pool, size, &slab)
        return self.handle(status, slab)

    def overdraft(self, size_t size):
        cdef pkf_slab *slab = NULL
        cdef pkf_status status = pkf_pool_overdraft(self.pool, size, &slab)
        return self.handle(status, slab)

    def close(self):
        pkf_pool_close(self.pool)

    @property
    def waiting(self):
        return pkf_pool_waiting(self.pool)

    def stats(self):
        cdef pkf_pool_stats stats
        pkf_pool_get_stats(self.pool, &stats)
        return stats

    cdef pkf_status wait(self, size_t size, double timeout, pkf_slab **slab) except *:
        cdef pkf_waiter waiter
        cdef pkf_status status = pkf_pool_wait_begin(self.pool, &waiter, size)
        if status != PKF_OK:
            return status
        try:
            deadline = time.monotonic() + timeout
            status = PKF_E_TIMEOUT
            while status == PKF_E_TIMEOUT and time.monotonic() < deadline:
                status = wait_a_slice(self.pool, &waiter, deadline - time.monotonic())
                PyErr_CheckSignals()
            if status == PKF_OK:
                status = pkf_pool_wait_take(self.pool, &waiter, slab)
        finally:
            pkf_pool_wait_cancel(self.pool, &waiter)
        return PKF_E_EXHAUSTED if status == PKF_E_TIMEOUT else status

    cdef Slab handle(self, pkf_status status, pkf_slab *slab):
        check(status)
        cdef Slab result = Slab.__new__(Slab)
        result.pool = self
        result.slab = slab
        return result


cdef pkf_status wait_a_slice(pkf_pool *pool, pkf_waiter *waiter, double left_s):
    cdef uint64_t slice_ns = SLICE_NS
    cdef pkf_status status
    if left_s * 1e9 < <double>SLICE_NS:
        slice_ns = <uint64_t>(left_s * 1e9) if left_s > 0 else 0
    with nogil:
        status = pkf_pool_wait(pool, waiter, slice_ns)
    return status
