# SPDX-License-Identifier: Apache-2.0
"""Door to the record encoder and decoder (csrc/pkf_record.h) and to message sets (csrc/pkf_legacy.h)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc

from pykafka_fast._core.csrc cimport (
    PKF_OK, pkf_codec, pkf_codec_state, pkf_codec_state_free, pkf_codec_state_new, pkf_cursor, pkf_cursor_over,
    pkf_cursor_remaining, pkf_header, pkf_legacy_bound, pkf_legacy_wrap, pkf_legacy_wrap_bound, pkf_legacy_write,
    pkf_record, pkf_record_next_header, pkf_record_read, pkf_record_size, pkf_record_upper_bound,
    pkf_record_write, pkf_span,
)
from pykafka_fast._core.status cimport check


cdef class Fields:
    """Key, value and headers as C sees them, and the objects that own the bytes."""

    cdef pkf_span key
    cdef pkf_span value
    cdef pkf_header *headers
    cdef int32_t header_count
    cdef list owners

    def __cinit__(self, key, value, headers):
        self.owners = []
        self.key = self.span(key)
        self.value = self.span(value)
        pairs = list(headers)
        self.headers = <pkf_header *>PyMem_Malloc(max(len(pairs), 1) * sizeof(pkf_header))
        if self.headers == NULL:
            raise MemoryError
        for header_key, header_value in pairs:
            self.headers[self.header_count].key = self.span(header_key.encode())
            self.headers[self.header_count].value = self.span(header_value)
            self.header_count += 1

    def __dealloc__(self):
        PyMem_Free(self.headers)

    cdef pkf_span span(self, data) except *:
        cdef pkf_span result
        result.base = NULL
        result.len = 0
        if data is not None:
            owner = bytes(memoryview(data))
            self.owners.append(owner)
            result.base = <const uint8_t *>PyBytes_AS_STRING(owner)
            result.len = <size_t>PyBytes_GET_SIZE(owner)
        return result

    cdef size_t size(self, int64_t ts_delta, int32_t offset_delta, uint32_t *body_len) except 0:
        cdef size_t size = pkf_record_size(
            ts_delta, offset_delta, &self.key, &self.value, self.headers, self.header_count, body_len
        )
        if size == 0:
            raise OverflowError("a record's body cannot be longer than 2,147,483,647 bytes")
        return size


def size(key, value, headers=(), int64_t timestamp_delta=0, int32_t offset_delta=0):
    cdef uint32_t body_len = 0
    return Fields(key, value, headers).size(timestamp_delta, offset_delta, &body_len)


def upper_bound(key, value, headers=()):
    cdef Fields fields = Fields(key, value, headers)
    return pkf_record_upper_bound(&fields.key, &fields.value, fields.headers, fields.header_count)


def encode(key, value, headers=(), int64_t timestamp_delta=0, int32_t offset_delta=0):
    cdef Fields fields = Fields(key, value, headers)
    cdef uint32_t body_len = 0
    cdef size_t size = fields.size(timestamp_delta, offset_delta, &body_len)
    record = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    cdef uint8_t *begin = <uint8_t *>PyBytes_AS_STRING(record)
    cdef uint8_t *end = pkf_record_write(
        begin, body_len, timestamp_delta, offset_delta, &fields.key, &fields.value, fields.headers, fields.header_count
    )
    assert <size_t>(end - begin) == size
    return record


def decode(data):
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    cdef pkf_cursor cursor = pkf_cursor_over(view.buf, <size_t>view.len)
    records = []
    try:
        while pkf_cursor_remaining(&cursor):
            records.append(next_record(&cursor))
    finally:
        PyBuffer_Release(&view)
    return records


def message_set(bytes records not None, int32_t count, int64_t base_timestamp, int magic):
    cdef pkf_span span
    cdef size_t size = 0
    span.base = <const uint8_t *>PyBytes_AS_STRING(records)
    span.len = <size_t>PyBytes_GET_SIZE(records)
    cdef uint8_t *written = <uint8_t *>malloc(pkf_legacy_bound(span.len, count) + 1)
    if written == NULL:
        raise MemoryError
    try:
        check(pkf_legacy_write(span, count, base_timestamp, magic, written, &size))
        return written[:size]
    finally:
        free(written)


def wrap(bytes messages not None, int32_t count, int64_t max_timestamp, int magic, int codec, int32_t level):
    cdef pkf_span span
    cdef size_t size = 0
    cdef uint8_t *written = NULL
    span.base = <const uint8_t *>PyBytes_AS_STRING(messages)
    span.len = <size_t>PyBytes_GET_SIZE(messages)
    cdef pkf_codec_state *state = pkf_codec_state_new()
    try:
        written = <uint8_t *>malloc(pkf_legacy_wrap_bound(<pkf_codec>codec, span.len))
        if state == NULL or written == NULL:
            raise MemoryError
        check(pkf_legacy_wrap(state, <pkf_codec>codec, level, span, count, max_timestamp, magic, written, &size))
        return written[:size]
    finally:
        free(written)
        pkf_codec_state_free(state)


cdef tuple next_record(pkf_cursor *cursor):
    cdef pkf_record record
    cdef pkf_header header
    cdef int32_t i
    cdef size_t start = cursor.pos
    if pkf_record_read(cursor, &record) != PKF_OK:
        raise ValueError(f"no record at byte {start}")
    headers = []
    for i in range(record.header_count):
        if pkf_record_next_header(&record.headers, &header) != PKF_OK:
            raise ValueError(f"no header {i} in the record at byte {start}")
        headers.append((as_bytes(&header.key).decode(), as_bytes(&header.value)))
    return record.ts_delta, record.offset_delta, as_bytes(&record.key), as_bytes(&record.value), headers


cdef bytes as_bytes(const pkf_span *span):
    if span.base == NULL:
        return None
    return span.base[:span.len]
