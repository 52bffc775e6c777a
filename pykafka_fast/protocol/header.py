# SPDX-License-Identifier: Apache-2.0
"""Frames and headers of requests and responses.

========  ======================================================================================
frame     int32 size, then so many bytes: header and body
request   int16 API, int16 version, int32 correlation id, nullable string client id (always int16
          length); tagged fields if the message is flexible (header v2, else v1)
response  int32 correlation id; tagged fields if the message is flexible (header v1, else v0),
          except for ApiVersions, whose response header is always v0
========  ======================================================================================
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .api import is_flexible, response_header_is_flexible
from .primitives import Reader, Writer

__all__ = ["RequestHeader", "decode_response_header", "encode_request", "encode_response"]

_SIZE = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """Who asks what, at which version."""

    api: int
    version: int
    correlation_id: int
    client_id: str | None

    def encode(self) -> bytes:
        """The header's bytes, without the frame size."""
        writer = Writer()
        writer.int16(self.api)
        writer.int16(self.version)
        writer.int32(self.correlation_id)
        writer.nullable_string(self.client_id)
        if is_flexible(self.api, self.version):
            writer.empty_tags()
        return writer.getvalue()

    @classmethod
    def decode(cls, frame: bytes | bytearray | memoryview) -> tuple[RequestHeader, int]:
        """The header of a request frame (without its size) and the offset of the body.

        The header of an unknown API is read as v1; its body cannot be understood anyway.
        """
        reader = Reader(frame, 0, "request header")
        header = cls(reader.int16(), reader.int16(), reader.int32(), reader.nullable_string())
        if is_flexible(header.api, header.version):
            reader.skip_tags()
        return header, reader.offset


def encode_request(api: int, version: int, correlation_id: int, client_id: str | None, body: bytes) -> bytes:
    """A whole request frame, size included."""
    header = RequestHeader(api, version, correlation_id, client_id).encode()
    return _SIZE.pack(len(header) + len(body)) + header + body


def encode_response(api: int, version: int, correlation_id: int, body: bytes) -> bytes:
    """A whole response frame, size included."""
    tags = b"\0" if response_header_is_flexible(api, version) else b""
    return _SIZE.pack(4 + len(tags) + len(body)) + struct.pack(">i", correlation_id) + tags + body


def decode_response_header(api: int, version: int, frame: bytes | bytearray | memoryview) -> tuple[int, int]:
    """The correlation id of a response frame (without its size) and the offset of the body."""
    reader = Reader(frame, 0, "response header")
    correlation_id = reader.int32()
    if response_header_is_flexible(api, version):
        reader.skip_tags()
    return correlation_id, reader.offset
