# SPDX-License-Identifier: Apache-2.0
"""Columns of anybody's that come by Arrow's C data interface, read where they lie.

An object offers `__arrow_c_array__()`, one array, or `__arrow_c_stream__()`, many. The structures below are those of
the interface: https://arrow.apache.org/docs/format/CDataInterface.html. What is received is released by the receiver.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from pykafka_fast._core.column cimport Column, Numbers
from pykafka_fast._core.csrc cimport PKF_OK, pkf_span
from pykafka_fast._core.csrc_bulk cimport (
    PKF_COLUMN_BINARY,
    PKF_COLUMN_FIXED,
    PKF_COLUMN_LARGE,
    PKF_COLUMN_NONE,
    PKF_COLUMN_VIEW,
    pkf_column,
    pkf_column_check,
    pkf_column_kind,
    pkf_column_read,
)

cdef struct ArrowSchema:
    const char *format
    const char *name
    const char *metadata
    int64_t flags
    int64_t n_children
    ArrowSchema **children
    ArrowSchema *dictionary
    void (*release)(ArrowSchema *) noexcept nogil
    void *private_data

cdef struct ArrowArray:
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void **buffers
    ArrowArray **children
    ArrowArray *dictionary
    void (*release)(ArrowArray *) noexcept nogil
    void *private_data

cdef struct ArrowArrayStream:
    int (*get_schema)(ArrowArrayStream *, ArrowSchema *) noexcept nogil
    int (*get_next)(ArrowArrayStream *, ArrowArray *) noexcept nogil
    const char *(*get_last_error)(ArrowArrayStream *) noexcept nogil
    void (*release)(ArrowArrayStream *) noexcept nogil
    void *private_data

# format: layout, and whether it is text.
LAYOUTS = {
    "n": (PKF_COLUMN_NONE, False),
    "z": (PKF_COLUMN_BINARY, False),
    "u": (PKF_COLUMN_BINARY, True),
    "Z": (PKF_COLUMN_LARGE, False),
    "U": (PKF_COLUMN_LARGE, True),
    "vz": (PKF_COLUMN_VIEW, False),
    "vu": (PKF_COLUMN_VIEW, True),
}
# format of whole numbers: bytes of each, and whether they have a sign.
INTEGERS = {"c": (1, True), "C": (1, False), "s": (2, True), "S": (2, False), "i": (4, True), "I": (4, False),
            "l": (8, True), "L": (8, False)}
# format of times: what makes milliseconds of them (negative: a divisor).
TIMES = {"tss": 1000, "tsm": 1, "tsu": -1000, "tsn": -1_000_000}


cdef class Chunk:
    """One array; it was moved here, and is released with this object."""

    cdef ArrowArray c

    def __dealloc__(self):
        if self.c.release != NULL:
            self.c.release(&self.c)


cdef class Source:
    """What an object has offered: the format, and all arrays. `what` it is for, `remedy` if it is of another kind."""

    cdef str what, remedy, format
    cdef list chunks
    cdef int64_t length


cdef class ArrowColumn(Column):
    """Keys or values in arrays of Arrow's."""

    cdef list chunks
    cdef Chunk chunk           # the one that was used last
    cdef Py_ssize_t chunk_first, chunk_index
    cdef pkf_column_kind kind
    cdef bint text
    cdef int32_t width

    cdef int32_t piece(self, Py_ssize_t first, int32_t most, pkf_column *column) except -1:
        cdef int64_t left
        find(self, first)
        describe(self, self.chunk, column)
        column.offset += first - self.chunk_first
        left = self.chunk.c.length - (first - self.chunk_first)
        return <int32_t> min(<int64_t> most, left)

    def object(self, Py_ssize_t row, bint serialized=True):
        """The row as bytes, as str if the column is text and not serialized yet, or None."""
        cdef pkf_column column
        cdef pkf_span span
        cdef int64_t wrong
        self.piece(row, 1, &column)
        if pkf_column_check(&column, 0, 1, &wrong) != PKF_OK:
            raise ValueError(f"{self.what}s: the offsets of the Arrow array make no sense at row {row}")
        span.base = NULL
        pkf_column_read(&column, 0, 1, &span)
        if span.base == NULL:
            return None
        if self.text and not serialized:
            return PyUnicode_DecodeUTF8(<const char *> span.base, <Py_ssize_t> span.len, NULL)
        return PyBytes_FromStringAndSize(<const char *> span.base, <Py_ssize_t> span.len)


def is_arrow(rows):
    """Whether the object offers a column."""
    return hasattr(type(rows), "__arrow_c_array__") or hasattr(type(rows), "__arrow_c_stream__")


