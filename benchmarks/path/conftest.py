# SPDX-License-Identifier: Apache-2.0
"""Brokers for the whole producer: the mock (fast, unchecked) and the embedded one (slow, checks every batch)."""

from collections.abc import Iterator

import pytest

from benchmarks.compare.broker import Broker
from pykafka_fast import KafkaProducer
from pykafka_fast.testing import BrokerProcess

TOPIC = "path"
PARTITIONS = 6


@pytest.fixture(scope="module")
def mock_address(mock_broker: Broker) -> Iterator[str]:
    """Topics path-1 and path-6, the number being that of their partitions."""
    names = {f"{TOPIC}-{partitions}": partitions for partitions in (1, PARTITIONS)}
    for name, partitions in names.items():
        mock_broker.create_topic(name, partitions)
    yield mock_broker.address
    for name in names:
        mock_broker.delete_topic(name)


@pytest.fixture(scope="module")
def embedded_address() -> Iterator[str]:
    process = BrokerProcess(topics={f"{TOPIC}-1": 1})
    yield process.address
    assert process.close() == 0


@pytest.fixture
def producer(mock_address: str) -> Iterator[KafkaProducer]:
    """A producer with default options, connected to the mock."""
    with KafkaProducer(bootstrap_servers=mock_address) as producer:
        producer.send(f"{TOPIC}-1", b"first").get(30)
        yield producer
