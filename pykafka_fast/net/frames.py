# SPDX-License-Identifier: Apache-2.0
"""From a stream of bytes to response frames, and guesses about peers that are not Kafka."""

from __future__ import annotations

import struct

from ..errors import InvalidReceiveError

__all__ = ["FrameBuffer"]

_SIZE = struct.Struct(">i")
_EXCERPT_SIZE = 40
_TLS_RECORD_TYPES = {0x15: "a TLS alert", 0x16: "a TLS handshake"}


class FrameBuffer:
    """Collects received bytes and gives out whole frames, without their sizes.

    Memory follows the bytes that have arrived, never the size a peer announces.

    Args:
        max_size: a larger announced frame is refused (``receive_message_max_bytes``).
    """

    __slots__ = ("_buffer", "_first", "_max_size")

    def __init__(self, max_size: int) -> None:
        self._buffer = bytearray()
        self._max_size = max_size
        self._first = True

    def __len__(self) -> int:
        """Bytes received and not yet given out."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """The next whole frame, or None until more bytes arrive.

        Raises:
            InvalidReceiveError: the bytes cannot be a frame we would read; says what they look like.
        """
        if len(self._buffer) < _SIZE.size:
            return None
        if self._first:
            self._refuse_foreign()
        (size,) = _SIZE.unpack_from(self._buffer)
        if not _SIZE.size <= size <= self._max_size:
            raise InvalidReceiveError(self._refusal(size))
        end = _SIZE.size + size
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[_SIZE.size : end])
        del self._buffer[:end]
        self._first = False
        return frame

    def _refuse_foreign(self) -> None:
        foreign = _describe(bytes(self._buffer[:_EXCERPT_SIZE]))
        if foreign:
            raise InvalidReceiveError(foreign)

    def _refusal(self, size: int) -> str:
        if self._first:
            return f"the answer is not Kafka's: it begins with {bytes(self._buffer[:_EXCERPT_SIZE])!r}"
        if size > self._max_size:
            return f"a response of {size} bytes exceeds receive_message_max_bytes={self._max_size}"
        return f"a response announces {size} bytes"


def _describe(start: bytes) -> str | None:
    """What a first answer that begins so comes from, if it is clearly not Kafka."""
    if start[0] in _TLS_RECORD_TYPES and start[1] == 3:
        return f"the answer is {_TLS_RECORD_TYPES[start[0]]}: is this a TLS listener? Only plaintext is supported yet"
    if start.startswith(b"HTTP"):
        return f"the answer is HTTP ({_first_line(start)!r}): this is a web server, not a Kafka broker"
    if all(0x20 <= byte < 0x7F for byte in start[:4]):
        return f"the answer is text ({_first_line(start)!r}): this is not a Kafka broker"
    return None


def _first_line(start: bytes) -> str:
    return start.splitlines()[0].decode("ascii", "replace")
