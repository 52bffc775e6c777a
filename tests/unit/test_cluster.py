# SPDX-License-Identifier: Apache-2.0
"""Snapshots of the cluster."""

from __future__ import annotations

import sys
import tracemalloc
from array import array

import pytest
from kafka.cluster import ClusterMetadata
from kafka.protocol.metadata import MetadataResponse as PeerResponse

from pykafka_fast.cluster import Broker, ClusterSnapshot, LeaderUpdate, TopicMetadata, changes_between
from pykafka_fast.errors import KafkaProtocolError
from pykafka_fast.protocol.metadata import MetadataBroker, MetadataPartition, MetadataResponse, MetadataTopic
from pykafka_fast.types import TopicPartition

IDS = [bytes([n]) * 16 for n in range(3)]
BROKERS = {1: Broker(1, "a", 9092), 2: Broker(2, "b", 9092, "rack")}


def topic(name: str, leaders: list[int], epochs: list[int] | None = None, topic_id: bytes = IDS[1]) -> TopicMetadata:
    return TopicMetadata(name, array("i", leaders), array("i", epochs or [0] * len(leaders)), topic_id)


def snapshot(*topics: TopicMetadata, brokers: dict[int, Broker] = BROKERS, controller: int = 1) -> ClusterSnapshot:
    return ClusterSnapshot(brokers, {it.name: it for it in topics}, "cluster", controller)


def answer(leaders: list[int], epochs: list[int] | None = None, topic_id: bytes = IDS[1]) -> MetadataTopic:
    parts = [MetadataPartition(i, leader, epochs[i] if epochs else -1) for i, leader in enumerate(leaders)]
    return MetadataTopic("t", tuple(reversed(parts)), 0, topic_id)


def test_what_partitioners_see_is_what_kafka_python_shows() -> None:
    """The same response in both; every question gets the same answer."""
    partitions = [MetadataPartition(i, leader) for i, leader in enumerate([1, 2, -1, 1])]
    response = MetadataResponse(
        (MetadataBroker(1, "a", 9092), MetadataBroker(2, "b", 9093, "rack")),
        (
            MetadataTopic("t", tuple(partitions), 0, IDS[1]),
            MetadataTopic("__internal", (MetadataPartition(0, 2),), 0, IDS[2], True),
        ),
        "cluster",
        2,
    )
    theirs = ClusterMetadata()
    theirs.update_metadata(PeerResponse.decode(response.encode(12), version=12))
    brokers = {it.node_id: Broker(it.node_id, it.host, it.port, it.rack) for it in response.brokers}
    topics = {it.name: TopicMetadata.from_response(it, None, True)[0] for it in response.topics if it.name}
    internal = topics["__internal"]
    assert internal.is_internal
    ours = ClusterSnapshot(brokers, topics, "cluster", 2)

    assert ours.topics() == theirs.topics() == {"t"}
    assert ours.topics(exclude_internal_topics=False) == theirs.topics(exclude_internal_topics=False)
    for name in ("t", "__internal", "unknown"):
        assert ours.partitions_for_topic(name) == theirs.partitions_for_topic(name)
        assert ours.available_partitions_for_topic(name) == theirs.available_partitions_for_topic(name)
    for partition in [TopicPartition("t", 0), TopicPartition("t", 1), TopicPartition("t", 2), TopicPartition("x", 0)]:
        assert ours.leader_for_partition(partition) == theirs.leader_for_partition(partition)
    assert {it.node_id for it in ours.brokers()} == {it.node_id for it in theirs.brokers()}
    for node_id in (1, 2, 3):
        mine, other = ours.broker_metadata(node_id), theirs.broker_metadata(node_id)
        assert (mine and tuple(mine)) == (other and (other.node_id, other.host, other.port, other.rack))
        led, their_led = ours.partitions_for_broker(node_id), theirs.partitions_for_broker(node_id)
        assert (led and {tuple(it) for it in led}) == (their_led and {tuple(it) for it in their_led})
    assert ours.controller is not None
    assert ours.controller.node_id == theirs.controller.node_id == 2
    assert ours.controller.nodeId == 2


