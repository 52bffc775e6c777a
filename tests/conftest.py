# SPDX-License-Identifier: Apache-2.0
"""Fixtures for every suite."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_fast import KafkaProducer
from tools import readback


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def read_back() -> Callable[..., list[readback.Record]]:
    """read_back(bootstrap, topic) → every record there, read by confluent-kafka's consumer."""
    return readback.read_topic


@pytest.fixture
def new_producer() -> Iterator[Callable[..., KafkaProducer]]:
    """new_producer(bootstrap, **options); closed when the test ends, and no slab may be missing then."""
    producers = []

    def make(bootstrap: str, **options: object) -> KafkaProducer:
        producer = KafkaProducer(bootstrap_servers=bootstrap, **options)  # type: ignore[arg-type]
        producers.append(producer)
        return producer

    yield make
    for producer in producers:
        producer.close(timeout=10)
        assert producer._lifecycle.accumulator.pool_stats()["acquired"] == 0
