# SPDX-License-Identifier: Apache-2.0
"""What send_many() is given, as columns (csrc/pkf_column.h): keys and values piece by piece, numbers, headers."""

from collections.abc import Sequence
from typing import Any

class Column:
    """A column in which every row is null."""

    what: str
    def __init__(self, what: str, length: int) -> None: ...
    def __len__(self) -> int: ...
    def object(self, row: int, serialized: bool = True) -> Any:
        """The row as an object; `serialized`: no serializer will see it."""
    def close(self) -> None:
        """Close what of the caller's is open."""

class Objects(Column):
    """A sequence of bytes-like objects and None."""

    def __init__(self, what: str, objects: tuple[Any, ...]) -> None: ...

class Numbers:
    """A number for each row, not negative; -1 where there is none."""

    what: str
    def __init__(self, what: str, length: int) -> None: ...
    def __len__(self) -> int: ...
    def number(self, row: int) -> int | None:
        """That of a row, or None."""
    def fill(self, numbers: Sequence[Any], most: int) -> Numbers:
        """From a sequence of int (or what can stand for one) and None."""
    def check(self, most: int) -> None:
        """ValueError if a number is larger."""

class HeaderLists:
    """Headers of each row, or the same for all: a list of (str, bytes or None) pairs, or None."""

    def __init__(self, rows: list[Any] | None, same: list[Any] | None) -> None: ...
