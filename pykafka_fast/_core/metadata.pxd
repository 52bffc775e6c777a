# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int32_t

from pykafka_fast._core.csrc cimport pkf_batch, pkf_slot


cdef class RecordMetadata:
    cdef pkf_slot slot   # slot.batch: a reference of ours


cdef pkf_batch *batch_of(const pkf_slot *slot) noexcept
cdef pkf_batch *settled_at(const pkf_slot *slot, int32_t *index) noexcept
cdef pkf_batch *undecided_at(const pkf_slot *slot) noexcept
cdef bint slot_done(const pkf_slot *slot) noexcept
cdef bint slot_failed(const pkf_slot *slot) noexcept
cdef str slot_topic(const pkf_slot *slot)
cdef int32_t slot_partition(const pkf_slot *slot) noexcept
cdef object slot_exception(const pkf_slot *slot)
cdef RecordMetadata metadata_of(const pkf_slot *slot)
cdef RecordMetadata metadata_in(pkf_batch *batch)
