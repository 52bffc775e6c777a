# SPDX-License-Identifier: Apache-2.0
"""Door to the appending of many records (csrc/pkf_bulk.h): what send_many() does where nothing of the user's runs."""

from .accumulator import Accumulator, Topic
from .column import Column, HeaderLists, Numbers
from .range import RangeFuture

MALFORMED: int
NOTHING: int

class Bulk:
    """One send_many(): its rows, and how far they have been taken."""

    future: RangeFuture
    def __init__(
        self,
        accumulator: Accumulator,
        topic: Topic | None,
        values: Column,
        keys: Column | None,
        headers: HeaderLists | None,
        partition: int | Numbers | None,
        now_ms: int,
        timestamps: Numbers | None,
        patience: float,
    ) -> None:
        """keys: Column or None; headers: HeaderLists or None; partition: int, Numbers or None; timestamps: Numbers or
        None, which means now_ms. patience: seconds that one wait for memory may take. topic: None until into()."""
    def into(self, topic: Topic) -> None:
        """Where the rows go. Before any is taken."""
    def end(self) -> None:
        """Nothing more is taken: give back memory and place in the queue, close the caller's buffers."""
    def check(self) -> tuple[int, int, str] | None:
        """Look at every row before any is taken: None, or (what is wrong, row, name of the column).

        TypeError: an object that is no buffer; it names the row.
        """
    def append(self) -> int:
        """Take rows until all are taken (0), or a status says why not. Can be called again, and goes on where it was.

        Serves signals, whose handlers may raise.
        """
    @property
    def partition(self) -> int | None:
        """The partition that must be known before the next row can be taken; None: the topic."""
