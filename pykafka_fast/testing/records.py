# SPDX-License-Identifier: Apache-2.0
"""The records of a batch: checking them quickly, and decoding them for assertions.

A record is: varint size of the rest, int8 attributes (0), varlong timestamp delta, varint offset delta, varint key
size (-1 null), key, varint value size (-1 null), value, varint header count, and per header varint key size, key,
varint value size (-1 null), value. All varints are zigzag.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .._core import codec
from ..errors import KafkaProtocolError, MessageSizeTooLargeError
from .batch import HEADER_SIZE, BatchError, BatchHeader, next_sequence
from .codes import Code

__all__ = ["Record", "check_records", "decode_records", "decompress", "payload"]

_DECOMPRESSED_MAX = 1 << 27  # far beyond any request; a bomb must not take the machine along
_NULL = 1  # -1 in zigzag


class Record(NamedTuple):
    """A record as it lies in the log.

    Attributes:
        partition: partition number.
        offset: offset in the partition.
        timestamp: milliseconds since the epoch, -1 for none; the broker's time for a log-append-time topic.
        key: bytes or None.
        value: bytes or None.
        headers: (name, bytes or None) pairs in order.
        producer_id: -1 without idempotence.
        producer_epoch: -1 without idempotence.
        sequence: -1 without idempotence.
    """

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    producer_id: int
    producer_epoch: int
    sequence: int


def payload(header: BatchHeader, data: bytes | bytearray | memoryview) -> bytes:
    """The records of a batch, decompressed.

    Raises:
        BatchError: CORRUPT_MESSAGE if they cannot be decompressed.
    """
    return decompress(header.codec, memoryview(data)[HEADER_SIZE:], 2)


def decompress(number: int, data: bytes | memoryview, magic: int) -> bytes:
    """Bytes that a client compressed for message format ``magic``.

    Raises:
        BatchError: CORRUPT_MESSAGE if that cannot be undone.
    """
    try:
        return codec.decompress(number, data, _DECOMPRESSED_MAX, magic)
    except MessageSizeTooLargeError:
        raise BatchError(Code.CORRUPT_MESSAGE, f"codec {number}: more than {_DECOMPRESSED_MAX} bytes") from None
    except KafkaProtocolError:
        raise BatchError(Code.CORRUPT_MESSAGE, f"{len(data)} bytes are not of codec {number}, or end early") from None


def _bad(index: int, problem: str) -> BatchError:
    return BatchError(Code.INVALID_RECORD, f"record {index}: {problem}", record_errors={index: problem})


def check_records(data: bytes | bytearray, count: int) -> int:
    """Check ``count`` records that must fill ``data`` exactly; the highest timestamp delta.

    Raises:
        BatchError: INVALID_RECORD, naming the index of the first bad record.
    """
    position, highest = _walk(data, count)
    if position != len(data):
        raise _bad(count, f"{len(data) - position} bytes follow the last of {count} records")
    return highest


def _walk(data: bytes | bytearray, count: int) -> tuple[int, int]:
    """The position after ``count`` records and their highest timestamp delta.

    This loop decides how many records per second the broker can take, so it knows only the ordinary one: no headers,
    varints of at most two bytes (the offset delta three). What does not look right to it goes to
    :func:`_walk_record`, which judges.
    """
    position = 0
    highest = -(1 << 63)
    for index in range(count):
        start = position
        try:
            length = data[position]
            odd = length & 1
            if length > 127:
                odd |= data[position + 1] >> 7
                length += (data[position + 1] << 7) - 128
                position += 1
            end = position + 1 + (length >> 1)
            delta = data[position + 2]
            odd |= data[position + 1] | delta & 1
            position += 3
            if delta > 127:
                odd |= data[position] >> 7
                delta += (data[position] << 7) - 128
                position += 1
            if index < 64:
                odd |= data[position] ^ index << 1
                position += 1
            else:
                odd |= data[position] ^ (index << 1 & 0x7F | 0x80)
                position += 2
                if index < 8192:
                    odd |= data[position - 1] ^ index >> 6
                else:
                    odd |= data[position - 1] ^ (index >> 6 & 0x7F | 0x80) | data[position] ^ index >> 13 | index >> 20
                    position += 1
            length = data[position]  # of the key; a third varint byte makes it so long that the end is missed
            if length > 127:
                length += (data[position + 1] << 7) - 128
                position += 1
            if length != _NULL:
                odd |= length & 1
            position += 1 + (length >> 1)
            length = data[position]  # of the value
            if length > 127:
                length += (data[position + 1] << 7) - 128
                position += 1
            if length != _NULL:
                odd |= length & 1
            position += 1 + (length >> 1)
            odd |= data[position]
        except IndexError:
            odd, end = 1, 0
        if odd or position + 1 != end:
            end, delta = _walk_record(data, start, index)
        else:
            delta >>= 1
        if delta > highest:
            highest = delta
        position = end
    return position, highest


def _varint(data: bytes | bytearray, position: int, index: int, what: str, bits: int = 32) -> tuple[int, int]:
    """A zigzag varint of at most ``bits`` bits and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift >= bits:
            raise _bad(index, f"{what} is a varint of more than {bits} bits")
    if value >> bits:
        raise _bad(index, f"{what} is a varint of more than {bits} bits")
    return (value >> 1) ^ -(value & 1), position


