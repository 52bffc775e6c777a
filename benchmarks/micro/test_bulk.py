# SPDX-License-Identifier: Apache-2.0
"""send_many() up to the open batches: what the calling thread pays, against a Python call that does nothing.

Memory is recycled as in a producer at work: between two rounds the batches expire, and their slabs go back to the pool.
"""

import time
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import pyarrow
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykafka_fast._core.accumulator import Accumulator
from pykafka_fast._core.arrow import arrow_column
from pykafka_fast._core.bulk import Bulk
from pykafka_fast._core.column import Column, Objects
from pykafka_fast._core.wire import Wire

pytestmark = pytest.mark.benchmark(group="bulk, per 10,000 records")

MIB = 2**20
RECORDS = 10_000
TOPIC = "events"
PARTITIONS = 6
VALUES = [b"%099d" % number for number in range(RECORDS)]
KEYS = [b"key-%012d" % number for number in range(RECORDS)]


class Taker:
    """Takes rows; a wire without a broker lets them expire."""

    def __init__(self) -> None:
        self.accumulator = Accumulator(
            buffer_memory=64 * MIB, batch_size=16_384, batch_max_size=262_144, max_request_size=MIB, linger_ms=5.0,
            delivery_timeout_ms=40.0)  # fmt: skip
        self.topic = self.accumulator.topic(TOPIC)
        self.topic.set_route([1] * PARTITIONS)
        self.wire = Wire(self.accumulator, client_id="bulk", acks=-1, idempotent=False, max_in_flight=5,
                         request_timeout_ms=30_000, idle_timeout_ms=540_000, patience_ms=5.0, receive_max=MIB)
        self.wire.start()

    def settle(self) -> None:
        """Wait until all has expired."""
        deadline = time.monotonic() + 20
        while self.accumulator.pool_stats()["slabs_acquired"]:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def take(self, values: Column, keys: Column | None, partition: int | None) -> None:
        bulk = Bulk(self.accumulator, self.topic, values, keys, None, partition, 1_700_000_000_000, None, 1.0)
        if bulk.check() is not None or bulk.append() != 0:
            raise AssertionError("not all rows were taken")
        bulk.end()


@pytest.fixture
def taker() -> Iterator[Taker]:
    it = Taker()
    yield it
    it.settle()
    it.wire.stop()


def measure(benchmark: BenchmarkFixture, quick: bool, taker: Taker, work: Callable[[], object]) -> None:
    benchmark.pedantic(work, setup=taker.settle, rounds=2 if quick else 60, warmup_rounds=1)  # type: ignore[no-untyped-call]
    assert benchmark.stats is not None
    benchmark.extra_info["ns_per_record"] = 1e9 * benchmark.stats.stats.median / RECORDS


@pytest.mark.parametrize("keyed", [False, True])
def test_list(benchmark: BenchmarkFixture, quick: bool, taker: Taker, keyed: bool) -> None:
    def work() -> None:
        keys = Objects("key", tuple(KEYS)) if keyed else None
        taker.take(Objects("value", tuple(VALUES)), keys, None if keyed else 0)

    measure(benchmark, quick, taker, work)


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view"])
def test_column(benchmark: BenchmarkFixture, quick: bool, taker: Taker, kind: str, keyed: bool) -> None:
    values: Any = pyarrow.array(VALUES, getattr(pyarrow, kind)())
    keys: Any = pyarrow.array(KEYS)

    def work() -> None:
        taker.take(arrow_column(values, "value"), arrow_column(keys, "key") if keyed else None, None if keyed else 0)

    measure(benchmark, quick, taker, work)


def test_empty_function(benchmark: BenchmarkFixture, quick: bool, taker: Taker) -> None:
    """The yardstick: what Python takes to call nothing with three arguments."""

    def empty(topic: str, value: bytes, key: object) -> None: ...

    def work() -> None:
        for value in VALUES:
            empty(TOPIC, value, None)

    measure(benchmark, quick, taker, work)


def test_of_these_a_list_costs_little_more_than_the_empty_call(taker: Taker) -> None:
    """1.3 times is what is wanted on a quiet machine; this only finds what went badly wrong."""

    def empty(topic: str, value: bytes, key: object) -> None: ...

    def best(work: Callable[[], object]) -> float:
        took = []
        for _ in repeat(None, 7):
            taker.settle()
            began = time.thread_time()
            work()
            took.append(time.thread_time() - began)
        return min(took)

    yardstick = best(lambda: [empty(TOPIC, value, None) for value in VALUES])
    assert best(lambda: taker.take(Objects("value", tuple(VALUES)), None, 0)) < 4 * yardstick
