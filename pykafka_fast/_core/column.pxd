# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int32_t, int64_t

from pykafka_fast._core.csrc cimport pkf_header, pkf_span
from pykafka_fast._core.csrc_bulk cimport pkf_column, pkf_header_list


cdef class Column:
    cdef readonly str what
    cdef Py_ssize_t length

    cdef int32_t piece(self, Py_ssize_t first, int32_t most, pkf_column *column) except -1


cdef class Objects(Column):
    cdef tuple objects
    cdef pkf_span *spans    # of the piece, room for `room`
    cdef Py_buffer *views   # open views of the piece
    cdef int32_t room
    cdef int32_t view_count
    cdef Py_ssize_t first   # the piece there is: rows from here on, none if count is 0
    cdef int32_t count


cdef class Numbers:
    cdef readonly str what
    cdef Py_ssize_t length
    cdef int64_t *c         # malloc; -1 where there is none

    cdef int refuse(self, Py_ssize_t row, number) except -1


cdef class HeaderLists:
    cdef list rows          # None: the same headers for all
    cdef list pairs         # tuples of pairs that the piece points to
    cdef pkf_header *headers
    cdef Py_ssize_t room, used
    cdef pkf_header_list *lists
    cdef int32_t list_room

    cdef int piece(self, Py_ssize_t first, int32_t count) except -1