def test_questions_about_what_is_not_there() -> None:
    empty = ClusterSnapshot({}, {})
    assert (empty.topics(), empty.brokers(), empty.controller, empty.topic("t")) == (set(), set(), None, None)
    assert (empty.partition_count("t"), empty.reachable_leaders("t")) == (0, None)
    one = snapshot(topic("t", [1]))
    assert one.leader_for_partition(("t", 1)) is None
    assert one.leader_for_partition(("t", -1)) is None


def test_a_leader_without_an_address_cannot_be_reached() -> None:
    it = snapshot(topic("t", [1, 7, -1, 2]))
    assert it.reachable_leaders("t") == array("i", [1, -1, -1, 2])
    assert it.available_partitions_for_topic("t") == {0, 3}
    assert it.leader_for_partition(("t", 1)) == 7


def test_a_bootstrap_server_is_nobodys_leader() -> None:
    it = snapshot(topic("t", [-1, -2]), brokers={-1: Broker(-1, "a", 1), -2: Broker(-2, "b", 1)})
    assert it.available_partitions_for_topic("t") == set()
    assert it.reachable_leaders("t") == array("i", [-1, -1])


class TestEpochs:
    def read(
        self,
        leaders: list[int],
        epochs: list[int],
        known: TopicMetadata | None,
        topic_id: bytes = IDS[1],
        new: bool = True,
    ) -> tuple[list[int], list[int], bool]:
        it, news = TopicMetadata.from_response(answer(leaders, epochs, topic_id), known, new)
        return list(it.leaders), list(it.leader_epochs), news

    def test_a_first_answer_is_taken(self) -> None:
        assert self.read([1, 2], [5, 0], None) == ([1, 2], [5, 0], True)

    def test_the_same_answer_is_no_news(self) -> None:
        assert self.read([1, 2], [5, 0], topic("t", [1, 2], [5, 0])) == ([1, 2], [5, 0], False)

    def test_a_newer_epoch_is_news(self) -> None:
        assert self.read([2, 2], [6, 0], topic("t", [1, 2], [5, 0])) == ([2, 2], [6, 0], True)

    def test_an_older_epoch_is_ignored(self) -> None:
        assert self.read([2, 1], [4, 3], topic("t", [1, 2], [5, 3])) == ([1, 1], [5, 3], False)

    def test_an_older_epoch_of_a_topic_made_anew_is_taken(self) -> None:
        assert self.read([2], [0], topic("t", [1], [9]), IDS[2]) == ([2], [0], True)

    def test_a_zero_topic_id_does_not_make_a_topic_new(self) -> None:
        assert self.read([2], [0], topic("t", [1], [9]), IDS[0]) == ([1], [9], False)

    def test_without_an_epoch_the_answer_is_taken_and_the_epoch_forgotten(self) -> None:
        assert self.read([-1], [-1], topic("t", [1], [9])) == ([-1], [-1], True)

    def test_epochs_before_v9_do_not_count(self) -> None:
        assert self.read([2], [3], topic("t", [1], [9]), new=False) == ([2], [-1], True)

    def test_more_and_fewer_partitions(self) -> None:
        assert self.read([1, 2], [5, 0], topic("t", [1], [5])) == ([1, 2], [5, 0], True)
        assert self.read([1], [5], topic("t", [1, 2], [5, 0])) == ([1], [5], False)


@pytest.mark.parametrize("indexes", [(1,), (0, 0), (0, 2), (-1, 0), (0, 0x7FFFFFFF)])
def test_partitions_with_holes_are_a_protocol_error(indexes: tuple[int, ...]) -> None:
    parts = tuple(MetadataPartition(index, 1) for index in indexes)
    with pytest.raises(KafkaProtocolError, match="'t'"):
        TopicMetadata.from_response(MetadataTopic("t", parts), None, True)


