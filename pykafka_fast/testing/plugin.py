# SPDX-License-Identifier: Apache-2.0
"""pytest fixtures. Installed with the package; nothing of it is loaded until a test asks for a fixture.

::

    def test_greets(kafka_broker):
        producer = KafkaProducer(bootstrap_servers=kafka_broker.address)
        producer.send("greetings", b"hello").get(timeout=10)
        assert [record.value for record in kafka_broker.records("greetings")] == [b"hello"]

    def test_survives_a_lost_connection(kafka_broker):
        kafka_broker.cut(when="after_append", api="Produce")
        ...

``kafka_broker``
    A fresh :class:`~pykafka_fast.testing.EmbeddedBroker` that creates the topics clients ask for, with 3 partitions.
    The test fails at its end if a client broke the protocol (``kafka_broker.violations``).
``kafka_cluster``
    The same with three nodes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pykafka_fast import testing

_PARTITIONS = 3
_NODES = 3


def _checked(brokers: int) -> Iterator[testing.EmbeddedBroker]:
    with testing.EmbeddedBroker(brokers=brokers, auto_create=_PARTITIONS) as running:
        yield running
    if running.violations:
        pytest.fail("clients broke the Kafka protocol:\n" + "\n".join(running.violations), pytrace=False)


@pytest.fixture
def kafka_broker() -> Iterator[testing.EmbeddedBroker]:
    """A strict embedded Kafka broker that creates topics on demand."""
    yield from _checked(1)


@pytest.fixture
def kafka_cluster() -> Iterator[testing.EmbeddedBroker]:
    """A strict embedded Kafka cluster of three nodes that creates topics on demand."""
    yield from _checked(_NODES)
