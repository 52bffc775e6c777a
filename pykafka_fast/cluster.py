# SPDX-License-Identifier: Apache-2.0
"""What is known about the cluster at one moment: brokers, topics, leaders. Never changes; a newer one replaces it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from .errors import KafkaError, KafkaProtocolError
from .option import host_port
from .protocol.message import ZERO_UUID
from .protocol.metadata import MetadataTopic
from .types import TopicPartition

__all__ = [
    "Broker",
    "ClusterSnapshot",
    "LeaderUpdate",
    "MetadataChanges",
    "TopicMetadata",
    "TopicRoute",
    "changes_between",
]

NO_LEADER = -1
UNKNOWN_EPOCH = -1


class Broker(NamedTuple):
    """A broker and where to reach it; negative ids are bootstrap servers whose id is not known yet."""

    node_id: int
    host: str
    port: int
    rack: str | None = None

    @property
    def nodeId(self) -> int:
        """The id under the name kafka-python 2.x used."""
        return self.node_id

    @property
    def address(self) -> str:
        """Host and port, as messages name them."""
        return host_port(self.host, self.port)


class LeaderUpdate(NamedTuple):
    """A partition's new leader, as a produce response tells it (KIP-951)."""

    topic: str
    partition: int
    leader: int
    leader_epoch: int


class TopicMetadata:
    """One topic. ``leaders`` and ``leader_epochs`` have one int32 per partition, at the partition's index: 8 bytes.

    Attributes:
        name: the topic.
        topic_id: 16 bytes, zero if the broker gives none (KIP-516).
        is_internal: kept by Kafka itself.
        leaders: broker ids as reported, -1 without a leader. Not to be changed.
        leader_epochs: how often the leader has changed, -1 if unknown (KIP-320). Not to be changed.
    """

    __slots__ = ("is_internal", "leader_epochs", "leaders", "name", "topic_id")

    def __init__(
        self,
        name: str,
        leaders: array[int],
        leader_epochs: array[int],
        topic_id: bytes = ZERO_UUID,
        is_internal: bool = False,
    ) -> None:
        self.name = name
        self.leaders = leaders
        self.leader_epochs = leader_epochs
        self.topic_id = topic_id
        self.is_internal = is_internal

    @property
    def partition_count(self) -> int:
        """How many partitions the topic has."""
        return len(self.leaders)

    @classmethod
    def from_response(
        cls, topic: MetadataTopic, known: TopicMetadata | None, with_epochs: bool
    ) -> tuple[TopicMetadata, bool]:
        """A topic of a metadata response, checked against what was known.

        A partition whose epoch is older than the known one comes from a broker that lags behind: the known leader
        stays, unless the topic was made anew (another topic id).

        Args:
            topic: from the response, without a topic error.
            known: the same topic in the snapshot before.
            with_epochs: whether the response's epochs can be trusted (v9 and later).

        Returns:
            The topic, and whether the response says anything new about it.

        Raises:
            KafkaProtocolError: the partitions are not numbered from 0 on.
        """
        count = len(topic.partitions)
        made = cls(
            topic.name or "",
            array("i", [NO_LEADER]) * count,
            array("i", [UNKNOWN_EPOCH]) * count,
            topic.topic_id,
            topic.is_internal,
        )
        if sorted(partition.partition for partition in topic.partitions) != list(range(count)):
            raise KafkaProtocolError(f"metadata of topic {topic.name!r}: {count} partitions, not numbered from 0 on")
        recreated = known is not None and topic.topic_id not in (ZERO_UUID, known.topic_id)
        news = known is None or recreated
        for partition in topic.partitions:
            index, epoch = partition.partition, partition.leader_epoch if with_epochs else UNKNOWN_EPOCH
            last = UNKNOWN_EPOCH if known is None or index >= known.partition_count else known.leader_epochs[index]
            if known is not None and not recreated and UNKNOWN_EPOCH < epoch < last:
                made.leaders[index], made.leader_epochs[index] = known.leaders[index], last
            else:
                made.leaders[index], made.leader_epochs[index] = partition.leader, epoch
                news = news or epoch > last or epoch == UNKNOWN_EPOCH
        return made, news

    def without_epochs(self) -> TopicMetadata:
        """The same topic, ready to accept whatever the next response says."""
        epochs = array("i", [UNKNOWN_EPOCH]) * self.partition_count
        return TopicMetadata(self.name, self.leaders, epochs, self.topic_id, self.is_internal)

    def with_leaders(self, updates: Iterable[LeaderUpdate]) -> TopicMetadata:
        """The same topic with some leaders replaced."""
        leaders, epochs = self.leaders[:], self.leader_epochs[:]
        for update in sorted(updates, key=lambda update: update.leader_epoch):
            leaders[update.partition], epochs[update.partition] = update.leader, update.leader_epoch
        return TopicMetadata(self.name, leaders, epochs, self.topic_id, self.is_internal)


