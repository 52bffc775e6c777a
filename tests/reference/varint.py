# SPDX-License-Identifier: Apache-2.0
"""Variable-length integers, slowly and obviously."""


def encode_unsigned(number: int) -> bytes:
    """Seven bits a byte, low group first; bit 7 says that another byte follows."""
    if number < 0x80:
        return bytes([number])
    return bytes([number & 0x7F | 0x80]) + encode_unsigned(number >> 7)


def decode_unsigned(data: bytes) -> tuple[int, bytes]:
    """(number, the bytes behind it)."""
    first, rest = data[0], data[1:]
    if first < 0x80:
        return first, rest
    higher, rest = decode_unsigned(rest)
    return higher << 7 | first & 0x7F, rest


def encode(number: int) -> bytes:
    """Zigzag: 0, -1, 1, -2, 2 ... become 0, 1, 2, 3, 4 ..."""
    return encode_unsigned(2 * number if number >= 0 else -2 * number - 1)


def decode(data: bytes) -> tuple[int, bytes]:
    """(number, the bytes behind it)."""
    number, rest = decode_unsigned(data)
    return number // 2 if number % 2 == 0 else -(number + 1) // 2, rest
