# SPDX-License-Identifier: Apache-2.0
"""What became of every record, as its sender was told: a file per thread, so that ten million need no memory."""

import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

_ENTRY = struct.Struct(">HQBq")
_CHUNK = _ENTRY.size * 50_000


class Outcome(IntEnum):
    """What a future can tell."""

    ACKNOWLEDGED = 0
    FAILED = 1
    """It is not in the topic."""
    IN_DOUBT = 2
    """It failed and may be in the topic."""


class Entry(NamedTuple):
    """One record's outcome; offset -1 where none was told."""

    partition: int
    number: int
    outcome: Outcome
    offset: int


class Journal:
    """Writes one thread's entries.

    Args:
        file: created, or emptied.
    """

    def __init__(self, file: Path):
        self._out = file.open("wb", buffering=1 << 16)

    def add(self, partition: int, number: int, outcome: Outcome, offset: int = -1) -> None:
        self._out.write(_ENTRY.pack(partition, number, outcome, offset))

    def close(self) -> None:
        self._out.close()


def read_journal(file: Path) -> Iterator[Entry]:
    """The entries in the order in which they were written."""
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            for partition, number, outcome, offset in _ENTRY.iter_unpack(chunk):
                yield Entry(partition, number, Outcome(outcome), offset)
