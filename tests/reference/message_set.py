# SPDX-License-Identifier: Apache-2.0
"""Message sets, formats v0 and v1, slowly and obviously. Nothing here knows the C library or the package."""

import struct
import zlib
from typing import NamedTuple

from tests.reference.compression import decompress


class Message(NamedTuple):
    offset: int
    timestamp: int | None
    """Milliseconds since 1970; None in format v0."""
    key: bytes | None
    value: bytes | None


class MessageSet(NamedTuple):
    magic: int
    codec: int
    wrapper: Message | None
    """The message whose value the set is when it is compressed."""
    messages: list[Message]


def decode_field(data: bytes) -> tuple[bytes | None, bytes]:
    (size,) = struct.unpack_from(">i", data)
    assert -1 <= size <= len(data) - 4
    return (None, data[4:]) if size == -1 else (data[4 : 4 + size], data[4 + size :])


def decode_message(data: bytes) -> tuple[int, int, Message, bytes]:
    """(magic, codec, message, the bytes behind it)."""
    offset, size, crc = struct.unpack_from(">qiI", data)
    body, rest = data[16 : 12 + size], data[12 + size :]
    assert len(body) == size - 4
    assert zlib.crc32(body) == crc
    magic, attributes, body = body[0], body[1], body[2:]
    assert attributes & ~7 == 0
    timestamp = None
    if magic == 1:
        (timestamp,) = struct.unpack_from(">q", body)
        body = body[8:]
    key, body = decode_field(body)
    value, body = decode_field(body)
    assert (magic in (0, 1), body) == (True, b"")
    return magic, attributes & 7, Message(offset, timestamp, key, value), rest


def decode_message_set(data: bytes) -> MessageSet:
    magic, codec, message, rest = decode_message(data)
    if codec:
        assert (message.key, rest) == (None, b"")
        inner = decode_message_set(decompress(codec, message.value or b"", magic))
        assert (inner.magic, inner.codec) == (magic, 0)
        return MessageSet(magic, codec, message, inner.messages)
    messages = [message]
    while rest:
        other_magic, other_codec, message, rest = decode_message(rest)
        assert (other_magic, other_codec) == (magic, 0)
        messages.append(message)
    assert [message.offset for message in messages] == list(range(len(messages)))
    return MessageSet(magic, 0, None, messages)
