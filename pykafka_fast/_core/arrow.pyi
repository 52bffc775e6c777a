# SPDX-License-Identifier: Apache-2.0
"""Columns of anybody's that come by Arrow's C data interface, read where they lie."""

from typing import Any

from .column import Column, Numbers

LAYOUTS: dict[str, tuple[int, bool]]
INTEGERS: dict[str, int]
TIMES: dict[str, int]

class ArrowColumn(Column):
    """Keys or values in arrays of Arrow's."""

def is_arrow(rows: Any) -> bool:
    """Whether the object offers a column."""

def arrow_column(rows: Any, what: str) -> ArrowColumn:
    """Keys or values. TypeError: not binary or text; ValueError: it was released, or contradicts itself."""

def arrow_numbers(rows: Any, what: str, times: bool) -> Numbers:
    """A column of whole numbers, or of times as milliseconds; nulls are -1."""
