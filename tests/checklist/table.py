# SPDX-License-Identifier: Apache-2.0
"""The acceptance checklist of a producer's behaviour: which test shows which item, and why an item has none.

The items are numbered within eight groups, each with a module of its own beside this one, whose ``ITEMS`` maps the
number to the name of the test (or a tuple of names) in one of the ``test_<group>*.py`` files, or to NotApplicable.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

#: Group → how many items it has, and what they are about.
GROUPS: dict[str, tuple[int, str]] = {
    "KP": (59, "the producer's public methods"),
    "RA": (33, "the record accumulator"),
    "BP": (14, "the pool of memory"),
    "BI": (7, "the built-in partitioner"),
    "PB": (11, "one batch"),
    "MB": (14, "building a batch's bytes"),
    "SE": (65, "the sender"),
    "TM": (43, "idempotence and transactions"),
}


@dataclass(frozen=True)
class NotApplicable:
    """Why an item has no test."""

    reason: str


Items = dict[int, "str | tuple[str, ...] | NotApplicable"]

TRANSACTIONS = NotApplicable("transactions do not exist yet")
TELEMETRY = NotApplicable("there are no metric reporters and no pushed telemetry; metrics() is the only door")


def items(group: str) -> Items:
    """The table of one group."""
    found: Items = importlib.import_module(f"tests.checklist.{group.lower()}").ITEMS
    return found


def names(entry: str | tuple[str, ...] | NotApplicable) -> tuple[str, ...]:
    """The tests of one entry."""
    if isinstance(entry, NotApplicable):
        return ()
    return (entry,) if isinstance(entry, str) else entry
