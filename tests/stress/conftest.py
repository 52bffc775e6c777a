# SPDX-License-Identifier: Apache-2.0
"""Seeds, and the cluster that is killed."""

import os
import random
from collections.abc import Callable, Iterator

import pytest

from tools.brokers.kafka import KafkaCluster
from tools.relay import Relay
from tools.soak.faults import PROPERTIES

SECONDS = float(os.environ.get("STRESS_SECONDS", "12"))


@pytest.fixture
def seed() -> int:
    """A fresh one, or that of the variable STRESS_SEED; printed, so that what failed can be played again."""
    drawn = int(os.environ.get("STRESS_SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"STRESS_SEED={drawn}")
    return drawn


@pytest.fixture(scope="session")
def relay() -> Iterator[Relay]:
    with Relay() as running:
        yield running


@pytest.fixture(scope="session")
def shaken(relay: Relay) -> Iterator[KafkaCluster]:
    """Three nodes of real Kafka, for nobody else: they die all the time. What it advertises is the relay."""
    with KafkaCluster(nodes=3, properties=PROPERTIES, advertise=relay.open) as cluster:
        yield cluster


@pytest.fixture
def topic(shaken: KafkaCluster, request: pytest.FixtureRequest) -> Iterator[Callable[[int], str]]:
    """topic(partitions) → the name of a new topic; it is deleted when the test ends."""
    made: list[str] = []

    def create(partitions: int) -> str:
        name = f"{request.node.originalname}-{request.node.callspec.id if hasattr(request.node, 'callspec') else 0}"
        shaken.create_topic(name, partitions)
        made.append(name)
        return name

    yield create
    shaken.heal()
    for name in made:
        shaken.delete_topic(name)
