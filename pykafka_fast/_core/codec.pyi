# SPDX-License-Identifier: Apache-2.0
"""Door to the compression codecs (csrc/pkf_codec.h), for the embedded broker, tests and benchmarks.

Bytes are framed as in Kafka: one gzip member, the chunks of snappy-java, one lz4 frame of independent blocks, one zstd
frame. ``codec`` is the number in the attributes of a record batch, see :data:`CODECS`. The GIL is released meanwhile.
"""

from typing_extensions import Buffer

CODECS: dict[str, int]
"""``"none"``, ``"gzip"``, ``"snappy"``, ``"lz4"``, ``"zstd"``: the codecs and their numbers."""

def levels(codec: int) -> tuple[int, int, int] | None:
    """The lowest level, the highest, and the one that is meant if none is given; None for a codec without levels.

    Raises:
        IllegalArgumentError: there is no such codec.
    """

def bound(codec: int, size: int) -> int:
    """Bytes that ``size`` bytes take at most when they are compressed.

    Raises:
        IllegalArgumentError: there is no such codec.
    """

def memory(codec: int, level: int | None, size: int) -> int:
    """Bytes of contexts that stay in memory once ``size`` bytes were compressed at this level.

    Raises:
        IllegalArgumentError: there is no such codec.
    """

def compress(codec: int, data: Buffer, level: int | None = None, magic: int = 2) -> bytes:
    """Compressed bytes.

    Args:
        codec: its number.
        data: any contiguous bytes-like object.
        level: within :func:`levels`; None is the standard one.
        magic: the message format that will hold the bytes, 0 to 2. In 0 lz4 has another header checksum (KIP-57).

    Raises:
        IllegalArgumentError: there is no such codec or level.
        BufferError: ``data`` is not contiguous.
    """

def decompress(codec: int, data: Buffer, limit: int, magic: int = 2) -> bytes:
    """Decompressed bytes.

    Args:
        codec: its number.
        data: what any client may have sent.
        limit: bytes the result may have.
        magic: the message format that held the bytes; in format 0 both header checksums of lz4 are good.

    Raises:
        KafkaProtocolError: the bytes are not of this codec, or end early.
        MessageSizeTooLargeError: the result has more than ``limit`` bytes.
        IllegalArgumentError: there is no such codec.
        BufferError: ``data`` is not contiguous.
    """
