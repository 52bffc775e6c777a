# SPDX-License-Identifier: Apache-2.0
"""Real Apache Kafka: started with the first test that wants it, shared by all, a topic per test."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tools.brokers.kafka import KafkaCluster

numbers = itertools.count()


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One node."""
    with KafkaCluster(nodes=1) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def three_nodes() -> Iterator[KafkaCluster]:
    with KafkaCluster(nodes=3) as cluster:
        yield cluster


@pytest.fixture
def kafka3(three_nodes: KafkaCluster) -> Iterator[KafkaCluster]:
    """Three nodes; a test may kill, stop or suspend any of them and leaves the putting right to us."""
    yield three_nodes
    three_nodes.heal()


@pytest.fixture
def new_topic(request: pytest.FixtureRequest) -> Callable[..., str]:
    """new_topic(cluster, partitions=1, **more) → the name of a topic nobody else uses."""

    def create(cluster: KafkaCluster, partitions: int = 1, **more: object) -> str:
        name = f"t{next(numbers)}-{request.node.originalname}"[:100]
        cluster.create_topic(name, partitions, **more)  # type: ignore[arg-type]
        return name

    return create


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "cluster":
            item.add_marker(pytest.mark.cluster)
