# SPDX-License-Identifier: Apache-2.0
"""Writer and reader of one message at one version.

A message keeps its fields from version to version; what changes at its first *flexible* version
(KIP-482) is how strings, bytes and arrays announce their length, and that every structure ends with
tagged fields. The methods here follow that switch, so that a message is written down once.

=====================  ==========================  ===================================
method                 before flexible versions    flexible
=====================  ==========================  ===================================
text, optional_text    int16 length                compact
blob, optional_blob    int32 length                compact
count                  int32                       compact
end                    nothing                     tagged fields
=====================  ==========================  ===================================
"""

from __future__ import annotations

import struct

from .primitives import Reader, Writer

__all__ = ["ZERO_UUID", "MessageReader", "MessageWriter"]

ZERO_UUID = bytes(16)
"""What stands on the wire for "no topic id"."""


class MessageWriter(Writer):
    """Writes strings, arrays and ends of structures as ``flexible`` says."""

    __slots__ = ("flexible",)

    def __init__(self, flexible: bool) -> None:
        super().__init__()
        self.flexible = flexible

    def text(self, value: str) -> None:
        """A string."""
        if self.flexible:
            self.compact_string(value)
        else:
            self.string(value)

    def optional_text(self, value: str | None) -> None:
        """A string or null."""
        if self.flexible:
            self.compact_nullable_string(value)
        else:
            self.nullable_string(value)

    def blob(self, value: bytes) -> None:
        """Bytes."""
        if self.flexible:
            self.compact_bytes(value)
        else:
            self.bytes_(value)

    def optional_blob(self, value: bytes | None) -> None:
        """Bytes or null."""
        if self.flexible:
            self.compact_nullable_bytes(value)
        else:
            self.nullable_bytes(value)

    def count(self, value: int | None) -> None:
        """Number of array elements that follow; None is a null array."""
        if self.flexible:
            self.compact_array_length(value)
        else:
            self.array_length(value)

    def end(self, fields: dict[int, bytes] | None = None) -> None:
        """End of a structure; ``fields`` are its tagged fields, which versions before flexible ones leave out."""
        if self.flexible:
            self.tags(fields or {})


class MessageReader(Reader):
    """Reads what :class:`MessageWriter` writes."""

    __slots__ = ("flexible",)

    def __init__(self, buffer: bytes | bytearray | memoryview, offset: int, what: str, flexible: bool) -> None:
        super().__init__(buffer, offset, what)
        self.flexible = flexible

    def text(self) -> str:
        """A string."""
        return self.compact_string() if self.flexible else self.string()

    def optional_text(self) -> str | None:
        """A string or null."""
        return self.compact_nullable_string() if self.flexible else self.nullable_string()

    def blob(self) -> bytes:
        """Bytes."""
        return self.compact_bytes() if self.flexible else self.bytes_()

    def optional_blob(self) -> bytes | None:
        """Bytes or null."""
        return self.compact_nullable_bytes() if self.flexible else self.nullable_bytes()

    def count(self, element_size: int = 1) -> int:
        """Number of array elements that follow; a null array counts as empty."""
        return max(0, self.optional_count(element_size))

    def optional_count(self, element_size: int = 1) -> int:
        """Number of array elements that follow, -1 for a null array."""
        return self.compact_array_length(element_size) if self.flexible else self.array_length(element_size)

    def int32_array(self) -> tuple[int, ...]:
        """An array of int32; null counts as empty."""
        count = self.count(4)
        return struct.unpack(f">{count}i", self.raw(4 * count))

    def end(self) -> dict[int, bytes]:
        """End of a structure: its tagged fields, none before flexible versions."""
        return self.tags() if self.flexible else {}
