# SPDX-License-Identifier: Apache-2.0
"""Message sets, formats v0 and v1, as brokers before 0.11 took them: checked, and written anew as a batch of v2.

A set that is compressed is the value of one message, a wrapper without a key, whose attributes name the codec. What it
holds is compressed again with that codec for the log.

======  ====  ==============================================================
offset  size  field, message by message
======  ====  ==============================================================
0       8     offset (set by the broker)
8       4     size of what follows
12      4     CRC-32 of everything from offset 16 on
16      1     magic: 0 or 1
17      1     attributes: codec 0-2, timestamp type 3 (v1)
18      8     timestamp, ms (v1 alone)
..      4     key size, -1 for null, and the key; the same for the value
======  ====  ==============================================================
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from .._core import codec
from .._core.crc32c import crc32c
from ..errors import KafkaProtocolError
from ..protocol.primitives import Reader, Writer
from .batch import BatchError
from .codes import Code
from .records import decompress

__all__ = ["Message", "MessageSet", "read_message_set", "to_batch"]

_BATCH_REST = struct.Struct(">hiqqqhii")
_NO_TIMESTAMP = -1
_CODEC_MASK = 0x07
_LZ4, _ZSTD = 3, 4


class Message(NamedTuple):
    """One message; ``timestamp`` is -1 in format v0."""

    timestamp: int
    key: bytes | None
    value: bytes | None


class MessageSet(NamedTuple):
    """The messages, and the codec of the wrapper they came in: 0 none, 1 gzip, 2 snappy, 3 lz4."""

    messages: list[Message]
    codec: int


class _Entry(NamedTuple):
    offset: int
    magic: int
    codec: int
    message: Message


def to_batch(data: bytes | bytearray | memoryview, version: int) -> bytes:
    """What Produce ``version``, below 3, carries for one partition, as a batch of format v2 without a producer id.

    Raises:
        BatchError: with the code a broker answers.
    """
    messages, number = read_message_set(data, 1 if version == 2 else 0)
    base = messages[0].timestamp
    records = b"".join(_record(index, message, base) for index, message in enumerate(messages))
    newest = max(message.timestamp for message in messages)
    rest = _BATCH_REST.pack(number, len(messages) - 1, base, newest, -1, -1, -1, len(messages))
    rest += codec.compress(number, records)
    return struct.pack(">qiibI", 0, 9 + len(rest), -1, 2, crc32c(rest)) + rest


def read_message_set(data: bytes | bytearray | memoryview, newest_magic: int) -> MessageSet:
    """Every message of a set, out of its wrapper if it is compressed.

    Raises:
        BatchError: with the code a broker answers.
    """
    entries = _entries(data, newest_magic)
    wrapper = entries[0]
    if not any(entry.codec for entry in entries):
        return MessageSet(_in_order(entries), 0)
    if len(entries) > 1:
        raise BatchError(Code.INVALID_RECORD, f"a compressed message among {len(entries)}, it must be alone")
    inner = _entries(_unwrapped(wrapper), newest_magic)
    for index, entry in enumerate(inner):
        if entry.codec or entry.magic != wrapper.magic:
            raise _bad(index, f"magic {entry.magic}, codec {entry.codec} in a wrapper of magic {wrapper.magic}")
    if wrapper.offset not in (0, len(inner) - 1):
        raise _bad(0, f"the wrapper's offset is {wrapper.offset}, with {len(inner)} messages")
    return MessageSet(_in_order(inner), wrapper.codec)


def _entries(data: bytes | bytearray | memoryview, newest_magic: int) -> list[_Entry]:
    entries: list[_Entry] = []
    reader = Reader(data, 0, "message set")
    try:
        while reader.remaining:
            entries.append(_entry(reader, len(entries), newest_magic))
    except KafkaProtocolError as error:
        raise BatchError(Code.CORRUPT_MESSAGE, str(error.args[0])) from None
    if not entries:
        raise BatchError(Code.INVALID_RECORD, "a message set without a message")
    return entries


def _entry(reader: Reader, index: int, newest_magic: int) -> _Entry:
    offset, size = reader.int64(), reader.int32()
    crc, body = reader.uint32(), bytes(reader.raw(size - 4))
    if zlib.crc32(body) != crc:
        raise _bad(index, f"CRC-32 {crc:08x}, of the bytes {zlib.crc32(body):08x}")
    inner = Reader(body, 0, f"message {index}")
    magic, attributes = inner.int8(), inner.int8()
    if not 0 <= magic <= newest_magic:
        raise _bad(index, f"magic {magic}, this version of Produce carries {newest_magic} at most")
    if attributes & ~_CODEC_MASK:
        raise _bad(index, f"attributes {attributes:#04x}: nothing but a codec, create time")
    timestamp = inner.int64() if magic else _NO_TIMESTAMP
    message = Message(timestamp, inner.nullable_bytes(), inner.nullable_bytes())
    if inner.remaining:
        raise _bad(index, f"{inner.remaining} bytes follow its value")
    return _Entry(offset, magic, attributes & _CODEC_MASK, message)


def _in_order(entries: list[_Entry]) -> list[Message]:
    for index, entry in enumerate(entries):
        if entry.offset != index:
            raise _bad(index, f"offset {entry.offset}")
    return [entry.message for entry in entries]


def _unwrapped(wrapper: _Entry) -> bytes:
    data = wrapper.message.value
    if wrapper.codec >= _ZSTD:
        raise BatchError(Code.UNSUPPORTED_COMPRESSION_TYPE, f"codec {wrapper.codec} in a message set")
    if data is None or wrapper.message.key is not None:
        raise _bad(0, "a wrapper has a value and no key")
    if wrapper.codec == _LZ4 and wrapper.magic == 0:
        _check_old_lz4(data)
    return decompress(wrapper.codec, data, wrapper.magic)


def _check_old_lz4(data: bytes) -> None:
    """Refuse the header checksum of the lz4 frame format: brokers before 0.10 know their own alone (KIP-57)."""
    try:
        decompress(_LZ4, data, 1)
    except BatchError:
        return
    raise _bad(0, "an lz4 frame with the header checksum of format v1 in format v0")


def _bad(index: int, problem: str) -> BatchError:
    return BatchError(Code.CORRUPT_MESSAGE, f"message {index}: {problem}")


def _record(index: int, message: Message, base: int) -> bytes:
    writer = Writer()
    writer.int8(0)
    writer.varlong(message.timestamp - base)
    writer.varint(index)
    for field in (message.key, message.value):
        writer.varint(-1 if field is None else len(field))
        writer.raw(field or b"")
    writer.varint(0)
    body = writer.getvalue()
    size = Writer()
    size.varint(len(body))
    return size.getvalue() + body
