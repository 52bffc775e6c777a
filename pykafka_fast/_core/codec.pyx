# SPDX-License-Identifier: Apache-2.0
"""Door to the compression codecs (csrc/pkf_codec.h)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport free, malloc

from pykafka_fast._core.csrc cimport (
    PKF_GZIP, PKF_LZ4, PKF_NONE, PKF_SNAPPY, PKF_ZSTD, pkf_codec, pkf_codec_bound, pkf_codec_compress,
    pkf_codec_decompress, pkf_codec_describe, pkf_codec_levels, pkf_codec_memory, pkf_codec_state, pkf_codec_state_free,
    pkf_codec_state_new, pkf_span, pkf_status,
)
from pykafka_fast._core.status cimport check

CODECS = {
    "none": <int>PKF_NONE, "gzip": <int>PKF_GZIP, "snappy": <int>PKF_SNAPPY, "lz4": <int>PKF_LZ4, "zstd": <int>PKF_ZSTD
}

# States nobody uses now; a call takes one, or makes one, and puts it back.
cdef list idle = []


cdef class State:
    """The libraries' contexts, for one thread at a time."""

    cdef pkf_codec_state *state

    def __cinit__(self):
        self.state = pkf_codec_state_new()
        if self.state == NULL:
            raise MemoryError

    def __dealloc__(self):
        pkf_codec_state_free(self.state)


cdef State take_state():
    try:
        return idle.pop()
    except IndexError:
        return State()


def levels(int codec):
    cdef pkf_codec_levels found = describe(codec)
    return None if found.min == found.max else (found.min, found.max, found.standard)


def bound(int codec, size_t size):
    describe(codec)
    return pkf_codec_bound(<pkf_codec>codec, size)


def memory(int codec, level, size_t size):
    cdef int32_t standard = describe(codec).standard
    return pkf_codec_memory(<pkf_codec>codec, standard if level is None else level, size)


def compress(int codec, data, level=None, int magic=2):
    cdef int32_t wanted = describe(codec).standard if level is None else level
    cdef State state = take_state()
    cdef pkf_status status
    cdef size_t size = 0
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    cdef pkf_span src = pkf_span(<const uint8_t *>view.buf, <size_t>view.len)
    cdef uint8_t *dst = <uint8_t *>malloc(pkf_codec_bound(<pkf_codec>codec, src.len) + 1)
    try:
        if dst == NULL:
            raise MemoryError
        with nogil:
            status = pkf_codec_compress(state.state, <pkf_codec>codec, wanted, magic, src, dst, &size)
        check(status)
        return dst[:size]
    finally:
        free(dst)
        PyBuffer_Release(&view)
        idle.append(state)


def decompress(int codec, data, size_t limit, int magic=2):
    describe(codec)
    cdef State state = take_state()
    cdef pkf_status status
    cdef size_t size = 0
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    cdef pkf_span src = pkf_span(<const uint8_t *>view.buf, <size_t>view.len)
    # Memory of the system that is not written to costs nothing, however large the limit.
    cdef uint8_t *dst = <uint8_t *>malloc(limit + 1)
    try:
        if dst == NULL:
            raise MemoryError
        with nogil:
            status = pkf_codec_decompress(state.state, <pkf_codec>codec, magic, src, dst, limit, &size)
        check(status)
        return dst[:size]
    finally:
        free(dst)
        PyBuffer_Release(&view)
        idle.append(state)


cdef pkf_codec_levels describe(int codec) except *:
    cdef pkf_codec_levels found
    check(pkf_codec_describe(<pkf_codec>codec, &found))
    return found