class ClusterSnapshot:
    """Brokers and topics at one moment. The methods partitioners use are named as kafka-python's cluster has them.

    Args:
        brokers: the brokers, by id.
        topics: topics without errors, by name.
        cluster_id: the cluster's id, None if unknown.
        controller_id: the controller's broker id, -1 if unknown.
        is_bootstrap: ``brokers`` are the configured bootstrap servers; nothing has been learnt yet.
    """

    __slots__ = ("_brokers", "_controller_id", "_topics", "cluster_id", "is_bootstrap")

    def __init__(
        self,
        brokers: Mapping[int, Broker],
        topics: Mapping[str, TopicMetadata],
        cluster_id: str | None = None,
        controller_id: int = -1,
        is_bootstrap: bool = False,
    ) -> None:
        self._brokers = brokers
        self._topics = topics
        self._controller_id = controller_id
        self.cluster_id = cluster_id
        self.is_bootstrap = is_bootstrap

    def topics(self, exclude_internal_topics: bool = True) -> set[str]:
        """Names of the topics known here."""
        return {name for name, topic in self._topics.items() if not (exclude_internal_topics and topic.is_internal)}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """All partitions of a topic; None if the topic is not known."""
        known = self._topics.get(topic)
        return None if known is None else set(range(known.partition_count))

    def available_partitions_for_topic(self, topic: str) -> set[int] | None:
        """The partitions of a topic whose leader is known; None if the topic is not known."""
        known = self._topics.get(topic)
        if known is None:
            return None
        return {partition for partition, leader in enumerate(known.leaders) if self._is_reachable(leader)}

    def leader_for_partition(self, partition: tuple[str, int]) -> int | None:
        """The leader's broker id of a (topic, partition); -1 without a leader, None if the partition is not known."""
        known = self._topics.get(partition[0])
        if known is None or not 0 <= partition[1] < known.partition_count:
            return None
        return known.leaders[partition[1]]

    def brokers(self) -> set[Broker]:
        """All brokers."""
        return set(self._brokers.values())

    def broker_metadata(self, broker_id: int) -> Broker | None:
        """The broker with this id."""
        return self._brokers.get(broker_id)

    def partitions_for_broker(self, broker_id: int) -> set[TopicPartition] | None:
        """The partitions this broker leads; None if it leads none."""
        led = {
            TopicPartition(topic.name, partition)
            for topic in self._topics.values()
            for partition, leader in enumerate(topic.leaders)
            if leader == broker_id
        }
        return led or None

    @property
    def controller(self) -> Broker | None:
        """The cluster's controller; bootstrap servers are not known to be it."""
        return self._brokers.get(self._controller_id) if self._controller_id >= 0 else None

    def topic(self, name: str) -> TopicMetadata | None:
        """Everything known about a topic."""
        return self._topics.get(name)

    def partition_count(self, topic: str) -> int:
        """How many partitions a topic has, 0 if it is not known."""
        known = self._topics.get(topic)
        return 0 if known is None else known.partition_count

    def reachable_leaders(self, topic: str) -> array[int] | None:
        """Per partition the leader's id, -1 if there is none or its address is not known; None without the topic."""
        known = self._topics.get(topic)
        if known is None:
            return None
        if all(leader == NO_LEADER or self._is_reachable(leader) for leader in set(known.leaders)):
            return known.leaders
        return array("i", [leader if self._is_reachable(leader) else NO_LEADER for leader in known.leaders])

    def _is_reachable(self, leader: int) -> bool:
        return leader >= 0 and leader in self._brokers  # -1 is also the id of a bootstrap server

    def changed_topics(self, before: ClusterSnapshot) -> set[str]:
        """Topics that came, went, or whose id, partitions or reachable leaders differ from ``before``."""
        names = self._topics.keys() | before._topics.keys()
        same_brokers = self._brokers.keys() == before._brokers.keys()
        return {
            name
            for name in names
            if not (same_brokers and self._topics.get(name) is before._topics.get(name))
            and self._route(name) != before._route(name)
        }

    def _route(self, name: str) -> tuple[object, ...] | None:
        topic = self._topics.get(name)
        return None if topic is None else (topic.topic_id, self.reachable_leaders(name), topic.leader_epochs)

    def replace(
        self,
        *,
        brokers: Mapping[int, Broker] | None = None,
        map_topic: Callable[[TopicMetadata], TopicMetadata] | None = None,
        is_bootstrap: bool = False,
    ) -> ClusterSnapshot:
        """A copy with other brokers or with each topic passed through ``map_topic``."""
        topics = self._topics if map_topic is None else {n: map_topic(topic) for n, topic in self._topics.items()}
        kept = self._brokers if brokers is None else brokers
        return ClusterSnapshot(kept, topics, self.cluster_id, self._controller_id, is_bootstrap)

    def topics_after(
        self, answered: Sequence[MetadataTopic], partial: bool, with_epochs: bool
    ) -> tuple[dict[str, TopicMetadata], bool]:
        """All topics after a metadata response, and whether it tells anything new.

        Args:
            answered: topics of the response.
            partial: topics it does not name stay as they are.
            with_epochs: whether the response's epochs can be trusted (v9 and later).

        Raises:
            KafkaProtocolError: partitions of a topic are not numbered from 0 on.
        """
        named = {topic.name for topic in answered}
        kept = self._topics.items() if partial else ()
        topics = {name: topic for name, topic in kept if name not in named}
        any_news = False
        for topic in answered:
            if topic.name is not None and topic.error_code == 0:
                known = self._topics.get(topic.name)
                topics[topic.name], news = TopicMetadata.from_response(topic, known, with_epochs)
                any_news = any_news or news
        return topics, any_news

    def with_leaders(self, updates: Iterable[LeaderUpdate], endpoints: Iterable[Broker]) -> ClusterSnapshot:
        """The snapshot after a produce response named new leaders (KIP-951).

        An update counts if it is complete, newer than what is known, of a known partition, and its leader's address is
        known here or among ``endpoints``. Without such an update this same snapshot is returned.
        """
        brokers = {**self._brokers, **{endpoint.node_id: endpoint for endpoint in endpoints}}
        by_topic: dict[str, list[LeaderUpdate]] = {}
        for update in updates:
            topic = self._topics.get(update.topic)
            if topic is None or not 0 <= update.partition < topic.partition_count or update.leader not in brokers:
                continue
            if update.leader >= 0 and update.leader_epoch > topic.leader_epochs[update.partition]:
                by_topic.setdefault(update.topic, []).append(update)
        if not by_topic:
            return self
        return self.replace(
            brokers=brokers,
            map_topic=lambda topic: topic.with_leaders(by_topic[topic.name]) if topic.name in by_topic else topic,
            is_bootstrap=self.is_bootstrap,
        )


