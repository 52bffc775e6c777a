# SPDX-License-Identifier: Apache-2.0
# cimported by the other doors: the one place where a status becomes an exception.

cdef int check(int status) except -1