def arrow_column(rows, str what not None):
    """Keys or values. TypeError: not binary or text; ValueError: it was released, or contradicts itself."""
    cdef Source source = receive(rows, f"{what}s", "cast it to binary or string")
    cdef ArrowColumn column = ArrowColumn(what, source.length)
    column.chunks = source.chunks
    column.width = 0
    if source.format.startswith("w:"):
        column.kind = PKF_COLUMN_FIXED
        column.width = int(source.format[2:])
    elif source.format in LAYOUTS:
        column.kind, column.text = LAYOUTS[source.format]
    else:
        raise refused(source, False)
    for chunk in source.chunks:
        check_buffers(<Chunk> chunk, column.kind, what)
    return column


def arrow_numbers(rows, str what not None, bint times):
    """A column of whole numbers, or of times as milliseconds; nulls are -1."""
    cdef Source source = receive(rows, what, "cast it to timestamp(ms)" if times else "cast it to int32")
    cdef str format = source.format.split(":")[0]
    cdef Numbers numbers
    cdef int64_t scale = 1
    if times and format in TIMES:
        scale = TIMES[format]
    elif format not in INTEGERS:
        raise refused(source, False)
    size, signed = INTEGERS.get(format, (8, True))
    numbers = Numbers(what, source.length)
    cdef Py_ssize_t row = 0
    for chunk in source.chunks:
        row = copy_numbers(numbers, row, <Chunk> chunk, size, signed, scale)
    return numbers


cdef object refused(Source source, bint dictionary):
    said, remedy = f"a column of Arrow format {source.format!r}", source.remedy
    if dictionary:
        said = "a dictionary-encoded column"
    elif source.format == "+r":
        said, remedy = "a run-end-encoded column", "decode it first"
    elif source.format == "+s":
        said, remedy = "a table, or a column of structs,", "select one column of it"
    elif source.format.startswith("+"):
        said, remedy = f"a nested column (Arrow format {source.format!r})", "a plain one is needed"
    return TypeError(f"{source.what}: {said} cannot be sent; {remedy}")


# ---- receiving ------------------------------------------------------------------------------------------------------

cdef Source receive(rows, str what, str remedy):
    cdef Source source = Source()
    source.what = what
    source.remedy = remedy
    source.chunks = []
    try:
        if hasattr(type(rows), "__arrow_c_array__"):
            schema, array = rows.__arrow_c_array__()
            receive_array(source, schema, array)
        else:
            receive_stream(source, rows.__arrow_c_stream__())
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    return source


cdef void *content(capsule, const char *name) except NULL:
    if not PyCapsule_IsValid(capsule, name):
        raise ValueError(f"not the capsule {name.decode('ascii')!r} of Arrow's interface: {capsule!r:.100}")
    return PyCapsule_GetPointer(capsule, name)


cdef int receive_array(Source source, schema_capsule, array_capsule) except -1:
    cdef ArrowSchema *schema = <ArrowSchema *> content(schema_capsule, b"arrow_schema")
    cdef ArrowArray *array = <ArrowArray *> content(array_capsule, b"arrow_array")
    take_schema(source, schema)
    if array.release == NULL:
        raise ValueError("the Arrow array has been released, or was received before")
    add_chunk(source, array)
    return 0


cdef int receive_stream(Source source, capsule) except -1:
    """The stream is moved here before any of it runs: what it calls may come back with the same capsule."""
    cdef ArrowArrayStream *offered = <ArrowArrayStream *> content(capsule, b"arrow_array_stream")
    cdef ArrowArrayStream stream = offered[0]
    cdef ArrowArray array
    cdef ArrowSchema schema
    cdef int status
    if stream.release == NULL:
        raise ValueError("the Arrow stream has been released, or was received before")
    offered.release = NULL
    try:
        memset(&schema, 0, sizeof(schema))
        status = stream.get_schema(&stream, &schema)
        check_stream(&stream, status)
        take_schema(source, &schema)
        while True:
            memset(&array, 0, sizeof(array))
            with nogil:  # it may read a file, or compute
                status = stream.get_next(&stream, &array)
            check_stream(&stream, status)
            if array.release == NULL:
                return 0
            add_chunk(source, &array)
    finally:
        if schema.release != NULL:
            schema.release(&schema)
        stream.release(&stream)


cdef int check_stream(ArrowArrayStream *stream, int status) except -1:
    cdef const char *text
    if status == 0:
        return 0
    text = stream.get_last_error(stream)
    raise ValueError(f"the Arrow stream failed with error {status}: "
                     + (text.decode("utf-8", "replace") if text != NULL else "it says no more"))


cdef int take_schema(Source source, ArrowSchema *schema) except -1:
    if schema.release == NULL or schema.format == NULL:
        raise ValueError("the Arrow schema has been released")
    source.format = schema.format.decode("utf-8", "replace")
    if schema.dictionary != NULL:
        raise refused(source, True)
    return 0


