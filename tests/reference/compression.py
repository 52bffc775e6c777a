# SPDX-License-Identifier: Apache-2.0
"""How Kafka's clients frame what they compress, slowly and obviously, over other people's libraries."""

import gzip
import struct

import lz4.frame
import snappy
import xxhash
import zstandard

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
"""By their number in the attributes of a batch or of a wrapper."""

XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)


def decompress_snappy(data: bytes) -> bytes:
    """Chunks, each with its size in front; some clients leave the frame out."""
    if not data.startswith(XERIAL[:8]):
        return bytes(snappy.decompress(data))
    assert data.startswith(XERIAL)
    result, position = b"", len(XERIAL)
    while position < len(data):
        (size,) = struct.unpack_from(">i", data, position)
        position += 4
        assert 0 < size <= len(data) - position
        result += snappy.decompress(data[position : position + size])
        position += size
    return result


def lz4_checksum(data: bytes) -> int:
    """Second byte of the hash of what stands in front of it."""
    return int(xxhash.xxh32(data).intdigest()) >> 8 & 0xFF


def decompress_lz4(data: bytes, magic: int) -> bytes:
    """One frame of independent blocks; in message format v0 the header's checksum takes the mark in (KIP-57)."""
    flags = data[4]
    assert data[:4] == b"\x04\x22\x4d\x18"
    assert flags >> 6 == 1, "version"
    assert flags & 0x20, "blocks depend on each other"
    assert not flags & 0x01, "a dictionary"
    at = 14 if flags & 0x08 else 6
    assert data[at] == (lz4_checksum(data[:at]) if magic == 0 else lz4_checksum(data[4:at]))
    known = data[:at] + bytes([lz4_checksum(data[4:at])]) + data[at + 1 :]
    decompressor = lz4.frame.LZ4FrameDecompressor()
    result = bytes(decompressor.decompress(known))
    assert decompressor.eof
    assert not decompressor.unused_data
    return result


def decompress_zstd(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=False) as reader:
        return reader.read()


def decompress(codec: int, data: bytes, magic: int = 2) -> bytes:
    name = CODECS[codec]
    if name == "gzip":
        return gzip.decompress(data)
    if name == "snappy":
        return decompress_snappy(data)
    if name == "lz4":
        return decompress_lz4(data, magic)
    if name == "zstd":
        assert magic == 2, "zstd came with message format v2"
        return decompress_zstd(data)
    return data
