# SPDX-License-Identifier: Apache-2.0
"""Record batches of message format v2, slowly and obviously: the oracle of the C encoder, and a specification to read.

Nothing here knows the C library or the package.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from tests.reference import varint
from tests.reference.compression import decompress


class Record(NamedTuple):
    timestamp: int
    """Milliseconds since 1970."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Batch(NamedTuple):
    records: Sequence[Record]
    base_offset: int = 0
    leader_epoch: int = -1
    attributes: int = 0
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1


def crc32c(data: bytes) -> int:
    """Castagnoli's polynomial, bits reflected, all ones at the start and inverted at the end."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def encode_field(data: bytes | None) -> bytes:
    return varint.encode(-1) if data is None else varint.encode(len(data)) + data


def decode_field(data: bytes) -> tuple[bytes | None, bytes]:
    length, rest = varint.decode(data)
    return (None, rest) if length == -1 else (rest[:length], rest[length:])


def encode_record(record: Record, base_timestamp: int, offset_delta: int) -> bytes:
    body = (
        b"\0"  # attributes
        + varint.encode(record.timestamp - base_timestamp)
        + varint.encode(offset_delta)
        + encode_field(record.key)
        + encode_field(record.value)
        + varint.encode(len(record.headers))
        + b"".join(encode_field(key.encode()) + encode_field(value) for key, value in record.headers)
    )
    return varint.encode(len(body)) + body


def decode_record(data: bytes, base_timestamp: int) -> tuple[Record, int, bytes]:
    """(record, offset delta, the bytes behind it)."""
    length, rest = varint.decode(data)
    body, rest = rest[:length], rest[length:]
    assert body[0] == 0
    timestamp_delta, body = varint.decode(body[1:])
    offset_delta, body = varint.decode(body)
    key, body = decode_field(body)
    value, body = decode_field(body)
    count, body = varint.decode(body)
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        header_key, body = decode_field(body)
        header_value, body = decode_field(body)
        assert header_key is not None
        headers.append((header_key.decode(), header_value))
    assert body == b""
    return Record(base_timestamp + timestamp_delta, key, value, headers), offset_delta, rest


# Behind the CRC: attributes, last offset delta, base and maximal timestamp, producer id, epoch, base sequence, count.
TAIL = struct.Struct(">hiqqqhii")


def encode_batch(batch: Batch) -> bytes:
    assert batch.attributes & 7 == 0, "no two compressors write the same bytes"
    base_timestamp = batch.records[0].timestamp
    tail = TAIL.pack(
        batch.attributes,
        len(batch.records) - 1,
        base_timestamp,
        max(record.timestamp for record in batch.records),
        batch.producer_id,
        batch.producer_epoch,
        batch.base_sequence,
        len(batch.records),
    ) + b"".join(encode_record(record, base_timestamp, i) for i, record in enumerate(batch.records))
    head = struct.pack(">ibI", batch.leader_epoch, 2, crc32c(tail))
    return struct.pack(">qi", batch.base_offset, len(head) + len(tail)) + head + tail


def decode_batch(data: bytes) -> Batch:
    base_offset, length, leader_epoch, magic, crc = struct.unpack_from(">qiibI", data)
    assert (magic, length) == (2, len(data) - 12)
    tail = data[21:]
    assert crc == crc32c(tail)
    attributes, last, base_timestamp, highest, producer_id, epoch, sequence, count = TAIL.unpack_from(tail)
    rest = decompress(attributes & 7, tail[TAIL.size :])
    records = []
    for i in range(count):
        record, offset_delta, rest = decode_record(rest, base_timestamp)
        assert offset_delta == i
        records.append(record)
    assert (rest, last, highest) == (b"", count - 1, max(record.timestamp for record in records))
    return Batch(records, base_offset, leader_epoch, attributes, producer_id, epoch, sequence)
