# SPDX-License-Identifier: Apache-2.0
"""The broker of a comparison: librdkafka's mock, real Kafka, or one that is already running."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from benchmarks.compare.load import Load
from tools.brokers.kafka import KafkaCluster
from tools.brokers.mock import MockCluster
from tools.brokers.processes import wait_for

TIMEOUT = 60.0
# Real Kafka: give the disk back as soon as a run's topic is deleted.
TOPIC_CONFIG = {"file.delete.delay.ms": "1000", "retention.bytes": str(1 << 30), "segment.bytes": str(256 << 20)}
_names = count()


class Broker(ABC):
    """One broker or several.

    Attributes:
        kind: "mock", "kafka", "kafka3" or "address".
        pids: their processes, none when they are not on this machine.
    """

    kind: str
    address: str
    pids: tuple[int, ...] = ()

    @abstractmethod
    def create_topic(self, name: str, partitions: int) -> None: ...

    @abstractmethod
    def delete_topic(self, name: str) -> None: ...

    @contextmanager
    def topics(self, load: Load | None = None, idle_partitions: int = 0) -> Iterator[str]:
        """What the names of one run's topics begin with; NAME-idle is beside them when `idle_partitions` is not 0."""
        load, name = load or Load(), f"compare-{os.getpid()}-{next(_names)}"
        sizes = dict.fromkeys(load.topic_names(name), load.partitions)
        if idle_partitions:
            sizes[f"{name}-idle"] = idle_partitions
        for topic, partitions in sizes.items():
            self.create_topic(topic, partitions)
        try:
            yield name
        finally:
            for topic in sizes:
                self.delete_topic(topic)

    def stored(self, load: Load, name: str) -> int:
        """Records ever appended to the topics of a run, as another client sees it."""
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        latest = {
            TopicPartition(topic, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for topic in load.topic_names(name)
            for partition in range(load.partitions)
        }
        asked = admin.list_offsets(latest, request_timeout=TIMEOUT)
        return sum(int(future.result(TIMEOUT).offset) for future in asked.values())

    def leader_address(self, topic: str) -> str:
        """host:port of the leader of the topic's partition 0; waits until the broker that is asked knows it."""
        admin = AdminClient({"bootstrap.servers": self.address})
        addresses: list[str] = []

        def known() -> bool:  # of a new topic one broker of several knows earlier than another
            found = admin.list_topics(topic, timeout=TIMEOUT)
            partition = found.topics[topic].partitions.get(0)
            leader = found.brokers.get(partition.leader) if partition else None
            if leader:
                addresses.append(f"{leader.host}:{leader.port}")
            return leader is not None

        wait_for(known, f"the leader of {topic}, partition 0", TIMEOUT)
        return addresses[0]

    def set_round_trip(self, milliseconds: int) -> None:
        """Delay every answer. The mock's alone can."""
        if milliseconds:
            raise ValueError(f"broker {self.kind} cannot delay its answers")

    def pin(self, processors: set[int]) -> None:
        """Keep all threads of the broker on these processors."""
        for pid in self.pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), processors)


class Mock(Broker):
    kind = "mock"

    def __init__(self, cluster: MockCluster):
        self.cluster = cluster
        self.address = cluster.bootstrap
        self.pids = (cluster.pid,)

    def create_topic(self, name: str, partitions: int) -> None:
        self.cluster.create_topic(name, partitions)

    def delete_topic(self, name: str) -> None:
        self.cluster.delete_topic(name)

    def set_round_trip(self, milliseconds: int) -> None:
        self.cluster.set_rtt(milliseconds)


class Kafka(Broker):
    """Topics are on all nodes."""

    def __init__(self, cluster: KafkaCluster):
        self.kind = "kafka" if len(cluster.nodes) == 1 else f"kafka{len(cluster.nodes)}"
        self.cluster = cluster
        self.address = cluster.bootstrap
        self.pids = tuple(map(cluster.pid, cluster.nodes))

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
    """`choice` is "mock", "kafka", "kafka3" or HOST:PORT."""
    if choice == "mock":
        with MockCluster(brokers=1) as mock:
            yield Mock(mock)
    elif choice in ("kafka", "kafka3"):
        with KafkaCluster(nodes=3 if choice == "kafka3" else 1, long_lived=True) as kafka:
            yield Kafka(kafka)
    else:
        yield Running(choice)
