# SPDX-License-Identifier: Apache-2.0
"""Door to the record encoder and decoder of message format v2 (csrc/pkf_record.h) and to message sets
(csrc/pkf_legacy.h), for tests and tools.

Headers are ``(str, bytes or None)`` pairs. Timestamps are milliseconds after the batch's base timestamp, offsets count
from the batch's base offset.
"""

from collections.abc import Iterable

from typing_extensions import Buffer

def size(
    key: Buffer | None,
    value: Buffer | None,
    headers: Iterable[tuple[str, Buffer | None]] = (),
    timestamp_delta: int = 0,
    offset_delta: int = 0,
) -> int:
    """Exact number of bytes that :func:`encode` makes of the same arguments.

    Raises:
        OverflowError: more than 2,147,483,647, or a delta out of its range.
    """

def upper_bound(key: Buffer | None, value: Buffer | None, headers: Iterable[tuple[str, Buffer | None]] = ()) -> int:
    """What a record is judged by before its place is known: batch header and the largest deltas included."""

def encode(
    key: Buffer | None,
    value: Buffer | None,
    headers: Iterable[tuple[str, Buffer | None]] = (),
    timestamp_delta: int = 0,
    offset_delta: int = 0,
) -> bytes:
    """One record.

    Raises:
        OverflowError: the body would be longer than 2,147,483,647 bytes, or a delta is out of its range.
    """

def decode(data: Buffer) -> list[tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    """The records, one behind the other: (timestamp delta, offset delta, key, value, headers) each.

    Raises:
        ValueError: the bytes are not records; the message says where.
    """

def message_set(records: bytes, count: int, base_timestamp: int, magic: int) -> bytes:
    """Records of format v2, which :func:`encode` made, as a message set of format v0 or v1 (``magic``).

    Raises:
        KafkaProtocolError: the bytes are not ``count`` records.
        UnsupportedVersionError: one of them has headers.
    """

def wrap(messages: bytes, count: int, max_timestamp: int, magic: int, codec: int, level: int) -> bytes:
    """A message set of ``count`` messages, which :func:`message_set` made, compressed into one message.

    Raises:
        UnsupportedVersionError: message sets do not know the codec.
        IllegalArgumentError: the codec does not know the level.
    """
