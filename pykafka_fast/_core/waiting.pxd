# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int64_t


cdef double deadline_after(timeout) except? -1
cdef int64_t slice_until(double deadline) except -1
cdef int64_t slice_of_work() except -1
cdef int between_slices(int status) except -1
