# SPDX-License-Identifier: Apache-2.0
"""What hostile or broken peers do to bytes: lengths and counts that are negative, beyond the end or 2^31-1, bytes left
out, doubled, in another order, cut off, of another message."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable, Sequence

__all__ = ["Mutator", "fresh_seed"]

_NUMBERS = (0, 1, -1, -2, 0x7F, 0x80, 0xFF, 0x7FFF, -0x8000, 0x10000, 1 << 24, 2**31 - 1, -(2**31))
TELLING = (
    *(
        struct.pack(layout, number)
        for layout, bits in ((">b", 7), (">h", 15), (">i", 31), (">q", 63))
        for number in (*_NUMBERS, 2**63 - 1, -(2**63))
        if -(2**bits) <= number < 2**bits
    ),
    b"\xff\xff\xff\xff\x07",  # varints: 2^31 - 1
    b"\xff\xff\xff\xff\x0f",  # 2^32 - 1
    b"\xff\xff\xff\xff\x7f",  # more than 32 bits
    b"\x80\x80\x80\x80\x80\x00",  # longer than it may be
    b"\xff" * 9 + b"\x01",
)


def fresh_seed() -> int:
    """HOSTILE_SEED, or another one each time; printed, so that a failing run can be repeated."""
    seed = int(os.environ.get("HOSTILE_SEED") or int.from_bytes(os.urandom(6), "big"))
    print(f"HOSTILE_SEED={seed}")
    return seed


class Mutator:
    """Damages messages.

    Args:
        rng: where chance comes from.
        others: messages whose ends may be mixed in.
    """

    def __init__(self, rng: random.Random, others: Sequence[bytes] = (b"",)) -> None:
        self._rng = rng
        self._others = others
        self._ways: tuple[Callable[[bytearray, int, int], None], ...] = (
            self._byte, self._bit, self._telling, self._telling, self._telling, self._cut, self._leave_out,
            self._repeat, self._swap, self._end_like_another,
        )  # fmt: skip

    def damage(self, message: bytes, most: int = 3) -> bytes:
        """A copy with one to ``most`` things wrong; now and then nothing but noise."""
        rng = self._rng
        if rng.random() < 0.03:
            return rng.randbytes(rng.randrange(80))
        data = bytearray(message)
        for _ in range(rng.randrange(1, most + 1)):
            if data:
                rng.choice(self._ways)(data, rng.randrange(len(data)), rng.choice((1, 1, 2, 4, rng.randrange(1, 40))))
        return bytes(data)

    def _byte(self, data: bytearray, at: int, _size: int) -> None:
        data[at] = self._rng.randrange(256)

    def _bit(self, data: bytearray, at: int, _size: int) -> None:
        data[at] ^= 1 << self._rng.randrange(8)

    def _telling(self, data: bytearray, at: int, _size: int) -> None:
        value = self._rng.choice(TELLING)
        data[at : at + len(value)] = value[: len(data) - at]

    def _cut(self, data: bytearray, at: int, _size: int) -> None:
        del data[at:]

    def _leave_out(self, data: bytearray, at: int, size: int) -> None:
        del data[at : at + size]

    def _repeat(self, data: bytearray, at: int, size: int) -> None:
        data[at:at] = data[at : at + size]

    def _swap(self, data: bytearray, at: int, size: int) -> None:
        data[at : at + 2 * size] = data[at + size : at + 2 * size] + data[at : at + size]

    def _end_like_another(self, data: bytearray, at: int, _size: int) -> None:
        data[at:] = self._rng.choice(self._others)[at:]
