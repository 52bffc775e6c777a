# SPDX-License-Identifier: Apache-2.0
"""Door to CRC-32C (csrc/pkf_crc32c.h), the checksum of message format v2."""

from typing_extensions import Buffer

def crc32c(data: Buffer, value: int = 0, implementation: str | None = None) -> int:
    """CRC-32C of bytes.

    Args:
        data: any contiguous bytes-like object.
        value: the CRC of what comes before ``data``: ``crc32c(b, crc32c(a)) == crc32c(a + b)``.
        implementation: one of :func:`implementations`; the fastest if None.

    Raises:
        ValueError: there is no implementation of that name on this machine.
        OverflowError: ``value`` is not a number of 32 bits.
        BufferError: ``data`` is not contiguous.
    """

def implementations() -> list[str]:
    """Names of what this machine can run, fastest first; ``"portable"`` is always among them."""
