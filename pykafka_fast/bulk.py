# SPDX-License-Identifier: Apache-2.0
"""send_many(): what is decided about many records at once. How they are taken is in _core/bulk.pyx."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ._core.arrow import arrow_column, arrow_numbers, is_arrow
from ._core.bulk import MALFORMED, NOTHING, Bulk
from ._core.column import Column, HeaderLists, Numbers, Objects
from ._core.producer_base import NEED_METADATA
from ._core.range import RangeFuture, empty_range
from ._core.range_outcome import RangeMetadata
from .errors import KafkaError, MessageSizeTooLargeError
from .types import PARTITION_MAX, TIMESTAMP_MAX, check_topic, whole

if TYPE_CHECKING:
    from ._core.accumulator import Topic
    from ._core.future import RecordFuture
    from .lifecycle import Lifecycle

_ROWS_MAX = 2**31 - 1


class Producer(Protocol):
    """What send_many() needs of a producer."""

    _max_block_s: float
    _key_serializer: Any
    _value_serializer: Any

    @property
    def _lifecycle(self) -> Lifecycle: ...
    def _check_usable(self) -> None: ...
    def _fast_path_applies(self) -> bool: ...
    def _wait_for_partition(self, topic: str, partition: int | None, deadline: float) -> Topic: ...
    def _refusal(self, outcome: int, topic: str) -> KafkaError | MemoryError: ...
    def _send(self, topic: str, value: Any, key: Any, headers: Any, partition: int | None, timestamp_ms: int | None,
              on_delivery: None, chosen: int, taken: RangeFuture) -> RecordFuture: ...


class Rows(NamedTuple):
    """The arguments of a send_many(), looked at and of the same length."""

    topic: str
    values: Column
    keys: Column | None
    headers: Any  # a list for all rows, or None
    header_lists: list[Any] | None  # a list for each row
    partition: int | Numbers | None
    timestamps: Numbers | None


def rows_of(topic: Any, values: Any, keys: Any, headers: Any, partition: Any, timestamps_ms: Any) -> Rows:
    """Look at the arguments of a send_many().

    Raises:
        TypeError: something that is no column, or an element that is not what it should be.
        ValueError: columns of different lengths, or a number out of range.
        InvalidTopicError: Kafka does not allow the name.
    """
    if not isinstance(topic, str):
        raise TypeError(f"topic must be a str, not {type(topic).__name__}")
    check_topic(topic)
    value_column = _column(values, "value")
    count = len(value_column)
    if count > _ROWS_MAX:
        raise ValueError(f"{count} records in one call; {_ROWS_MAX} at most")
    same, lists = _headers(headers)
    rows = Rows(str.__str__(topic), value_column, None if keys is None else _column(keys, "key"), same, lists,
                _partition(partition), _timestamps(timestamps_ms))
    for what, column in (("keys", rows.keys), ("headers", lists), ("timestamps_ms", rows.timestamps),
                         ("partition", rows.partition)):
        if column is not None and not isinstance(column, int) and len(column) != count:
            raise ValueError(f"{what} has {len(column)} rows, and values has {count}")
    return rows


def _sequence(rows: Any, what: str) -> tuple[Any, ...]:
    if isinstance(rows, (str, bytes, bytearray, memoryview)) or not (
            isinstance(rows, Sequence) or (hasattr(type(rows), "__len__") and hasattr(type(rows), "__getitem__")
                                           and not hasattr(rows, "keys"))):
        of_arrow = "" if what == "headers" else ", or an Arrow column"
        raise TypeError(f"{what} must be a sequence with an element for each record{of_arrow}, not "
                        f"{type(rows).__name__}")
    return tuple(rows)


def _column(rows: Any, what: str) -> Column:
    if not is_arrow(rows):
        return Objects(what, _sequence(rows, f"{what}s"))
    if str(getattr(rows, "dtype", None)) == "Object":  # polars exports where its objects lie, as binary of 8 bytes
        raise TypeError(f"{what}s: a polars column of dtype Object holds addresses of Python objects, which cannot be "
                        "sent; make it Binary or String, or give its to_list()")
    return arrow_column(rows, what)


def _headers(headers: Any) -> tuple[Any, list[Any] | None]:
    """(the same for all, one for each row): one of the two is None."""
    if headers is None:
        return None, None
    rows = list(_sequence(headers, "headers"))
    if not rows or isinstance(rows[0], tuple):
        return rows or None, None
    return None, rows


def _partition(partition: Any) -> int | Numbers | None:
    if partition is None:
        return None
    if hasattr(partition, "__index__") and not hasattr(partition, "__len__"):
        return whole("partition", partition, PARTITION_MAX)
    if is_arrow(partition):
        numbers = arrow_numbers(partition, "partition", False)
        numbers.check(PARTITION_MAX)
        return numbers
    rows = _sequence(partition, "partition")
    return Numbers("partition", len(rows)).fill(rows, PARTITION_MAX)


def _timestamps(timestamps_ms: Any) -> Numbers | None:
    if timestamps_ms is None:
        return None
    if is_arrow(timestamps_ms):
        return arrow_numbers(timestamps_ms, "timestamps_ms", True)
    rows = _sequence(timestamps_ms, "timestamps_ms")
    return Numbers("timestamps_ms", len(rows)).fill(rows, TIMESTAMP_MAX)


# ---- sending --------------------------------------------------------------------------------------------------------


def send_rows(producer: Producer, rows: Rows, on_delivery: Callable[..., object] | None) -> RangeFuture:
    """Take all rows, or raise; what was taken then is in the exception's attribute ``taken``."""
    if on_delivery is not None:
        producer._lifecycle.delivery.ensure_started()
    future = _take_all(producer, rows) if producer._fast_path_applies() else _one_by_one(producer, rows)
    if on_delivery is not None:
        try:
            future._tell(producer._lifecycle.accumulator,
                         lambda _: on_delivery(RangeMetadata(future), future.exception))
        except BaseException as error:  # all rows are taken by now
            _blame(producer, error, rows.topic, future)
            raise
    return future


