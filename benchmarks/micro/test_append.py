# SPDX-License-Identifier: Apache-2.0
"""send() up to the open batch: what the caller pays. No wire thread takes anything away, so nothing else runs.

Nothing is recycled either: every byte goes to memory that is touched for the first time, so page faults count.
"""

from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykafka_fast._core.accumulator import Accumulator
from pykafka_fast._core.producer_base import ProducerBase

pytestmark = pytest.mark.benchmark(group="append, per 10,000 records")

MIB = 2**20
RECORDS = 10_000
TOPIC = "events"
PARTITIONS = 6
HEADERS = [("source", b"benchmark")]
KEYS = [b"key-%d" % number for number in range(100)]
VALUE = b"x" * 100


class Appender(ProducerBase):
    """A producer that ends where the wire thread would begin."""

    def __init__(self, partitions: int):
        accumulator = Accumulator(
            buffer_memory=64 * MIB,
            batch_size=16_384,
            batch_max_size=262_144,
            max_request_size=MIB,
            linger_ms=5.0,
            delivery_timeout_ms=120_000.0,
        )
        accumulator.topic(TOPIC).set_route([1] * partitions)
        self._open(accumulator, True, lambda: None)

    def _send(self, *args: object) -> Any:
        raise AssertionError(f"the fast path does not apply: {args!r:.300}")


def measure(benchmark: BenchmarkFixture, quick: bool, partitions: int, work: Callable[[Any], object]) -> None:
    """`work(send)` on a new accumulator each round."""
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        work, setup=lambda: ((Appender(partitions).send,), {}), rounds=2 if quick else 100, warmup_rounds=1
    )
    assert benchmark.stats is not None
    benchmark.extra_info["ns_per_record"] = 1e9 * benchmark.stats.stats.median / RECORDS


@pytest.mark.parametrize("size", [10, 100, 1_000])
def test_positional(benchmark: BenchmarkFixture, quick: bool, size: int) -> None:
    value = b"x" * size

    def work(send: Any) -> None:
        for _ in repeat(None, RECORDS):
            send(TOPIC, value)

    measure(benchmark, quick, 1, work)


def test_keywords(benchmark: BenchmarkFixture, quick: bool) -> None:
    def work(send: Any) -> None:
        for _ in repeat(None, RECORDS):
            send(TOPIC, value=VALUE)

    measure(benchmark, quick, 1, work)


def test_futures_kept(benchmark: BenchmarkFixture, quick: bool) -> None:
    def work(send: Any) -> list[Any]:
        return [send(TOPIC, VALUE) for _ in repeat(None, RECORDS)]

    measure(benchmark, quick, 1, work)


def test_callbacks(benchmark: BenchmarkFixture, quick: bool) -> None:
    def on_delivery(metadata: object, error: object) -> None: ...

    def work(send: Any) -> None:
        for _ in repeat(None, RECORDS):
            send(TOPIC, VALUE, on_delivery=on_delivery)

    measure(benchmark, quick, 1, work)


def test_keys(benchmark: BenchmarkFixture, quick: bool) -> None:
    def work(send: Any) -> None:
        for _ in repeat(None, RECORDS // len(KEYS)):
            for key in KEYS:
                send(TOPIC, VALUE, key)

    measure(benchmark, quick, PARTITIONS, work)


def test_headers(benchmark: BenchmarkFixture, quick: bool) -> None:
    def work(send: Any) -> None:
        for _ in repeat(None, RECORDS):
            send(TOPIC, VALUE, None, HEADERS)

    measure(benchmark, quick, 1, work)


def test_explicit_partition(benchmark: BenchmarkFixture, quick: bool) -> None:
    def work(send: Any) -> None:
        for _ in repeat(None, RECORDS // PARTITIONS):
            for partition in range(PARTITIONS):
                send(TOPIC, VALUE, partition=partition)

    measure(benchmark, quick, PARTITIONS, work)


def test_memoryview(benchmark: BenchmarkFixture, quick: bool) -> None:
    value = memoryview(bytearray(VALUE))

    def work(send: Any) -> None:
        for _ in repeat(None, RECORDS):
            send(TOPIC, value)

    measure(benchmark, quick, 1, work)


def test_empty_function(benchmark: BenchmarkFixture, quick: bool) -> None:
    """The yardstick: what Python takes to call nothing with three arguments."""

    def empty(topic: str, value: bytes, key: object) -> None: ...

    def work(send: Any) -> None:
        for _ in repeat(None, RECORDS):
            empty(TOPIC, VALUE, None)

    measure(benchmark, quick, 1, work)
