# SPDX-License-Identifier: Apache-2.0
"""Door to ranges (csrc/pkf_range.h): the future of all rows of one send_many(), and what it leads to."""

from collections.abc import Callable, Generator
from typing import Any, final

from ..errors import KafkaError
from .accumulator import Accumulator
from .future import RecordFuture
from .range_outcome import RangeFailures, RangeMetadata

@final
class RangeFuture:
    """The outcome of one send_many(): pending until every record is done, then their metadata, or what failed.

    Its methods are those of RecordFuture, for all records together; it can be awaited in asyncio too. len() is the
    number of records.
    """

    def __len__(self) -> int: ...
    @property
    def is_done(self) -> bool:
        """Whether the outcome of every record is known."""
    @property
    def value(self) -> RangeMetadata | None:
        """The RangeMetadata once all are delivered, else None."""
    @property
    def exception(self) -> KafkaError | None:
        """Once done, the exception of the first record that failed, else None; its attribute `row` is the index."""
    @property
    def failures(self) -> RangeFailures:
        """What has failed until now: a mapping of index to exception, in order, made when it is asked for."""
    def succeeded(self) -> bool:
        """Done, and all delivered."""
    def failed(self) -> bool:
        """Done, and not all delivered."""
    def retriable(self) -> bool:
        """Done, and the first failure is one after which the same send may succeed."""
    def get(self, timeout: float | None = None) -> RangeMetadata:
        """Wait for the outcome of every record; their batches do not linger meanwhile.

        timeout: seconds for all, None without end, 0 or less for a look. Returns RangeMetadata, a sequence of
        RecordMetadata; raises the exception of the first record that failed, which knows the record as `row` (all of
        them: `failures`), or KafkaTimeoutError, which does not affect the records. Returns after the records' callbacks
        have run.
        ValueError: NaN.
        """
    def add_callback(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> RangeFuture:
        """Call f(*args, metadata, **kwargs), with RangeMetadata, when all are delivered. Returns self."""
    def add_errback(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> RangeFuture:
        """Call f(*args, exception, **kwargs), with that of the first that failed, when all are done. Returns self."""
    def add_both(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> RangeFuture:
        """Call f(*args, RangeMetadata or exception, **kwargs) when all are done. Returns self."""
    def __await__(self) -> Generator[Any, None, RangeMetadata]: ...
    def _tell(self, accumulator: Accumulator, f: Callable[..., object]) -> None: ...
    def _append(self, append: Callable[..., RecordFuture | int], *args: Any) -> RecordFuture | int: ...
    def _add(self, future: RecordFuture) -> None: ...

def empty_range(row_count: int) -> RangeFuture:
    """A range without rows, to which up to row_count records can be added."""
