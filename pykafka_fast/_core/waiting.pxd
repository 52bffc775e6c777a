# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int64_t


cdef enum:
    SLICE_NS = 50_000_000  # signals are served at least this often


cdef double deadline_after(timeout) except? -1
cdef int64_t slice_until(double deadline) except -1
cdef int between_slices(int status) except -1