class TestLeaderUpdates:
    before = snapshot(topic("t", [1, 2], [5, 5]), topic("other", [1]))

    def test_of_a_snapshot_from_bootstrap_servers_it_stays_one(self) -> None:
        before = ClusterSnapshot({-1: Broker(-1, "a", 1)}, {"t": topic("t", [1], [5])}, is_bootstrap=True)
        assert before.with_leaders([LeaderUpdate("t", 0, 1, 6)], [Broker(1, "b", 1)]).is_bootstrap
        assert not self.before.with_leaders([LeaderUpdate("t", 1, 1, 6)], []).is_bootstrap

    def test_a_newer_leader_replaces_the_known_one(self) -> None:
        after = self.before.with_leaders([LeaderUpdate("t", 1, 1, 6)], [])
        assert after.leader_for_partition(("t", 1)) == 1
        moved = after.topic("t")
        assert moved is not None
        assert moved.leader_epochs == array("i", [5, 6])
        assert self.before.leader_for_partition(("t", 1)) == 2
        assert after.topic("other") is self.before.topic("other")
        assert [route.topic for route in changes_between(self.before, after).routes] == ["t"]

    def test_an_endpoint_brings_a_broker_and_replaces_an_address(self) -> None:
        after = self.before.with_leaders([LeaderUpdate("t", 0, 3, 9)], [Broker(3, "c", 1), Broker(2, "elsewhere", 2)])
        assert after.leader_for_partition(("t", 0)) == 3
        assert after.broker_metadata(3) == Broker(3, "c", 1)
        assert after.broker_metadata(2) == Broker(2, "elsewhere", 2)
        assert changes_between(self.before, after).brokers_changed

    def test_the_newest_of_several_counts(self) -> None:
        updates = [LeaderUpdate("t", 0, 2, 9), LeaderUpdate("t", 0, 1, 8)]
        assert self.before.with_leaders(updates, []).leader_for_partition(("t", 0)) == 2

    @pytest.mark.parametrize(
        "update",
        [
            LeaderUpdate("t", 0, 2, 5),
            LeaderUpdate("t", 0, 2, 4),
            LeaderUpdate("t", 0, 2, -1),
            LeaderUpdate("t", 0, -1, 9),
            LeaderUpdate("t", 0, 7, 9),
            LeaderUpdate("t", 2, 1, 9),
            LeaderUpdate("t", -1, 1, 9),
            LeaderUpdate("unknown", 0, 1, 9),
        ],
    )
    def test_others_are_ignored(self, update: LeaderUpdate) -> None:
        assert self.before.with_leaders([update], [Broker(9, "z", 1)]) is self.before


class TestChanges:
    def test_nothing(self) -> None:
        changes = changes_between(snapshot(topic("t", [1])), snapshot(topic("t", [1])))
        assert changes == ((), (), False, False, None)

    def test_a_topic_comes_and_goes(self) -> None:
        without, having = snapshot(), snapshot(topic("t", [1, 2], [3, 4]))
        (route,) = changes_between(without, having).routes
        assert route == ("t", IDS[1], array("i", [1, 2]), array("i", [3, 4]))
        assert changes_between(having, without).removed == ("t",)

    @pytest.mark.parametrize(
        "after",
        [
            topic("t", [2, 2]),
            topic("t", [1]),
            topic("t", [1, 2, 2]),
            topic("t", [1, 2], [0, 1]),
            topic("t", [1, 2], topic_id=IDS[2]),
        ],
    )
    def test_a_topic_changes(self, after: TopicMetadata) -> None:
        assert len(changes_between(snapshot(topic("t", [1, 2])), snapshot(after)).routes) == 1

    def test_a_leaders_address_appears(self) -> None:
        same = topic("t", [1, 7])
        before, after = snapshot(same), snapshot(same, brokers={**BROKERS, 7: Broker(7, "g", 1)})
        changes = changes_between(before, after)
        assert changes.routes[0].leaders == array("i", [1, 7])
        assert changes.brokers_changed

    def test_a_broker_moves(self) -> None:
        after = snapshot(topic("t", [1]), brokers={**BROKERS, 1: Broker(1, "moved", 1)})
        changes = changes_between(snapshot(topic("t", [1])), after)
        assert changes.brokers_changed
        assert changes.routes == ()


def test_ten_thousand_partitions_take_few_bytes_each() -> None:
    response = answer([i % 3 for i in range(10_000)], [5] * 10_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    it, _ = TopicMetadata.from_response(response, None, True)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used < 10 * 10_000
    assert sys.getsizeof(it.leaders) + sys.getsizeof(it.leader_epochs) < 10 * 10_000