def _walk_record(data: bytes | bytearray, position: int, index: int) -> tuple[int, int]:
    """Check the record at ``position``; the position after it and its timestamp delta."""
    try:
        end, fields = _split_record(data, position, index)
    except IndexError:
        raise _bad(index, f"cut short, the records have {len(data)} bytes") from None
    return end, fields.delta


class _Fields(NamedTuple):
    delta: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def _split_record(data: bytes | bytearray, position: int, index: int) -> tuple[int, _Fields]:
    size, position = _varint(data, position, index, "size")
    end = position + size
    if size < 0 or end > len(data):
        raise _bad(index, f"size {size}, {len(data) - position} bytes remain")
    if data[position]:
        raise _bad(index, f"attributes {data[position]}, must be 0")
    delta, position = _varint(data, position + 1, index, "timestamp delta", 64)
    offset, position = _varint(data, position, index, "offset delta")
    if offset != index:
        raise _bad(index, f"offset delta {offset}, must be {index}")
    key, position = _nullable(data, position, index, "key", end)
    value, position = _nullable(data, position, index, "value", end)
    headers, position = _headers(data, position, index, end)
    if position != end:
        raise _bad(index, f"its fields take {size + position - end} bytes, its size says {size}")
    return end, _Fields(delta, key, value, headers)


def _nullable(data: bytes | bytearray, position: int, index: int, what: str, end: int) -> tuple[bytes | None, int]:
    size, position = _varint(data, position, index, f"{what} size")
    if size == -1:
        return None, position
    if size < 0 or position + size > end:
        raise _bad(index, f"{what} size {size}, {end - position} bytes remain in the record")
    return bytes(data[position : position + size]), position + size


def _headers(
    data: bytes | bytearray, position: int, index: int, end: int
) -> tuple[tuple[tuple[str, bytes | None], ...], int]:
    count, position = _varint(data, position, index, "header count")
    if count < 0 or count > end - position:
        raise _bad(index, f"header count {count}, {end - position} bytes remain in the record")
    headers = []
    for number in range(count):
        key, position = _nullable(data, position, index, f"key of header {number}", end)
        if key is None:
            raise _bad(index, f"key of header {number} is null")
        try:
            name = key.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _bad(index, f"key of header {number} is not UTF-8 ({error.reason})") from None
        value, position = _nullable(data, position, index, f"value of header {number}", end)
        headers.append((name, value))
    return tuple(headers), position


def decode_records(partition: int, header: BatchHeader, data: bytes | bytearray) -> Iterator[Record]:
    """The records of a batch that lies in a log, so its base offset is the real one.

    Raises:
        BatchError: a record is malformed, or the batch cannot be decompressed.
    """
    body = payload(header, data)
    position = 0
    for index in range(header.record_count):
        try:
            position, fields = _split_record(body, position, index)
        except IndexError:
            raise _bad(index, f"cut short, the records have {len(body)} bytes") from None
        timestamp = header.max_timestamp if header.is_log_append_time else header.base_timestamp + fields.delta
        sequence = -1 if header.base_sequence < 0 else next_sequence(header.base_sequence, index)
        yield Record(
            partition,
            header.base_offset + index,
            timestamp,
            fields.key,
            fields.value,
            fields.headers,
            header.producer_id,
            header.producer_epoch,
            sequence,
        )
