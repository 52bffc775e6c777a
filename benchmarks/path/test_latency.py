# SPDX-License-Identifier: Apache-2.0
"""One record from send() to its acknowledgement, and what starting and stopping a producer takes."""

import threading

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykafka_fast import KafkaProducer

TIMEOUT = 60.0


@pytest.mark.parametrize("linger_ms", [0, 5])
def test_round_trip(benchmark: BenchmarkFixture, mock_address: str, linger_ms: int) -> None:
    """A batch somebody waits for does not linger: both are the same."""
    with KafkaProducer(bootstrap_servers=mock_address, linger_ms=linger_ms) as producer:
        producer.send("path-1", b"first").get(TIMEOUT)
        metadata = benchmark(lambda: producer.send("path-1", b"x" * 100).get(TIMEOUT))
        assert metadata.offset > 0


@pytest.mark.parametrize("linger_ms", [0, 5])
def test_callback(benchmark: BenchmarkFixture, mock_address: str, linger_ms: int) -> None:
    """Nobody waits for the batch, only for the callback: the linger shows."""
    called = threading.Event()
    errors = []

    def on_delivery(metadata: object, error: BaseException | None) -> None:
        if error is not None:
            errors.append(error)
        called.set()

    with KafkaProducer(bootstrap_servers=mock_address, linger_ms=linger_ms) as producer:
        producer.send("path-1", b"first").get(TIMEOUT)

        def work() -> None:
            called.clear()
            producer.send("path-1", b"x" * 100, on_delivery=on_delivery)
            assert called.wait(TIMEOUT)

        benchmark(work)
    assert errors == []


def test_start_first_record_close(benchmark: BenchmarkFixture, mock_address: str) -> None:
    def work() -> None:
        with KafkaProducer(bootstrap_servers=mock_address) as producer:
            assert producer.send("path-1", b"first").get(TIMEOUT).topic == "path-1"

    benchmark(work)
