# SPDX-License-Identifier: Apache-2.0
"""The state all brokers of an embedded cluster share: nodes, topics, leaders, producer ids.

Replication is taken to be instantaneous: whichever node leads a partition reads and writes the same log. Nothing here
locks; the broker's lock guards it.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field, replace

from .batch import BatchError
from .codes import Code
from .log import LogPolicy, PartitionLog

__all__ = ["Cluster", "Node", "Partition", "Topic", "now_ms"]

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}\Z")
_FIRST_PRODUCER_ID = 1000
_LAST_EPOCH = 0x7FFF


def now_ms() -> int:
    """The brokers' clock, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass
class Node:
    """A broker: where it listens, and whether it runs."""

    node_id: int
    host: str
    port: int
    running: bool = True


@dataclass
class Partition:
    """A partition: its log and who leads it.

    Attributes:
        leader: node id, -1 without a leader.
        hint: answers that refuse for want of leadership name the leader (KIP-951).
        resigned: the leader it would have if that node were running.
    """

    index: int
    log: PartitionLog
    leader: int
    leader_epoch: int = 0
    hint: bool = True
    resigned: int | None = None


@dataclass
class Topic:
    """A topic, its id, partitions and what its logs accept."""

    name: str
    topic_id: bytes
    policy: LogPolicy
    partitions: list[Partition] = field(default_factory=list)

    def partition(self, index: int) -> Partition | None:
        """The partition, None if there is no such."""
        return self.partitions[index] if 0 <= index < len(self.partitions) else None


@dataclass
class _Transactional:
    producer_id: int
    epoch: int


