# SPDX-License-Identifier: Apache-2.0
"""The broker of a comparison: librdkafka's mock, real Kafka, or one that is already running."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tools.brokers.kafka import KafkaCluster
from tools.brokers.mock import MockCluster

TIMEOUT = 60.0
# Real Kafka: give the disk back as soon as a run's topic is deleted.
TOPIC_CONFIG = {"file.delete.delay.ms": "1000", "retention.bytes": str(1 << 30), "segment.bytes": str(256 << 20)}
_names = count()


class Broker(ABC):
    """One broker, one process.

    Attributes:
        kind: "mock", "kafka" or "address".
        pid: its process, 0 when it is not on this machine.
    """

    kind: str
    address: str
    pid: int = 0

    @abstractmethod
    def create_topic(self, name: str, partitions: int) -> None: ...

    @abstractmethod
    def delete_topic(self, name: str) -> None: ...

    @contextmanager
    def topic(self, partitions: int = 1, idle_partitions: int = 0) -> Iterator[str]:
        """A topic for one run, and NAME-idle beside it when `idle_partitions` is not 0."""
        name = f"compare-{os.getpid()}-{next(_names)}"
        sizes = {name: partitions, f"{name}-idle": idle_partitions}
        topics = [topic for topic, size in sizes.items() if size]
        for topic in topics:
            self.create_topic(topic, sizes[topic])
        try:
            yield name
        finally:
            for topic in topics:
                self.delete_topic(topic)

    def end_offset(self, topic: str, partition: int = 0) -> int:
        """Records ever appended to a partition, as another client sees it."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "compare", "log_level": 0})
        try:
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT)
        finally:
            consumer.close()
        return int(high)

    def leader_address(self, topic: str) -> str:
        """host:port of the leader of the topic's partition 0."""
        found = AdminClient({"bootstrap.servers": self.address}).list_topics(topic, timeout=TIMEOUT)
        leader = found.brokers[found.topics[topic].partitions[0].leader]
        return f"{leader.host}:{leader.port}"

    def set_round_trip(self, milliseconds: int) -> None:
        """Delay every answer. The mock's alone can."""
        if milliseconds:
            raise ValueError(f"broker {self.kind} cannot delay its answers")

    def pin(self, processors: set[int]) -> None:
        """Keep all threads of the broker on these processors."""
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), processors)


class Mock(Broker):
    kind = "mock"

    def __init__(self, cluster: MockCluster):
        self.cluster = cluster
        self.address = cluster.bootstrap
        self.pid = cluster.pid

    def create_topic(self, name: str, partitions: int) -> None:
        self.cluster.create_topic(name, partitions)

    def delete_topic(self, name: str) -> None:
        self.cluster.delete_topic(name)

    def set_round_trip(self, milliseconds: int) -> None:
        self.cluster.set_rtt(milliseconds)


class Kafka(Broker):
    kind = "kafka"

    def __init__(self, cluster: KafkaCluster):
        self.cluster = cluster
        self.address = cluster.bootstrap
        self.pid = cluster.pid(cluster.nodes[0])

    def create_topic(self, name: str, partitions: int) -> None:
        self.cluster.create_topic(name, partitions, config=TOPIC_CONFIG)

    def delete_topic(self, name: str) -> None:
        self.cluster.delete_topic(name)


class Running(Broker):
    """Somebody else's broker: reached by its address, topics through the admin protocol."""

    kind = "address"

    def __init__(self, address: str):
        self.address = address
        self._admin = AdminClient({"bootstrap.servers": address})

    def create_topic(self, name: str, partitions: int) -> None:
        topic = NewTopic(name, partitions, 1, config=TOPIC_CONFIG)
        self._admin.create_topics([topic], operation_timeout=TIMEOUT)[name].result(TIMEOUT)

    def delete_topic(self, name: str) -> None:
        self._admin.delete_topics([name], operation_timeout=TIMEOUT)[name].result(TIMEOUT)


@contextmanager
def started(choice: str) -> Iterator[Broker]:
    """`choice` is "mock", "kafka" or HOST:PORT."""
    if choice == "mock":
        with MockCluster(brokers=1) as mock:
            yield Mock(mock)
    elif choice == "kafka":
        with KafkaCluster(nodes=1) as kafka:
            yield Kafka(kafka)
    else:
        yield Running(choice)
