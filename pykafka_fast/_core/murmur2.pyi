# SPDX-License-Identifier: Apache-2.0
"""Door to murmur2 (csrc/pkf_murmur2.h), the hash that chooses the partition of a key."""

from typing_extensions import Buffer

def murmur2(data: Buffer) -> int:
    """The hash of Kafka's Java client: a signed number of 32 bits.

    The partition of a key is ``(murmur2(key) & 0x7FFFFFFF) % partition_count``.

    Args:
        data: any contiguous bytes-like object.

    Raises:
        BufferError: ``data`` is not contiguous.
    """