class Cluster:
    """Nodes, topics and producer ids.

    Args:
        nodes: the brokers.
        policy: what new topics accept.
        auto_create: partitions of a topic that Metadata creates when asked about it, 0 for none.
    """

    def __init__(self, nodes: list[Node], policy: LogPolicy, auto_create: int) -> None:
        self.cluster_id = uuid.uuid4().hex[:22]
        self.nodes = {node.node_id: node for node in nodes}
        self.auto_create = auto_create
        self.policy = policy
        self.topics: dict[str, Topic] = {}
        self._by_id: dict[bytes, Topic] = {}
        self._issued_topic_ids: set[bytes] = set()
        self._deleted: dict[str, int] = {}  # name to the largest number of partitions it had
        self._next_producer_id = _FIRST_PRODUCER_ID
        self._transactional: dict[str, _Transactional] = {}
        self._next_leader = 0

    # Topics

    def create_topic(self, name: str, partitions: int, policy: LogPolicy | None = None) -> Topic:
        """A new topic with a new id, its leaders spread over the running nodes.

        Raises:
            ValueError: illegal name, name in use, or no partition.
            TypeError: the number of partitions is not an int.
        """
        if not isinstance(partitions, int):
            raise TypeError(f"topic {name!r}: the number of partitions must be an int, not {partitions!r}")
        if partitions < 1:
            raise ValueError(f"topic {name!r}: the number of partitions must be at least 1, not {partitions}")
        if not self.is_legal_name(name):
            raise ValueError(f"{name!r} is no legal topic name: 1 to 249 of a-z A-Z 0-9 . _ - are")
        if name in self.topics:
            raise ValueError(f"topic {name!r} exists already")
        topic = Topic(name, uuid.uuid4().bytes, policy or self.policy)
        self.topics[name] = topic
        self._by_id[topic.topic_id] = topic
        self._issued_topic_ids.add(topic.topic_id)
        self.add_partitions(name, partitions)
        return topic

    @staticmethod
    def is_legal_name(name: str) -> bool:
        """Whether Kafka allows a topic of this name."""
        return _LEGAL_NAME.match(name) is not None and name not in (".", "..")

    def delete_topic(self, name: str) -> None:
        """Forget a topic and its records."""
        topic = self.topic(name)
        self._deleted[name] = max(self._deleted.get(name, 0), len(topic.partitions))
        del self.topics[name], self._by_id[topic.topic_id]

    def add_partitions(self, name: str, total: int) -> None:
        """Grow a topic to ``total`` partitions.

        Raises:
            ValueError: not more than it has.
        """
        topic = self.topic(name)
        if total <= len(topic.partitions):
            raise ValueError(f"topic {name!r} has {len(topic.partitions)} partitions, cannot grow to {total}")
        running = [node.node_id for node in self.nodes.values() if node.running] or [-1]
        for index in range(len(topic.partitions), total):
            leader = running[self._next_leader % len(running)]
            self._next_leader += 1
            log = PartitionLog(index, index < self._deleted.get(name, 0))
            topic.partitions.append(Partition(index, log, leader))

    def topic(self, name: str) -> Topic:
        """The topic.

        Raises:
            KeyError: there is none of that name.
        """
        try:
            return self.topics[name]
        except KeyError:
            raise KeyError(f"no topic {name!r}; there are {sorted(self.topics)}") from None

    def partition(self, name: str, index: int) -> Partition:
        """The partition.

        Raises:
            KeyError: there is no such topic or partition.
        """
        partition = self.topic(name).partition(index)
        if partition is None:
            raise KeyError(f"no partition {index} in topic {name!r}")
        return partition

    def topic_by_id(self, topic_id: bytes) -> Topic | None:
        """The topic with this id, None if there is none (any more)."""
        return self._by_id.get(topic_id)

    def was_issued(self, topic_id: bytes) -> bool:
        """Whether a client can have learnt this topic id here."""
        return topic_id in self._issued_topic_ids

    def set_policy(self, name: str, **changes: int | bool) -> None:
        """Change what a topic's logs accept; the names are those of :class:`LogPolicy`."""
        topic = self.topic(name)
        topic.policy = replace(topic.policy, **changes)  # type: ignore[arg-type]

    # Leaders

    def set_leader(self, partition: Partition, node_id: int, hint: bool = True) -> None:
        """Make a node (or -1, none) the leader, at the next leader epoch."""
        if node_id != -1 and node_id not in self.nodes:
            raise KeyError(f"no node {node_id}; there are {sorted(self.nodes)}")
        partition.leader = node_id
        partition.leader_epoch += 1
        partition.hint = hint
        partition.resigned = None

    def node_stopped(self, node_id: int, elect: bool) -> None:
        """The node went away: hand its partitions to running nodes, or leave them without a leader."""
        self.nodes[node_id].running = False
        running = sorted(node.node_id for node in self.nodes.values() if node.running)
        for number, partition in enumerate(self._led_by(node_id)):
            successor = running[number % len(running)] if elect and running else -1
            self.set_leader(partition, successor)
            if successor == -1:
                partition.resigned = node_id

    def node_started(self, node_id: int) -> None:
        """The node is back: it leads again what has had no leader since it went."""
        self.nodes[node_id].running = True
        for topic in self.topics.values():
            for partition in topic.partitions:
                if partition.resigned == node_id:
                    self.set_leader(partition, node_id)

    def _led_by(self, node_id: int) -> list[Partition]:
        return [part for topic in self.topics.values() for part in topic.partitions if part.leader == node_id]

    # Producer ids

    def new_producer_id(self) -> int:
        """A producer id nobody has had."""
        producer_id = self._next_producer_id
        self._next_producer_id += 1
        return producer_id

    def knows_producer_id(self, producer_id: int) -> bool:
        """Whether this id was ever handed out."""
        return _FIRST_PRODUCER_ID <= producer_id < self._next_producer_id

    def transactional_producer_id(self, transactional_id: str, current: tuple[int, int]) -> tuple[int, int]:
        """Id and epoch for a transactional id: the next epoch of the id it has had, fencing earlier ones.

        Args:
            transactional_id: the producer's name.
            current: id and epoch the producer says it has, (-1, -1) if none (KIP-360).

        Raises:
            BatchError: PRODUCER_FENCED, it is not the latest producer of that name.
        """
        known = self._transactional.get(transactional_id)
        if known is not None and current != (-1, -1) and current != (known.producer_id, known.epoch):
            raise BatchError(Code.PRODUCER_FENCED, f"{transactional_id!r} has a newer epoch", violation=False)
        if known is None or known.epoch >= _LAST_EPOCH - 1:
            known = self._transactional[transactional_id] = _Transactional(self.new_producer_id(), 0)
        else:
            known.epoch += 1
        return known.producer_id, known.epoch