cdef int add_chunk(Source source, ArrowArray *array) except -1:
    """Move the array here; an empty one is released at once."""
    cdef Chunk chunk = Chunk()
    chunk.c = array[0]
    array.release = NULL
    if chunk.c.length < 0 or chunk.c.offset < 0 or chunk.c.length > 0x7fffffffffffffff - chunk.c.offset:
        raise ValueError(f"an Arrow array of length {chunk.c.length} and offset {chunk.c.offset}")
    if chunk.c.length > 0:
        source.chunks.append(chunk)
        source.length += chunk.c.length
    return 0


# ---- reading --------------------------------------------------------------------------------------------------------

cdef int check_buffers(Chunk chunk, pkf_column_kind kind, str what) except -1:
    cdef int64_t least = 3
    if kind == PKF_COLUMN_NONE:
        return 0
    if kind == PKF_COLUMN_FIXED:
        least = 2
    if chunk.c.n_buffers < least or chunk.c.buffers == NULL:
        raise ValueError(f"{what}s: an Arrow array with {chunk.c.n_buffers} buffers, where {least} are needed")
    return 0


cdef const uint8_t *validity_of(Chunk chunk) noexcept:
    if chunk.c.null_count == 0:
        return NULL
    return <const uint8_t *> chunk.c.buffers[0]


cdef int find(ArrowColumn self, Py_ssize_t row) except -1:
    """The chunk that holds the row; rows are mostly asked for in order."""
    if self.chunk is None or row < self.chunk_first:
        self.chunk_index = 0
        self.chunk_first = 0
        self.chunk = self.chunks[0]
    while row >= self.chunk_first + self.chunk.c.length:
        self.chunk_first += self.chunk.c.length
        self.chunk_index += 1
        self.chunk = self.chunks[self.chunk_index]
    return 0


cdef int describe(ArrowColumn self, Chunk chunk, pkf_column *column) except -1:
    memset(column, 0, sizeof(pkf_column))
    column.kind = self.kind
    if self.kind == PKF_COLUMN_NONE:
        return 0
    column.offset = chunk.c.offset
    column.validity = validity_of(chunk)
    column.width = self.width
    if self.kind == PKF_COLUMN_FIXED:
        column.data = <const uint8_t *> chunk.c.buffers[1]
        return 0
    column.cells = chunk.c.buffers[1]
    if self.kind == PKF_COLUMN_VIEW:
        column.buffers = chunk.c.buffers + 2
        column.buffer_count = chunk.c.n_buffers - 3
        column.buffer_sizes = chunk.c.buffers[chunk.c.n_buffers - 1]
    else:
        column.data = <const uint8_t *> chunk.c.buffers[2]
    return 0


cdef Py_ssize_t copy_numbers(Numbers numbers, Py_ssize_t row, Chunk chunk, int size, bint signed,
                             int64_t scale) except -1:
    cdef int64_t i, at
    cdef uint64_t number, most = 0x7fffffffffffffff // max(<int64_t> 1, scale)
    cdef const uint8_t *validity
    cdef const void *data
    if chunk.c.n_buffers < 2 or chunk.c.buffers == NULL or chunk.c.buffers[1] == NULL:
        raise ValueError(f"{numbers.what}: an Arrow array with {chunk.c.n_buffers} buffers, where 2 are needed")
    validity = validity_of(chunk)
    data = chunk.c.buffers[1]
    for i in range(chunk.c.length):
        at = chunk.c.offset + i
        if validity != NULL and not (validity[at >> 3] >> (at & 7)) & 1:
            numbers.c[row] = -1
        else:
            number = number_at(data, at, size, signed)
            if number > most and signed:
                numbers.refuse(row, <int64_t> number)
            elif number > most:
                numbers.refuse(row, number)
            numbers.c[row] = <int64_t> number * scale if scale > 0 else <int64_t> number // -scale
        row += 1
    return row


cdef uint64_t number_at(const void *data, int64_t at, int size, bint signed) noexcept:
    """The number as 64 bits; a negative one is larger than every other."""
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef uint16_t short_one = 0
    cdef const uint8_t *base = <const uint8_t *> data + at * size  # need not be aligned
    if size == 8:
        memcpy(&wide, base, 8)
    elif size == 4:
        memcpy(&narrow, base, 4)
        wide = narrow
    elif size == 2:
        memcpy(&short_one, base, 2)
        wide = short_one
    else:
        wide = base[0]
    if signed and wide >> (8 * size - 1):
        wide |= (<uint64_t> -1 << (8 * size - 1))
    return wide
