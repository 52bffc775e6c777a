# SPDX-License-Identifier: Apache-2.0
"""The doors of send_many() alone: what they give back, whoever lets go of them."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from pykafka_fast._core.bulk import Bulk
from pykafka_fast._core.column import Column, HeaderLists, Numbers, Objects
from pykafka_fast._core.producer_base import NEED_METADATA
from pykafka_fast._core.range import RangeFuture, empty_range
from tests.core.stage import Stage, accumulator


def bulk_of(stage: Any, rows: list[Any], topic: str = "t", patience: float = 0.05) -> Bulk:
    return Bulk(stage, stage.topic(topic), Objects("value", tuple(rows)), None, None, None, 1, None, patience)


def test_what_waits_in_a_cycle_is_given_back() -> None:
    """Whoever keeps the exception keeps the frame, and with it what was in the midst."""
    buffers = accumulator(buffer_memory=1 << 13)
    buffers.topic("t").set_route([1])
    bulk = bulk_of(buffers, [b"x" * 100] * 200)
    assert bulk.check() is None
    assert bulk.append() == -4  # E_TIMEOUT: it has a place in the queue
    assert buffers.pool_stats()["waiting"] == 1
    taken = len(bulk.future)
    assert 0 < taken < 200
    cycle: list[Any] = [bulk]
    cycle.append(cycle)
    del bulk, cycle
    gc.collect()
    assert buffers.pool_stats()["waiting"] == 0


def test_end_closes_the_callers_buffers() -> None:
    stage = Stage()
    rows = [bytearray(b"v") for _ in range(5000)]
    bulk = bulk_of(stage.accumulator, rows)
    assert bulk.check() is None
    with pytest.raises(BufferError):
        rows[-1].clear()
    assert bulk.append() == 0
    bulk.end()
    for row in rows:
        row.clear()
    stage.end()
    assert len(bulk.future) == len(bulk.future.failures) == 5000


def test_after_all_rows_there_is_nothing_more() -> None:
    stage = Stage()
    bulk = bulk_of(stage.accumulator, [b"v"] * 10)
    assert (bulk.check(), bulk.append(), bulk.append(), len(bulk.future)) == (None, 0, 0, 10)
    bulk.end()
    bulk.end()
    stage.end()


def test_metadata_is_asked_for_and_waited_for() -> None:
    stage = Stage(partitions=0)
    bulk = Bulk(stage.accumulator, stage.topic, Objects("value", (b"a", b"b")), None, None, 3, 1, None, 1.0)
    assert bulk.append() == -20
    assert bulk.partition == 3
    stage.topic.set_route([1] * 4)
    assert bulk.append() == 0
    assert [it.partition for it in [bulk.future._metadata(row) for row in range(2)]] == [3, 3]  # type: ignore[attr-defined]
    bulk.end()
    stage.end()


def test_columns_of_nothing() -> None:
    assert Column("key", 3).object(1) is None
    assert len(Objects("value", ())) == 0
    assert Numbers("n", 2).fill([None, 5], 10).number(0) is None
    assert len(empty_range(5)) == 0
    HeaderLists(None, None)
    with pytest.raises(TypeError):
        RangeFuture()


def test_keys_are_placed_anew_when_the_topic_has_become_smaller() -> None:
    """As those of send() are: nobody waits for a partition that is gone."""
    buffers = accumulator(buffer_memory=1 << 13)
    topic = buffers.topic("t")
    topic.set_route([1] * 4)
    rows = [b"%d" % row for row in range(200)]
    bulk = Bulk(buffers, topic, Objects("value", (b"v" * 100,) * 200), Objects("key", tuple(rows)), None, None, 1, None,
                0.05)
    assert bulk.check() is None
    assert bulk.append() == -4  # E_TIMEOUT: memory ran out
    bulk.end()
    topic.set_route([1])
    assert bulk.append() == NEED_METADATA
    assert bulk.partition == 0
    bulk.append()
    assert bulk.partition == 0
    bulk.end()
