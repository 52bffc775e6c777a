# SPDX-License-Identifier: Apache-2.0
"""What became of a record: read from its batch when somebody asks, and written nowhere before."""

cimport cython
from cpython.object cimport PyObject_RichCompare
from libc.stdint cimport int32_t

from pykafka_fast._core.csrc cimport (
    PKF_DONE,
    pkf_batch,
    pkf_batch_follow,
    pkf_batch_inherited,
    pkf_batch_new_failed,
    pkf_batch_orphan,
    pkf_batch_record_code,
    pkf_batch_ref,
    pkf_batch_set_offset,
    pkf_batch_state,
    pkf_batch_unref,
    pkf_slot,
)

from pykafka_fast.errors import exception_for
from pykafka_fast.types import TopicPartition


# ---- what a slot knows ----------------------------------------------------------------------------------------------

# Stands in for the batch of what __new__ made without a producer: a failure without a topic.
cdef pkf_batch *nobodys = pkf_batch_new_failed(b"", 0, -1, -1, b"made by hand: no producer knows of it", False)
if nobodys == NULL:
    raise MemoryError


cdef pkf_batch *batch_of(const pkf_slot *slot) noexcept:
    return slot.batch if slot.batch != NULL else nobodys


cdef pkf_batch *settled_at(const pkf_slot *slot, int32_t *index) noexcept:
    """The batch that decides about the record, after any splits, and the record's index there."""
    index[0] = slot.index & 0x7fffffff
    cdef pkf_batch *batch = pkf_batch_follow(batch_of(slot), index)
    if pkf_batch_inherited(batch):
        pkf_batch_orphan(batch)
    return batch


cdef pkf_batch *undecided_at(const pkf_slot *slot) noexcept:
    """The batch the record waits for; NULL when its outcome is known."""
    cdef int32_t index
    cdef pkf_batch *batch = settled_at(slot, &index)
    return NULL if pkf_batch_state(batch) & PKF_DONE else batch


cdef bint slot_done(const pkf_slot *slot) noexcept:
    cdef int32_t index
    return (pkf_batch_state(settled_at(slot, &index)) & PKF_DONE) != 0


cdef str slot_topic(const pkf_slot *slot):
    cdef pkf_batch *batch = batch_of(slot)
    cdef const char *name = batch.topic if batch.partition == NULL else batch.partition.topic.name
    return name.decode("utf-8", "surrogateescape")


cdef int32_t slot_partition(const pkf_slot *slot) noexcept:
    cdef pkf_batch *batch = batch_of(slot)
    return batch.partition_index if batch.partition == NULL else batch.partition.index


cdef object slot_exception(const pkf_slot *slot):
    """A new exception for a record that failed, None for one that did not (or not yet)."""
    cdef int32_t index
    cdef pkf_batch *batch = settled_at(slot, &index)
    cdef const char *message = NULL
    if not pkf_batch_state(batch) & PKF_DONE:
        return None
    cdef int32_t code = pkf_batch_record_code(batch, index, &message)
    if code == 0:
        return None
    return exception_for(code, message.decode("utf-8", "replace") if message != NULL else None, batch.in_doubt)


cdef bint slot_failed(const pkf_slot *slot) noexcept:
    cdef int32_t index
    cdef pkf_batch *batch = settled_at(slot, &index)
    cdef const char *message
    return (pkf_batch_state(batch) & PKF_DONE) != 0 and pkf_batch_record_code(batch, index, &message) != 0


cdef RecordMetadata metadata_of(const pkf_slot *slot):
    cdef RecordMetadata metadata = RecordMetadata.__new__(RecordMetadata)
    metadata.slot = slot[0]
    metadata.slot.batch = batch_of(slot)
    pkf_batch_ref(metadata.slot.batch)
    return metadata


cdef RecordMetadata metadata_in(pkf_batch *batch):
    """Metadata of a record of this batch; which one, the caller fills in."""
    cdef RecordMetadata metadata = RecordMetadata.__new__(RecordMetadata)
    metadata.slot.batch = batch
    pkf_batch_ref(batch)
    return metadata


