# SPDX-License-Identifier: Apache-2.0
"""The primitive types of Kafka's wire protocol.

==================  ==============================================================================
integers            big-endian, two's complement; ``bool`` is one byte
unsigned varint     base 128, least significant group first, at most 5 bytes
varint, varlong     zigzag (KIP-31) of 32 or 64 bits, at most 5 or 10 bytes
string, bytes       int16 (string) or int32 (bytes) length, then the bytes; length -1 is null
array               int32 count, then the elements; count -1 is null
compact (KIP-482)   unsigned varint of length + 1 instead of the length; 0 is null
tagged fields       unsigned varint count, then per field: varint tag, varint size, bytes
==================  ==============================================================================

A peer's bytes are not trusted: a length or a count is compared with the bytes that remain before
anything is allocated for it.
"""

from __future__ import annotations

import struct

from ..errors import KafkaProtocolError

__all__ = ["Reader", "Writer"]

_INT8 = struct.Struct(">b")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_UINT32 = struct.Struct(">I")
_FLOAT64 = struct.Struct(">d")

_INT16_MAX = 0x7FFF
_INT32_MAX = 0x7FFFFFFF
_UUID_SIZE = 16


class Writer:
    """Append-only encoder. A value that does not fit its type raises ``ValueError``."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def getvalue(self) -> bytes:
        """A copy of everything written so far."""
        return bytes(self._buffer)

    def _pack(self, layout: struct.Struct, value: float) -> None:
        try:
            self._buffer += layout.pack(value)
        except struct.error as error:
            raise ValueError(f"{value!r} does not fit {layout.format!r}: {error}") from None

    def int8(self, value: int) -> None:
        """One signed byte."""
        self._pack(_INT8, value)

    def int16(self, value: int) -> None:
        """Two bytes, signed."""
        self._pack(_INT16, value)

    def int32(self, value: int) -> None:
        """Four bytes, signed."""
        self._pack(_INT32, value)

    def int64(self, value: int) -> None:
        """Eight bytes, signed."""
        self._pack(_INT64, value)

    def uint32(self, value: int) -> None:
        """Four bytes, unsigned."""
        self._pack(_UINT32, value)

    def bool_(self, value: bool) -> None:
        """One byte, 0 or 1."""
        self._buffer.append(1 if value else 0)

    def float64(self, value: float) -> None:
        """Eight bytes, IEEE 754."""
        self._pack(_FLOAT64, value)

    def uuid(self, value: bytes) -> None:
        """Sixteen bytes as they are."""
        if len(value) != _UUID_SIZE:
            raise ValueError(f"a uuid has {_UUID_SIZE} bytes, not {len(value)}")
        self._buffer += value

    def unsigned_varint(self, value: int) -> None:
        """Unsigned 32-bit varint."""
        if not 0 <= value <= 0xFFFFFFFF:
            raise ValueError(f"{value!r} does not fit an unsigned varint")
        self._groups(value)

    def varint(self, value: int) -> None:
        """Signed 32-bit varint, zigzag."""
        if not -0x80000000 <= value <= _INT32_MAX:
            raise ValueError(f"{value!r} does not fit a varint")
        self._groups((value << 1) ^ (value >> 31))

    def varlong(self, value: int) -> None:
        """Signed 64-bit varint, zigzag."""
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{value!r} does not fit a varlong")
        self._groups((value << 1) ^ (value >> 63))

    def _groups(self, value: int) -> None:
        while value > 0x7F:
            self._buffer.append(value & 0x7F | 0x80)
            value >>= 7
        self._buffer.append(value)

    def string(self, value: str) -> None:
        """UTF-8 text with an int16 length."""
        data = _utf8(value)
        self.int16(len(data))
        self._buffer += data

    def nullable_string(self, value: str | None) -> None:
        """UTF-8 text with an int16 length, -1 for None."""
        if value is None:
            self.int16(-1)
        else:
            self.string(value)

    def compact_string(self, value: str) -> None:
        """UTF-8 text with a varint length + 1."""
        data = _utf8(value)
        self.unsigned_varint(len(data) + 1)
        self._buffer += data

    def compact_nullable_string(self, value: str | None) -> None:
        """UTF-8 text with a varint length + 1, 0 for None."""
        if value is None:
            self.unsigned_varint(0)
        else:
            self.compact_string(value)

    def bytes_(self, value: bytes) -> None:
        """Bytes with an int32 length."""
        self.int32(len(value))
        self._buffer += value

    def nullable_bytes(self, value: bytes | None) -> None:
        """Bytes with an int32 length, -1 for None."""
        if value is None:
            self.int32(-1)
        else:
            self.bytes_(value)

    def compact_bytes(self, value: bytes) -> None:
        """Bytes with a varint length + 1."""
        self.unsigned_varint(len(value) + 1)
        self._buffer += value

    def compact_nullable_bytes(self, value: bytes | None) -> None:
        """Bytes with a varint length + 1, 0 for None."""
        if value is None:
            self.unsigned_varint(0)
        else:
            self.compact_bytes(value)

    def array_length(self, count: int | None) -> None:
        """Number of elements that follow, -1 for None."""
        self.int32(-1 if count is None else count)

    def compact_array_length(self, count: int | None) -> None:
        """Number of elements that follow, + 1, as a varint; 0 for None."""
        self.unsigned_varint(0 if count is None else count + 1)

    def empty_tags(self) -> None:
        """A tagged-field section without fields."""
        self._buffer.append(0)

    def tags(self, fields: dict[int, bytes]) -> None:
        """A tagged-field section; ``fields`` maps tag to encoded value."""
        self.unsigned_varint(len(fields))
        for tag in sorted(fields):
            self.unsigned_varint(tag)
            self.unsigned_varint(len(fields[tag]))
            self._buffer += fields[tag]

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._buffer += data


class Reader:
    """Bounds-checked decoder over ``buffer`` from ``offset`` on.

    Args:
        buffer: the bytes to read; not copied, so it must not change meanwhile.
        offset: index of the first byte to read.
        what: what is being read, for error messages ("Metadata response v12").

    Raises:
        KafkaProtocolError: from every method, when bytes are missing or malformed; names ``what`` and the offset.
    """

    __slots__ = ("_buffer", "_size", "offset", "what")

    def __init__(self, buffer: bytes | bytearray | memoryview, offset: int = 0, what: str = "") -> None:
        self._buffer = memoryview(buffer)
        self._size = len(self._buffer)
        self.offset = offset
        self.what = what

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return self._size - self.offset

    def malformed(self, problem: str, offset: int | None = None) -> KafkaProtocolError:
        """The error that says ``problem`` was found at ``offset`` (default: the current one), to be raised."""
        return KafkaProtocolError(
            f"malformed {self.what or 'message'}: {problem} at offset {self.offset if offset is None else offset} "
            f"of {self._size} bytes"
        )

    def raw(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        start = self.offset
        if size < 0 or size > self._size - start:
            raise self.malformed(f"{size} bytes announced, {self.remaining} remain")
        self.offset = start + size
        return bytes(self._buffer[start : self.offset])

    def _integer(self, layout: struct.Struct) -> int:
        return int(self._unpack(layout))

    def _unpack(self, layout: struct.Struct) -> int | float:
        start = self.offset
        end = start + layout.size
        if end > self._size:
            raise self.malformed(f"{layout.size} bytes needed, {self.remaining} remain")
        self.offset = end
        value: int | float = layout.unpack_from(self._buffer, start)[0]
        return value

    def int8(self) -> int:
        """One signed byte."""
        return self._integer(_INT8)

    def int16(self) -> int:
        """Two bytes, signed."""
        return self._integer(_INT16)

    def int32(self) -> int:
        """Four bytes, signed."""
        return self._integer(_INT32)

    def int64(self) -> int:
        """Eight bytes, signed."""
        return self._integer(_INT64)

    def uint32(self) -> int:
        """Four bytes, unsigned."""
        return self._integer(_UINT32)

    def bool_(self) -> bool:
        """One byte; anything but 0 is true."""
        return self._integer(_INT8) != 0

    def float64(self) -> float:
        """Eight bytes, IEEE 754."""
        return self._unpack(_FLOAT64)

    def uuid(self) -> bytes:
        """Sixteen bytes as they are."""
        return self.raw(_UUID_SIZE)

    def unsigned_varint(self) -> int:
        """Unsigned 32-bit varint."""
        return self._groups(32)

    def varint(self) -> int:
        """Signed 32-bit varint, zigzag."""
        value = self._groups(32)
        return (value >> 1) ^ -(value & 1)

    def varlong(self) -> int:
        """Signed 64-bit varint, zigzag."""
        value = self._groups(64)
        return (value >> 1) ^ -(value & 1)

    def _groups(self, bits: int) -> int:
        start = position = self.offset
        value = shift = 0
        while True:
            if position >= self._size:
                raise self.malformed("varint cut short", start)
            byte = self._buffer[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                raise self.malformed(f"varint longer than {bits} bits", start)
        if value >> bits:
            raise self.malformed(f"varint larger than {bits} bits", start)
        self.offset = position
        return value

    def _text(self, size: int) -> str:
        start = self.offset
        try:
            return self.raw(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.malformed(f"string is not UTF-8 ({error.reason})", start) from None

    def _required(self, size: int, start: int) -> int:
        if size < 0:
            raise self.malformed("null where a value is required", start)
        return size

    def _nullable(self, size: int, start: int) -> int:
        if size < -1:
            raise self.malformed(f"negative length {size}", start)
        return size

    def string(self) -> str:
        """UTF-8 text with an int16 length."""
        start = self.offset
        return self._text(self._required(self.int16(), start))

    def nullable_string(self) -> str | None:
        """UTF-8 text with an int16 length, None for -1."""
        start = self.offset
        size = self._nullable(self.int16(), start)
        return None if size < 0 else self._text(size)

    def compact_string(self) -> str:
        """UTF-8 text with a varint length + 1."""
        start = self.offset
        return self._text(self._required(self.unsigned_varint() - 1, start))

    def compact_nullable_string(self) -> str | None:
        """UTF-8 text with a varint length + 1, None for 0."""
        size = self.unsigned_varint() - 1
        return None if size < 0 else self._text(size)

    def bytes_(self) -> bytes:
        """Bytes with an int32 length."""
        start = self.offset
        return self.raw(self._required(self.int32(), start))

    def nullable_bytes(self) -> bytes | None:
        """Bytes with an int32 length, None for -1."""
        start = self.offset
        size = self._nullable(self.int32(), start)
        return None if size < 0 else self.raw(size)

    def compact_bytes(self) -> bytes:
        """Bytes with a varint length + 1."""
        start = self.offset
        return self.raw(self._required(self.unsigned_varint() - 1, start))

    def compact_nullable_bytes(self) -> bytes | None:
        """Bytes with a varint length + 1, None for 0."""
        size = self.unsigned_varint() - 1
        return None if size < 0 else self.raw(size)

    def array_length(self, element_size: int = 1) -> int:
        """Number of elements that follow, -1 for null; ``element_size`` is the least an element takes."""
        start = self.offset
        return self._count(self._nullable(self.int32(), start), element_size, start)

    def compact_array_length(self, element_size: int = 1) -> int:
        """Number of elements that follow, -1 for null, from a varint of count + 1."""
        start = self.offset
        return self._count(self.unsigned_varint() - 1, element_size, start)

    def _count(self, count: int, element_size: int, start: int) -> int:
        if count * element_size > self.remaining:
            raise self.malformed(f"{count} elements announced, {self.remaining} bytes remain", start)
        return count

    def tags(self) -> dict[int, bytes]:
        """A tagged-field section: tag to encoded value."""
        fields = {}
        for _ in range(self._count(self.unsigned_varint(), 2, self.offset)):
            tag = self.unsigned_varint()
            fields[tag] = self.raw(self.unsigned_varint())
        return fields

    def skip_tags(self) -> None:
        """Reads a tagged-field section and forgets it."""
        self.tags()


def _utf8(value: str) -> bytes:
    data = value.encode("utf-8")
    if len(data) > _INT16_MAX:
        raise ValueError(f"a string may have {_INT16_MAX} bytes, not {len(data)}")
    return data
