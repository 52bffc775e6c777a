# SPDX-License-Identifier: Apache-2.0
"""What a caller pays for asking a future that is settled."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.compare.broker import Broker
from pykafka_fast import KafkaProducer

pytestmark = pytest.mark.benchmark(group="delivery")


@pytest.fixture(scope="module")
def future(mock_broker: Broker) -> Iterator[Any]:
    with mock_broker.topics() as topic, KafkaProducer(bootstrap_servers=mock_broker.address) as producer:
        future = producer.send(topic, b"x" * 100)
        future.get(60)
        yield future


def test_is_done(benchmark: BenchmarkFixture, future: Any) -> None:
    assert benchmark(lambda: future.is_done)


def test_succeeded(benchmark: BenchmarkFixture, future: Any) -> None:
    assert benchmark(future.succeeded)


def test_exception(benchmark: BenchmarkFixture, future: Any) -> None:
    assert benchmark(lambda: future.exception) is None


def test_get(benchmark: BenchmarkFixture, future: Any) -> None:
    assert benchmark(future.get).partition == 0


def test_get_offset(benchmark: BenchmarkFixture, future: Any) -> None:
    assert benchmark(lambda: future.get().offset) == 0
