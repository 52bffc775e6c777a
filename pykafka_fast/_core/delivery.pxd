# SPDX-License-Identifier: Apache-2.0
from pykafka_fast._core.csrc cimport pkf_slot


cdef class RecordFuture:
    cdef pkf_slot slot   # slot.batch: a reference of ours; NULL until the append filled it


cdef class RecordMetadata:
    cdef pkf_slot slot   # likewise


cdef RecordFuture new_future()
