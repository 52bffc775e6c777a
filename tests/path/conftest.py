# SPDX-License-Identifier: Apache-2.0
"""Brokers, and producers that must leave nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.testing import EmbeddedBroker
from tools.brokers.processes import wait_for

StartBroker = Callable[..., EmbeddedBroker]
Make = Callable[..., KafkaProducer]


def check_balance(producer: KafkaProducer) -> None:
    """Everything the pool gave out has come back, and nobody waits for more."""
    stats = producer._lifecycle.accumulator.pool_stats()
    assert (stats["slabs_acquired"], stats["acquired"], stats["waiting"]) == (0, 0, 0), stats
    assert stats["available"] == stats["budget"], stats


def threads_of(producer: KafkaProducer) -> list[str]:
    """Names of its Python threads."""
    mine = producer.config["client_id"] + "-"
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(mine)]


@pytest.fixture
def start_broker() -> Iterator[StartBroker]:
    """start_broker(topics=..., ...) → a running EmbeddedBroker; clients must not have broken any rule at the end."""
    started: list[EmbeddedBroker] = []

    def start(**options: Any) -> EmbeddedBroker:
        started.append(EmbeddedBroker(**({"topics": {"t": 4}} | options)))
        return started[-1]

    yield start
    for broker in started:
        broker.clear()
        broker.close()
    assert [broker.violations for broker in started] == [[]] * len(started)


@pytest.fixture
def broker(start_broker: StartBroker) -> EmbeddedBroker:
    """One node, topic "t" with 4 partitions."""
    return start_broker()


@pytest.fixture
def make(start_broker: StartBroker) -> Iterator[Make]:
    """make(broker, **options) → a producer that is closed at the end, and must leave nothing behind."""
    made: list[KafkaProducer] = []

    def new(broker: EmbeddedBroker | str, **options: Any) -> KafkaProducer:
        address = broker if isinstance(broker, str) else broker.address
        made.append(KafkaProducer(bootstrap_servers=address, **options))
        return made[-1]

    yield new
    for producer in made:
        began = time.monotonic()
        producer.close(timeout=3)
        assert time.monotonic() - began < 8
        wait_for(lambda producer=producer: threads_of(producer) == [], "the end of what a codec has in hand", 120)
        check_balance(producer)
        assert threads_of(producer) == []