class TopicRoute(NamedTuple):
    """Where a topic's records go: per partition a leader that can be reached (-1: none) and its epoch."""

    topic: str
    topic_id: bytes
    leaders: array[int]
    leader_epochs: array[int]


class MetadataChanges(NamedTuple):
    """What is different now.

    Attributes:
        routes: topics that are new or whose partitions, leaders, epochs or id changed.
        removed: topics about which nothing is known any more.
        brokers_changed: a broker came, went or moved.
        rebootstrap: the cluster asks to start over from the bootstrap servers (KIP-1102).
        error: why an answer counts as a failure; nothing has changed then.
    """

    routes: tuple[TopicRoute, ...] = ()
    removed: tuple[str, ...] = ()
    brokers_changed: bool = False
    rebootstrap: bool = False
    error: KafkaError | None = None


def changes_between(before: ClusterSnapshot, after: ClusterSnapshot) -> MetadataChanges:
    """What ``after`` has that ``before`` had not, and the other way round."""
    routes, removed = [], []
    for name in sorted(after.changed_topics(before)):
        topic, leaders = after.topic(name), after.reachable_leaders(name)
        if topic is None or leaders is None:
            removed.append(name)
        else:
            routes.append(TopicRoute(name, topic.topic_id, leaders, topic.leader_epochs))
    return MetadataChanges(tuple(routes), tuple(removed), after.brokers() != before.brokers())
