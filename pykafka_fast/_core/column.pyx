# SPDX-License-Identifier: Apache-2.0
"""What send_many() is given, as columns (csrc/pkf_column.h): keys and values piece by piece, numbers, headers."""

from cpython.buffer cimport PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from pykafka_fast._core.csrc cimport pkf_header, pkf_span
from pykafka_fast._core.csrc_bulk cimport PKF_COLUMN_NONE, PKF_COLUMN_SPANS, pkf_column, pkf_header_list
from pykafka_fast._core.gather cimport gather_bytes, gather_header, gather_number, pairs_of

cdef extern from "Python.h":
    PyObject *PyTuple_GET_ITEM(object o, Py_ssize_t i)

cdef enum:
    PIECE = 262_144  # rows gathered at once: so many per crossing of the GIL
    VIEWS = 4_096   # or so many that are not bytes


cdef class Column:
    """A column in which every row is null."""

    def __init__(self, str what not None, Py_ssize_t length):
        self.what = what
        self.length = length

    def __len__(self):
        return self.length

    cdef int32_t piece(self, Py_ssize_t first, int32_t most, pkf_column *column) except -1:
        """The rows from `first` on, `most` at most; how many they are. They stay until the next call."""
        memset(column, 0, sizeof(pkf_column))
        column.kind = PKF_COLUMN_NONE
        return most

    def object(self, Py_ssize_t row, bint serialized=True):
        """The row as an object; `serialized`: no serializer will see it."""
        return None

    def close(self):
        """Close what of the caller's is open."""


cdef class Objects(Column):
    """A sequence of bytes-like objects and None."""

    def __init__(self, str what not None, tuple objects not None):
        self.what = what
        self.objects = objects
        self.length = len(objects)

    def object(self, Py_ssize_t row, bint serialized=True):
        return self.objects[row]

    def close(self):
        release_views(self)

    def __dealloc__(self):
        release_views(self)
        free(self.spans)
        free(self.views)

    cdef int32_t piece(self, Py_ssize_t first, int32_t most, pkf_column *column) except -1:
        if first < self.first or first >= self.first + self.count:
            gather(self, first)
        memset(column, 0, sizeof(pkf_column))
        column.kind = PKF_COLUMN_SPANS
        column.cells = self.spans + (first - self.first)
        return min(most, <int32_t> (self.first + self.count - first))


cdef int release_views(Objects self) noexcept:
    cdef int32_t i
    for i in range(self.view_count):
        PyBuffer_Release(&self.views[i])
    self.view_count = 0
    self.count = 0
    return 0


cdef int gather(Objects self, Py_ssize_t first) except -1:
    """Open a piece."""
    cdef int32_t rows = <int32_t> min(<Py_ssize_t> PIECE, self.length - first), i = 0
    cdef PyObject *item
    release_views(self)
    if rows > self.room:
        free(self.spans)
        self.room = 0
        self.spans = <pkf_span *> malloc(rows * sizeof(pkf_span))
        if self.spans == NULL:
            raise MemoryError
        self.room = rows
    while i < rows and self.view_count < VIEWS:
        item = PyTuple_GET_ITEM(self.objects, first + i)
        if PyBytes_CheckExact(<object> item):
            self.spans[i].base = <const uint8_t *> PyBytes_AS_STRING(<object> item)
            self.spans[i].len = <size_t> PyBytes_GET_SIZE(<object> item)
        else:
            gather_other(self, first + i, &self.spans[i])
        i += 1
    self.first = first
    self.count = i
    return 0


cdef int gather_other(Objects self, Py_ssize_t row, pkf_span *span) except -1:
    cdef bint viewed = False
    if self.views == NULL:
        self.views = <Py_buffer *> malloc(VIEWS * sizeof(Py_buffer))
        if self.views == NULL:
            raise MemoryError
    try:
        gather_bytes(self.objects[row], self.what, span, &self.views[self.view_count], &viewed)
    except (TypeError, ValueError) as error:
        raise blaming(row, error) from None
    self.view_count += viewed
    return 0