# ---- metadata -------------------------------------------------------------------------------------------------------

@cython.final
@cython.freelist(256)
cdef class RecordMetadata:
    """Where a record went: the nine fields of kafka-python's named tuple, computed when they are read.

    It is no tuple, but unpacks, indexes, compares and hashes as one.

    offset is -1 when unknown (acks=0, a recognised duplicate, a failure); timestamp is the broker's under
    LogAppendTime, else the record's, in ms, -1 on failure; sizes are in bytes, -1 for what is absent.
    """

    _fields = (
        "topic", "partition", "topic_partition", "offset", "timestamp", "checksum", "serialized_key_size",
        "serialized_value_size", "serialized_header_size",
    )

    def __init__(
        self, str topic not None, partition, topic_partition=None, offset=-1, timestamp=-1, checksum=None,
        serialized_key_size=-1, serialized_value_size=-1, serialized_header_size=-1,
    ):
        encoded = topic.encode("utf-8", "surrogateescape")
        if self.slot.batch != NULL:
            raise TypeError("RecordMetadata cannot be changed")
        self.slot.batch = pkf_batch_new_failed(<const char *> encoded, len(encoded), partition, 0, NULL, False)
        if self.slot.batch == NULL:
            raise MemoryError
        pkf_batch_set_offset(self.slot.batch, offset)
        self.slot.timestamp = timestamp
        self.slot.key_size = serialized_key_size
        self.slot.value_size = serialized_value_size
        self.slot.header_size = serialized_header_size

    def __dealloc__(self):
        if self.slot.batch != NULL:
            pkf_batch_unref(self.slot.batch)

    @property
    def topic(self):
        return slot_topic(&self.slot)

    @property
    def partition(self):
        return slot_partition(&self.slot)

    @property
    def topic_partition(self):
        return TopicPartition(slot_topic(&self.slot), slot_partition(&self.slot))

    @property
    def offset(self):
        cdef int32_t index
        cdef pkf_batch *batch = settled_at(&self.slot, &index)
        return -1 if batch.base_offset < 0 or slot_failed(&self.slot) else batch.base_offset + index

    @property
    def timestamp(self):
        cdef int32_t index
        cdef pkf_batch *batch = settled_at(&self.slot, &index)
        if slot_failed(&self.slot):
            return -1
        return batch.log_append_time if batch.log_append_time >= 0 else self.slot.timestamp

    @property
    def checksum(self):
        return None

    @property
    def serialized_key_size(self):
        return self.slot.key_size

    @property
    def serialized_value_size(self):
        return self.slot.value_size

    @property
    def serialized_header_size(self):
        return self.slot.header_size

    def _asdict(self):
        return {name: getattr(self, name) for name in RecordMetadata._fields}

    def __iter__(self):
        return iter(astuple(self))

    def __len__(self):
        return len(RecordMetadata._fields)

    def __getitem__(self, index):
        return astuple(self)[index]

    def __richcmp__(self, other, int op):
        if not isinstance(other, (RecordMetadata, tuple)):
            return NotImplemented
        return PyObject_RichCompare(astuple(self), tuple(other), op)

    def __hash__(self):
        return hash(astuple(self))

    @classmethod
    def _make(cls, values):
        return cls(*values)

    def _replace(self, **changes):
        return RecordMetadata(**(self._asdict() | changes))

    def count(self, value):
        return astuple(self).count(value)

    def index(self, value, *where):
        return astuple(self).index(value, *where)

    def __repr__(self):
        return "RecordMetadata(" + ", ".join(f"{k}={v!r}" for k, v in self._asdict().items()) + ")"

    def __reduce__(self):
        return RecordMetadata, astuple(self)


cdef tuple astuple(RecordMetadata metadata):
    return tuple([getattr(metadata, name) for name in RecordMetadata._fields])
