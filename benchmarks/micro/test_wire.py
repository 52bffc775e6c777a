# SPDX-License-Identifier: Apache-2.0
"""What the sender thread pays to look at the wire and to tell it something. Rounds of the wire need a broker: path/."""

from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykafka_fast._core.accumulator import Accumulator
from pykafka_fast._core.wire import Wire

pytestmark = pytest.mark.benchmark(group="wire")

TOPIC_ID = bytes(16)


@pytest.fixture
def accumulator() -> Accumulator:
    return Accumulator(
        buffer_memory=2**22,
        batch_size=16_384,
        batch_max_size=262_144,
        max_request_size=2**20,
        linger_ms=5.0,
        delivery_timeout_ms=120_000.0,
    )


@pytest.fixture
def wire(accumulator: Accumulator) -> Iterator[Wire]:
    wire = Wire(
        accumulator,
        client_id="benchmark",
        acks=-1,
        idempotent=False,
        max_in_flight=5,
        request_timeout_ms=30_000,
        idle_timeout_ms=540_000,
        patience_ms=5,
        receive_max=100_000_000,
    )
    wire.start()
    yield wire
    wire.close()
    wire.stop()


def test_no_events(benchmark: BenchmarkFixture, wire: Any) -> None:
    assert benchmark(wire.events) == []


def test_counters(benchmark: BenchmarkFixture, wire: Any) -> None:
    assert benchmark(wire.counters)["batches"] == 0


@pytest.mark.parametrize("partitions", [10, 10_000])
def test_leaders(benchmark: BenchmarkFixture, wire: Any, accumulator: Any, partitions: int) -> None:
    leaders, epochs = array("i", [1]) * partitions, array("i", [0]) * partitions
    topic = accumulator.topic("events")

    def route() -> None:
        topic.set_route(leaders)
        wire.set_leaders(topic, leaders, epochs, TOPIC_ID)

    benchmark(route)
    assert topic.partition_count == partitions


def test_topic(benchmark: BenchmarkFixture, accumulator: Any) -> None:
    assert benchmark(accumulator.topic, "events").name == "events"