cdef object blaming(Py_ssize_t row, error):
    """The same error, which says which row is wrong."""
    blamed = (TypeError if isinstance(error, TypeError) else ValueError)(f"row {row}: {error}")
    blamed.row = row
    return blamed


cdef object refusal(Py_ssize_t row, error):
    """The same, of a column that is read before any row is taken."""
    blamed = blaming(row, error)
    blamed.args = (f"{blamed}; no row was taken",)
    blamed.taken = None
    return blamed


# ---- numbers --------------------------------------------------------------------------------------------------------

cdef class Numbers:
    """A number for each row, not negative; -1 where there is none."""

    def __init__(self, str what not None, Py_ssize_t length):
        self.what = what
        self.length = length
        self.c = <int64_t *> malloc(max(<Py_ssize_t> 1, length) * sizeof(int64_t))
        if self.c == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.c)

    def __len__(self):
        return self.length

    def number(self, Py_ssize_t row):
        """That of a row, or None."""
        return self.c[row] if self.c[row] >= 0 else None

    def fill(self, numbers, int64_t most):
        """From a sequence of int (or what can stand for one) and None."""
        cdef Py_ssize_t row = 0
        for number in numbers:
            try:
                self.c[row] = -1 if number is None else gather_number(number, self.what, most)
            except (TypeError, ValueError) as error:
                raise refusal(row, error) from None
            row += 1
        return self

    def check(self, int64_t most):
        """ValueError if a number is larger."""
        cdef Py_ssize_t row
        for row in range(self.length):
            if self.c[row] > most:
                self.refuse(row, self.c[row])

    cdef int refuse(self, Py_ssize_t row, number) except -1:
        raise refusal(row, ValueError(f"{self.what} is {number}, which is out of range"))


# ---- headers --------------------------------------------------------------------------------------------------------

cdef class HeaderLists:
    """Headers of each row, or the same for all: a list of (str, bytes or None) pairs, or None."""

    def __init__(self, rows, same):
        self.rows = rows
        self.pairs = []
        if rows is None:
            add_list(self, 0, same)
            place_lists(self, 1)

    def __dealloc__(self):
        free(self.headers)
        free(self.lists)

    cdef int piece(self, Py_ssize_t first, int32_t count) except -1:
        """Make lists[0] to lists[count - 1] those of the rows from `first` on, if they are not the same for all."""
        cdef int32_t i
        if self.rows is None:
            return 0
        self.pairs.clear()
        self.used = 0
        for i in range(count):
            try:
                add_list(self, i, self.rows[first + i])
            except (TypeError, ValueError) as error:
                raise blaming(first + i, error) from None
        place_lists(self, count)
        return 0


cdef int add_list(HeaderLists self, int32_t i, row) except -1:
    cdef tuple pairs = () if row is None else pairs_of(row)
    cdef Py_ssize_t k
    cdef pkf_header_list *found
    self.pairs.append(pairs)
    grow(self, i, len(pairs))
    found = &self.lists[i]
    found.count = <int32_t> len(pairs)
    found.size = 0 if pairs else -1
    for k in range(found.count):
        gather_header(pairs[k], &self.headers[self.used])
        found.size += <int32_t> (self.headers[self.used].key.len + self.headers[self.used].value.len)
        self.used += 1
    return 0


cdef int grow(HeaderLists self, int32_t i, Py_ssize_t count) except -1:
    cdef void *larger
    if i >= self.list_room:
        larger = realloc(self.lists, (2 * i + 1) * sizeof(pkf_header_list))
        if larger == NULL:
            raise MemoryError
        self.lists = <pkf_header_list *> larger
        self.list_room = 2 * i + 1
    if self.used + count > self.room:
        larger = realloc(self.headers, 2 * (self.used + count) * sizeof(pkf_header))
        if larger == NULL:
            raise MemoryError
        self.headers = <pkf_header *> larger
        self.room = 2 * (self.used + count)
    return 0


cdef int place_lists(HeaderLists self, int32_t count) noexcept:
    """The headers stay where they are from here on: let the lists point to them."""
    cdef Py_ssize_t at = 0
    cdef int32_t i
    for i in range(count):
        self.lists[i].headers = self.headers + at
        at += self.lists[i].count
    return 0
