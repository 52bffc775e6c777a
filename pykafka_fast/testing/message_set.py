# SPDX-License-Identifier: Apache-2.0
"""Message sets, formats v0 and v1, as brokers before 0.11 took them: checked, and written anew as a batch of v2.

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

from .._core.crc32c import crc32c
from ..errors import KafkaProtocolError
from ..protocol.primitives import Reader, Writer
from .batch import BatchError
from .codes import Code

__all__ = ["Message", "read_message_set", "to_batch"]

_BATCH_REST = struct.Struct(">hiqqqhii")
_NO_TIMESTAMP = -1


class Message(NamedTuple):
    """One message; ``timestamp`` is -1 in format v0."""

    timestamp: int
    key: bytes | None
    value: bytes | None


def to_batch(data: bytes | bytearray | memoryview, version: int) -> bytes:
    """What Produce ``version``, below 3, carries for one partition, as a batch of format v2 without a producer id.

    Raises:
        BatchError: with the code a broker answers.
    """
    messages = read_message_set(data, 1 if version == 2 else 0)
    base = messages[0].timestamp
    records = b"".join(_record(index, message, base) for index, message in enumerate(messages))
    newest = max(message.timestamp for message in messages)
    rest = _BATCH_REST.pack(0, len(messages) - 1, base, newest, -1, -1, -1, len(messages)) + records
    return struct.pack(">qiibI", 0, 9 + len(rest), -1, 2, crc32c(rest)) + rest


def read_message_set(data: bytes | bytearray | memoryview, newest_magic: int) -> list[Message]:
    """Every message of a set, none of them compressed.

    Raises:
        BatchError: with the code a broker answers.
    """
    messages: list[Message] = []
    reader = Reader(data, 0, "message set")
    try:
        while reader.remaining:
            messages.append(_message(reader, len(messages), newest_magic))
    except KafkaProtocolError as error:
        raise BatchError(Code.CORRUPT_MESSAGE, str(error.args[0])) from None
    if not messages:
        raise BatchError(Code.INVALID_RECORD, "a message set without a message")
    return messages


def _message(reader: Reader, index: int, newest_magic: int) -> Message:
    offset, size = reader.int64(), reader.int32()
    if offset != index:
        raise _bad(index, f"offset {offset}")
    crc, body = reader.uint32(), bytes(reader.raw(size - 4))
    if zlib.crc32(body) != crc:
        raise _bad(index, f"CRC-32 {crc:08x}, of the bytes {zlib.crc32(body):08x}")
    inner = Reader(body, 0, f"message {index}")
    magic, attributes = inner.int8(), inner.int8()
    if not 0 <= magic <= newest_magic:
        raise _bad(index, f"magic {magic}, this version of Produce carries {newest_magic} at most")
    if attributes:
        raise _bad(index, f"attributes {attributes:#04x}: no compression, create time")
    timestamp = inner.int64() if magic else _NO_TIMESTAMP
    message = Message(timestamp, inner.nullable_bytes(), inner.nullable_bytes())
    if inner.remaining:
        raise _bad(index, f"{inner.remaining} bytes follow its value")
    return message


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
