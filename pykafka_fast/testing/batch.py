# SPDX-License-Identifier: Apache-2.0
"""Record batches, message format v2: the 61 bytes in front, and what a broker checks of them.

======  ====  =========================================================
offset  size  field
======  ====  =========================================================
0       8     base offset (0 from a producer, set by the broker)
8       4     batch length: size of the batch - 12
12      4     partition leader epoch (set by the broker)
16      1     magic: 2
17      4     CRC-32C of everything from offset 21 on
21      2     attributes: codec 0-2, log append time 3, transactional 4,
              control 5, delete horizon 6, the rest unused
23      4     last offset delta: record count - 1
27      8     base timestamp, ms
35      8     max timestamp, ms
43      8     producer id
51      2     producer epoch
53      4     base sequence
57      4     record count
======  ====  =========================================================
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .._core.crc32c import crc32c
from .codes import Code

__all__ = ["HEADER_SIZE", "BatchError", "BatchHeader", "check_header", "next_sequence", "peek", "read_header", "stamp"]

_LAYOUT = struct.Struct(">qiibIhiqqqhii")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_UINT32 = struct.Struct(">I")
_INT64 = struct.Struct(">q")

HEADER_SIZE = 61
LENGTH_END = 12  # what the batch length does not count
_CRC_OFFSET = 17
_CRC_START = 21
_MAX_TIMESTAMP_OFFSET = 35
_INT32_MAX = 0x7FFFFFFF

_CODEC_MASK = 0x07
_LOG_APPEND_TIME = 0x08
_TRANSACTIONAL = 0x10
_CONTROL = 0x20
_UNUSED = ~0x3F


class BatchError(Exception):
    """Why a batch is refused.

    Attributes:
        code: the error code the partition is answered with.
        text: in plain words, what is wrong.
        violation: whether the client did something it must not do (a batch over the size limit is none).
        record_errors: index in the batch to text, for errors of single records (KIP-467).
    """

    def __init__(
        self, code: int, text: str, *, violation: bool = True, record_errors: dict[int, str] | None = None
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.violation = violation
        self.record_errors = record_errors or {}


class BatchHeader(NamedTuple):
    """The decoded 61 bytes in front of the records."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def codec(self) -> int:
        """0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."""
        return self.attributes & _CODEC_MASK

    @property
    def is_transactional(self) -> bool:
        """Whether the batch belongs to a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_log_append_time(self) -> bool:
        """Whether the timestamps are the broker's."""
        return bool(self.attributes & _LOG_APPEND_TIME)

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last record, -1 without sequence numbers."""
        return -1 if self.base_sequence < 0 else next_sequence(self.base_sequence, self.record_count - 1)


def next_sequence(sequence: int, count: int) -> int:
    """The sequence number ``count`` after ``sequence``: 2^31-1 is followed by 0."""
    return (sequence + count) & _INT32_MAX


def read_header(data: bytes | bytearray | memoryview) -> BatchHeader:
    """Decode the header, checking that ``data`` is exactly one whole batch of format v2.

    Raises:
        BatchError: with the code a broker answers.
    """
    size = len(data)
    if size == 0:
        raise BatchError(Code.INVALID_RECORD, "no record batch where exactly one is required")
    if size < HEADER_SIZE:
        if size > 16 and data[16] != 2:
            raise BatchError(Code.INVALID_RECORD, f"message format v{data[16]}, only v2 may be produced")
        raise BatchError(Code.CORRUPT_MESSAGE, f"{size} bytes cannot hold a batch header of {HEADER_SIZE}")
    header = BatchHeader._make(_LAYOUT.unpack_from(data))
    if header.magic != 2:
        raise BatchError(Code.INVALID_RECORD, f"message format v{header.magic}, only v2 may be produced")
    whole = header.length + LENGTH_END
    if whole < HEADER_SIZE:
        raise BatchError(Code.CORRUPT_MESSAGE, f"batch length {header.length} is less than a batch header needs")
    if whole > size:
        raise BatchError(Code.CORRUPT_MESSAGE, f"batch length {header.length} runs past the {size} bytes given")
    if whole < size:
        raise BatchError(Code.INVALID_RECORD, f"{size - whole} bytes follow the batch, exactly one batch is allowed")
    return header


def peek(data: bytes | bytearray | memoryview) -> BatchHeader | None:
    """The header if ``data`` is one whole batch of format v2, else None."""
    try:
        return read_header(data)
    except BatchError:
        return None


def check_header(header: BatchHeader, data: bytes | bytearray | memoryview, now_ms: int) -> None:
    """Check everything a broker checks of a producer's batch without looking at its records.

    Args:
        header: what :func:`read_header` found.
        data: the whole batch.
        now_ms: the broker's clock, milliseconds since the epoch.

    Raises:
        BatchError: with the code a broker answers.
    """
    if header.base_offset != 0:
        raise BatchError(Code.INVALID_RECORD, f"base offset {header.base_offset}, a producer's is 0")
    crc = crc32c(memoryview(data)[_CRC_START:])
    if crc != header.crc:
        raise BatchError(Code.CORRUPT_MESSAGE, f"CRC-32C in the header {header.crc:08x}, of the bytes {crc:08x}")
    _check_attributes(header)
    if header.record_count <= 0:
        raise BatchError(Code.INVALID_RECORD, f"record count {header.record_count}")
    if header.last_offset_delta != header.record_count - 1:
        raise BatchError(
            Code.INVALID_RECORD, f"last offset delta {header.last_offset_delta} with {header.record_count} records"
        )
    _check_producer(header)
    _check_timestamps(header, now_ms)


def _check_attributes(header: BatchHeader) -> None:
    attributes = header.attributes & 0xFFFF
    if header.codec > 4:
        raise BatchError(Code.UNSUPPORTED_COMPRESSION_TYPE, f"unknown compression codec {header.codec}")
    if attributes & _LOG_APPEND_TIME:
        raise BatchError(Code.INVALID_TIMESTAMP, "timestamp type log append time, which only a broker may set")
    if attributes & _CONTROL:
        raise BatchError(Code.INVALID_RECORD, "a control batch, which only a broker may write")
    if attributes & _UNUSED & 0xFFFF:
        raise BatchError(Code.INVALID_RECORD, f"attributes {attributes:#06x} have bits set that must be 0")
    if header.is_transactional:
        raise BatchError(Code.INVALID_TXN_STATE, "a transactional batch outside of a transaction")


def _check_producer(header: BatchHeader) -> None:
    identity = (header.producer_id, header.producer_epoch, header.base_sequence)
    if identity == (-1, -1, -1):
        return
    if min(identity) < 0:
        raise BatchError(
            Code.INVALID_RECORD,
            f"producer id {identity[0]}, epoch {identity[1]}, sequence {identity[2]}: all or none must be -1",
        )


_HOUR_MS = 3_600_000


def _check_timestamps(header: BatchHeader, now_ms: int) -> None:
    for name, value in (("base", header.base_timestamp), ("max", header.max_timestamp)):
        if value < -1:
            raise BatchError(Code.INVALID_TIMESTAMP, f"{name} timestamp {value}, must be -1 (none) or more")
    if header.max_timestamp < header.base_timestamp:
        raise BatchError(
            Code.INVALID_RECORD,
            f"max timestamp {header.max_timestamp} is less than base timestamp {header.base_timestamp}",
        )
    if header.max_timestamp > now_ms + _HOUR_MS:
        raise BatchError(
            Code.INVALID_TIMESTAMP, f"max timestamp {header.max_timestamp} is more than an hour ahead", violation=False
        )


def stamp(data: bytearray, base_offset: int, leader_epoch: int, append_time: int | None) -> None:
    """Write into a batch what the broker decides: offset, leader epoch and, if not None, the log append time (ms)."""
    _INT64.pack_into(data, 0, base_offset)
    _INT32.pack_into(data, LENGTH_END, leader_epoch)
    if append_time is None:
        return
    attributes = _INT16.unpack_from(data, _CRC_START)[0] | _LOG_APPEND_TIME
    _INT16.pack_into(data, _CRC_START, attributes)
    _INT64.pack_into(data, _MAX_TIMESTAMP_OFFSET, append_time)
    _UINT32.pack_into(data, _CRC_OFFSET, crc32c(memoryview(data)[_CRC_START:]))