def _take_all(producer: Producer, rows: Rows) -> RangeFuture:
    """By the C library: columns, and no object per record."""
    accumulator = producer._lifecycle.accumulator
    headers = None if rows.headers is None and rows.header_lists is None else HeaderLists(
        rows.header_lists, rows.headers)
    bulk = Bulk(accumulator, accumulator.known_topic(rows.topic), rows.values, rows.keys, headers, rows.partition,
                time.time_ns() // 1_000_000, rows.timestamps,
                producer._max_block_s if producer._lifecycle.may_wait() else 0.0)
    try:
        try:
            _check(producer, rows, bulk)
            if len(rows.values) > 0:
                bulk.into(producer._wait_for_partition(rows.topic, None, time.monotonic() + producer._max_block_s))
            while (status := bulk.append()) != 0:
                if status != NEED_METADATA:
                    raise producer._refusal(status, rows.topic)
                producer._lifecycle.wait_for_topic(
                    rows.topic, bulk.partition, time.monotonic() + producer._max_block_s, producer._check_usable)
        finally:
            bulk.end()
        return bulk.future
    except BaseException as error:  # an interrupt of bulk.end() as well: what was taken is taken
        _blame(producer, error, rows.topic, bulk.future)
        raise


def _check(producer: Producer, rows: Rows, bulk: Bulk) -> None:
    """Every row, before any is taken."""
    wrong = bulk.check()
    if wrong is None:
        return
    status, row, column = wrong
    error: ValueError | KafkaError | MemoryError
    if status == NOTHING:
        error = ValueError(f"row {row}: Need at least one: key or value")
    elif status == MALFORMED:
        error = ValueError(f"row {row}: the offsets of the Arrow array with the {column}s make no sense")
    else:
        error = producer._refusal(status, rows.topic)
        error.args = (f"row {row}: {error.args[0]}",)
    error.row = row  # type: ignore[union-attr]
    raise error


def _one_by_one(producer: Producer, rows: Rows) -> RangeFuture:
    """By send(), because something of the user's has to run for each record."""
    future = empty_range(len(rows.values))
    try:
        for row in range(len(rows.values)):
            partition = rows.partition.number(row) if isinstance(rows.partition, Numbers) else rows.partition
            sent = producer._send(
                rows.topic, rows.values.object(row, producer._value_serializer is None),
                None if rows.keys is None else rows.keys.object(row, producer._key_serializer is None),
                rows.headers if rows.header_lists is None else rows.header_lists[row], partition,
                None if rows.timestamps is None else rows.timestamps.number(row), None, -1, future)
            if sent._refused:  # else it was added when it was appended
                error = sent.exception
                if not isinstance(error, MessageSizeTooLargeError):
                    raise error  # type: ignore[misc]  # what the next row would have to wait for as well
                future._add(sent)
    except BaseException as error:
        _blame(producer, error, rows.topic, future)
        raise
    return future


def _blame(producer: Producer, error: BaseException, topic: str, taken: RangeFuture) -> None:
    """Add what is to be known of the row it is about and of those before."""
    if isinstance(error, (KafkaError, KeyboardInterrupt)):
        producer._lifecycle.count_send_error(topic)
    count = len(taken)
    text = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else None
    if getattr(error, "row", None) is None:
        text = None if text is None else f"row {count}: {text}"
        with suppress(AttributeError):  # an exception of the user's may have no room for it
            error.row = count  # type: ignore[attr-defined]
    with suppress(AttributeError):
        error.taken = taken if count else None  # type: ignore[attr-defined]
    if text is not None:
        said = f"the {count} rows before it were taken" if count else "no row was taken"
        error.args = (f"{text}; {said}",)
