# SPDX-License-Identifier: Apache-2.0
"""When metadata is asked for and what the answers change. Time stands still; see test_metadata_wait for waiting."""

from __future__ import annotations

from array import array

import pytest

from pykafka_fast.cluster import Broker, LeaderUpdate
from pykafka_fast.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaProtocolError,
    MetadataEmptyBrokerList,
)
from pykafka_fast.metadata import NEVER, MetadataCache, MetadataChanges
from pykafka_fast.protocol.metadata import MetadataBroker, MetadataPartition, MetadataResponse, MetadataTopic

MS = 1_000_000
T0 = 7_000 * MS
BROKERS = (MetadataBroker(1, "a", 9092), MetadataBroker(2, "b", 9092))


def backoff_ns(failures: int) -> int:
    """100 ms, 200 ms, ... 1 s, without jitter."""
    return min(1000, 100 << min(failures, 9)) * MS


def make(**kwargs: object) -> MetadataCache:
    return MetadataCache([("boot", 1), ("boot", 2)], backoff_ns=backoff_ns, **kwargs)  # type: ignore[arg-type]


def found(name: str, leaders: tuple[int, ...] = (1, 2), epoch: int = 0, error: int = 0) -> MetadataTopic:
    partitions = tuple(MetadataPartition(i, leader, epoch, error) for i, leader in enumerate(leaders))
    return MetadataTopic(name, partitions, 0, bytes(15) + b"\1")


def missing(name: str, error: int = 3) -> MetadataTopic:
    return MetadataTopic(name, (), error)


def response(*topics: MetadataTopic, version: int = 12, error_code: int = 0) -> MetadataResponse:
    return MetadataResponse(BROKERS, topics, "cluster", 1, 0, error_code, version)


def known(*names: str, now_ns: int = T0, **kwargs: object) -> MetadataCache:
    """A cache that has just learnt about some topics."""
    cache = make(**kwargs)
    for name in names:
        cache.add_topic(name, now_ns)
    assert cache.build_request(now_ns) == tuple(sorted(names))
    cache.on_response(response(*map(found, names)), now_ns)
    return cache


class TestStart:
    def test_nothing_is_asked_before_somebody_wants_to_know(self) -> None:
        cache = make()
        assert cache.time_to_next_update(T0) == NEVER
        assert cache.build_request(T0) is None
        assert cache.snapshot.is_bootstrap
        assert cache.snapshot.brokers() == {Broker(-1, "boot", 1), Broker(-2, "boot", 2)}

    def test_a_topic_makes_a_request_due(self) -> None:
        cache = make()
        assert cache.add_topic("t", T0)
        assert not cache.add_topic("t", T0)
        assert cache.time_to_next_update(T0) == 0
        assert cache.build_request(T0) == ("t",)

    def test_an_update_can_be_had_without_topics(self) -> None:
        cache = make()
        assert cache.request_update() == 0
        assert cache.build_request(T0) == ()

    def test_the_first_answer(self) -> None:
        cache = make()
        cache.add_topic("t", T0)
        cache.build_request(T0)
        changes = cache.on_response(response(found("t", (1, -1), 4)), T0 + 5)
        (route,) = changes.routes
        assert (route.topic, route.leaders, route.leader_epochs) == ("t", array("i", [1, -1]), array("i", [4, 4]))
        assert (changes.removed, changes.brokers_changed, changes.error) == ((), True, None)
        assert not cache.snapshot.is_bootstrap
        assert cache.snapshot.cluster_id == "cluster"
        assert (cache.update_version, cache.last_success_ns) == (1, T0 + 5)


class TestPace:
    def test_one_request_at_a_time(self) -> None:
        cache = make()
        cache.add_topic("t", T0)
        cache.build_request(T0)
        cache.add_topic("u", T0)
        assert cache.time_to_next_update(T0) == NEVER
        assert cache.build_request(T0) is None

    def test_a_fresh_snapshot_is_refreshed_at_its_maximum_age(self) -> None:
        cache = known("t", max_age_ms=5_000)
        assert cache.time_to_next_update(T0) == 5_000 * MS
        assert cache.time_to_next_update(T0 + 4_999 * MS) == MS
        assert cache.build_request(T0 + 4_999 * MS) is None
        assert cache.build_request(T0 + 5_000 * MS) == ("t",)

    def test_an_update_waits_for_the_shortest_back_off_after_an_answer(self) -> None:
        cache = known("t")
        cache.request_update()
        assert cache.time_to_next_update(T0) == 100 * MS
        assert cache.time_to_next_update(T0 + 150 * MS) == 0

    def test_a_new_topic_does_not_wait(self) -> None:
        cache = known("t")
        cache.add_topic("new", T0 + 1)
        assert cache.time_to_next_update(T0 + 1) == 0

    def test_failures_back_off_exponentially(self) -> None:
        cache = make()
        cache.add_topic("t", T0)
        now, waits = T0, []
        for _ in range(6):
            assert cache.build_request(now) == ("t",)
            cache.on_failure(now)
            waits.append(cache.time_to_next_update(now) // MS)
            now += cache.time_to_next_update(now)
        assert waits == [100, 200, 400, 800, 1000, 1000]
        cache.build_request(now)
        cache.on_response(response(found("t")), now)
        cache.request_update()
        assert cache.time_to_next_update(now) == 100 * MS

    def test_a_topic_that_is_new_already_does_not_cut_the_back_off_short(self) -> None:
        cache = make()
        cache.add_topic("t", T0)
        cache.build_request(T0)
        cache.on_failure(T0)
        cache.add_topic("t", T0)
        assert cache.time_to_next_update(T0) == 100 * MS

    def test_answers_without_news_back_off_too(self) -> None:
        cache = known("t")
        now, waits = T0, []
        for _ in range(6):
            cache.request_update()
            now += cache.time_to_next_update(now)
            assert cache.build_request(now) == ("t",)
            cache.on_response(response(found("t")), now)
            cache.request_update()
            waits.append(cache.time_to_next_update(now) // MS)
        assert waits == [100, 200, 400, 800, 1000, 1000]
        cache.request_update(reset_equivalent=True)
        assert cache.time_to_next_update(now) == 100 * MS

    @pytest.mark.parametrize(
        "news", [response(found("t", epoch=1)), response(found("t"), version=8), response(found("t", (1, 2, 1)))]
    )
    def test_news_end_that_back_off(self, news: MetadataResponse) -> None:
        cache = known("t")
        now = T0
        for answer in [response(found("t"))] * 4 + [news]:
            cache.request_update()
            now += cache.time_to_next_update(now)
            cache.build_request(now)
            cache.on_response(answer, now)
        cache.request_update()
        assert cache.time_to_next_update(now) == 100 * MS

    def test_a_periodic_refresh_does_not_wait_for_it(self) -> None:
        cache = known("t", max_age_ms=100)
        now = T0
        for _ in range(5):
            cache.build_request(now + 100 * MS)
            now += 100 * MS
            cache.on_response(response(found("t")), now)
        assert cache.time_to_next_update(now + 100 * MS) == 0

    def test_after_close_nothing_is_due(self) -> None:
        cache = known("t")
        cache.add_topic("new", T0)
        cache.close()
        assert cache.time_to_next_update(T0) == NEVER
        assert cache.build_request(T0) is None


class TestWhichTopics:
    def test_a_new_topic_is_asked_for_alone(self) -> None:
        cache = known("t")
        cache.add_topic("new", T0)
        assert cache.build_request(T0) == ("new",)
        changes = cache.on_response(response(found("new")), T0 + 1)
        assert [route.topic for route in changes.routes] == ["new"]
        assert changes.removed == ()
        assert cache.snapshot.topics() == {"t", "new"}
        assert cache.last_success_ns == T0  # the others are as old as before

    def test_a_full_update_wins(self) -> None:
        cache = known("t")
        cache.add_topic("new", T0)
        cache.request_update()
        assert cache.build_request(T0) == ("new", "t")

    def test_an_aged_snapshot_is_refreshed_in_full(self) -> None:
        cache = known("t", max_age_ms=1000)
        cache.add_topic("new", T0 + 1000 * MS)
        assert cache.build_request(T0 + 1000 * MS) == ("new", "t")

    def test_a_topic_added_meanwhile_is_asked_for_next(self) -> None:
        cache = known("t")
        cache.add_topic("one", T0)
        cache.build_request(T0)
        cache.add_topic("two", T0)
        cache.on_response(response(found("one")), T0)
        assert cache.build_request(T0 + 100 * MS) == ("two",)

    def test_an_update_wanted_meanwhile_is_not_forgotten(self) -> None:
        cache = known("t")
        cache.request_update()
        cache.build_request(T0 + 100 * MS)
        cache.request_update()
        cache.on_response(response(found("t")), T0 + 101 * MS)
        assert cache.time_to_next_update(T0 + 101 * MS) == 100 * MS

    def test_an_answer_to_a_new_topic_leaves_a_full_update_wanted(self) -> None:
        cache = known("t")
        cache.add_topic("new", T0)
        cache.build_request(T0)
        cache.request_update()
        cache.on_response(response(found("new")), T0)
        assert cache.build_request(T0 + 100 * MS) == ("new", "t")

    @pytest.mark.parametrize("error", [3, 5])
    def test_a_topic_that_is_not_there_yet_is_asked_for_again_in_full(self, error: int) -> None:
        cache = known("t")
        cache.add_topic("new", T0)
        cache.build_request(T0)
        changes = cache.on_response(response(missing("new", error)), T0)
        assert changes.routes == ()
        assert cache.time_to_next_update(T0) == 100 * MS
        assert cache.build_request(T0 + 100 * MS) == ("new", "t")

    @pytest.mark.parametrize("error", [17, 29])
    def test_a_topic_that_never_will_be_is_not(self, error: int) -> None:
        cache = known("t")
        cache.add_topic("new", T0)
        cache.build_request(T0)
        cache.on_response(response(missing("new", error)), T0)
        assert cache.time_to_next_update(T0) == 300_000 * MS

    def test_a_partition_error_asks_again(self) -> None:
        cache = make()
        cache.add_topic("t", T0)
        cache.build_request(T0)
        cache.on_response(response(found("t", (1, -1), error=5)), T0)
        assert cache.time_to_next_update(T0) == 100 * MS
        assert cache.snapshot.partition_count("t") == 2

    def test_a_topic_that_goes_away(self) -> None:
        cache = known("t", "u")
        cache.request_update()
        cache.build_request(T0 + 100 * MS)
        changes = cache.on_response(response(found("u"), missing("t")), T0 + 100 * MS)
        assert changes.removed == ("t",)
        assert cache.snapshot.topics() == {"u"}


class TestIdleTopics:
    def refreshed(self, cache: MetadataCache, now_ns: int, *topics: MetadataTopic) -> MetadataChanges:
        cache.request_update()
        cache.build_request(now_ns)
        return cache.on_response(response(*topics), now_ns)

    def test_a_topic_nobody_uses_is_dropped_by_the_next_update(self) -> None:
        cache = known("t", "u", max_idle_ms=5_000)
        later = T0 + 5_000 * MS
        cache.add_topic("u", later - 1)
        assert self.refreshed(cache, later, found("t"), found("u")).removed == ("t",)
        cache.request_update()
        assert cache.build_request(later + 1000 * MS) == ("u",)
        assert cache.add_topic("t", later)

    def test_a_topic_used_without_coming_by_here_is_kept(self) -> None:
        used = {"t": T0 + 4_000 * MS, "u": None}
        cache = known("t", "u", max_idle_ms=5_000, last_used_ns=used.get)
        assert self.refreshed(cache, T0 + 5_000 * MS, found("t"), found("u")).removed == ("u",)
        assert self.refreshed(cache, T0 + 8_999 * MS, found("t")).removed == ()
        assert self.refreshed(cache, T0 + 9_000 * MS, found("t")).removed == ("t",)

    def test_a_topic_without_an_answer_is_kept(self) -> None:
        cache = known("t", max_idle_ms=1)
        cache.add_topic("new", T0)
        cache.build_request(T0)
        cache.on_response(response(), T0 + 500 * MS)
        cache.request_update()
        assert cache.build_request(T0 + 700 * MS) == ("new",)  # and t is gone


class TestRefusedAnswers:
    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (MetadataResponse((), (found("t", (2, 2), 9),)), MetadataEmptyBrokerList),
            (response(found("t"), error_code=31), ClusterAuthorizationFailedError),
            (response(MetadataTopic("t", (MetadataPartition(5, 1, 0),))), KafkaProtocolError),
        ],
    )
    def test_they_count_as_failures_and_change_nothing(self, answer: MetadataResponse, error: type) -> None:
        cache = known("t")
        before = cache.snapshot
        for expected in (100, 200, 400):
            cache.request_update()
            assert cache.build_request(T0 + 1000 * MS) == ("t",)
            changes = cache.on_response(answer, T0)
            assert isinstance(changes.error, error)
            assert cache.time_to_next_update(T0) == expected * MS
        assert cache.snapshot is before
        assert cache.update_version == 1


class TestLeaderUpdates:
    def test_a_produce_response_moves_a_leader(self) -> None:
        cache = known("t")
        changes = cache.update_leaders([LeaderUpdate("t", 0, 3, 5)], [Broker(3, "c", 1)])
        assert changes.routes[0].leaders == array("i", [3, 2])
        assert cache.snapshot.leader_for_partition(("t", 0)) == 3
        assert cache.update_leaders([LeaderUpdate("t", 0, 2, 4)], []) == MetadataChanges()

    def test_a_broker_that_lags_behind_does_not_move_it_back(self) -> None:
        cache = known("t")
        cache.update_leaders([LeaderUpdate("t", 0, 2, 5)], [])
        cache.request_update()
        cache.build_request(T0 + 100 * MS)
        assert cache.on_response(response(found("t")), T0 + 100 * MS).routes == ()
        assert cache.snapshot.leader_for_partition(("t", 0)) == 2


class TestRebootstrap:
    def test_when_no_node_is_left(self) -> None:
        cache = known("t")
        assert not cache.rebootstrap_due(T0, no_node_available=False)
        assert cache.rebootstrap_due(T0, no_node_available=True)
        assert not known("t", rebootstrap_enabled=False).rebootstrap_due(T0, no_node_available=True)
        assert not make().rebootstrap_due(T0, no_node_available=True)

    def test_when_no_answer_comes_for_too_long(self) -> None:
        cache = known("t", rebootstrap_trigger_ms=10_000)
        cache.request_update()
        now = T0 + 100 * MS
        cache.build_request(now)
        cache.on_failure(now)
        assert not cache.rebootstrap_due(now + 9_999 * MS, no_node_available=False)
        assert cache.rebootstrap_due(now + 10_000 * MS, no_node_available=False)
        cache.rebootstrap(now + 10_000 * MS)
        assert not cache.rebootstrap_due(now + 10_001 * MS, no_node_available=True)
        assert cache.rebootstrap_due(now + 20_000 * MS, no_node_available=False)

    def test_an_answer_ends_the_count(self) -> None:
        cache = known("t", rebootstrap_trigger_ms=10_000)
        cache.request_update()
        cache.build_request(T0 + 100 * MS)
        cache.on_response(response(found("t")), T0 + 9_000 * MS)
        assert not cache.rebootstrap_due(T0 + 20_000 * MS, no_node_available=False)

    def test_a_request_that_is_due_and_finds_no_node_counts(self) -> None:
        cache = make(rebootstrap_trigger_ms=10_000)
        cache.add_topic("t", T0)
        assert not cache.rebootstrap_due(T0, no_node_available=True)
        assert cache.rebootstrap_due(T0 + 10_000 * MS, no_node_available=True)

    def test_when_the_cluster_says_so(self) -> None:
        cache = known("t")
        cache.request_update()
        cache.build_request(T0 + 100 * MS)
        assert cache.on_response(response(error_code=129), T0 + 100 * MS).rebootstrap
        kept = known("t", rebootstrap_enabled=False)
        assert kept.on_response(response(error_code=129), T0).error is not None

    def test_what_is_kept_and_what_is_forgotten(self) -> None:
        cache = known("t")
        changes = cache.rebootstrap(T0 + 1)
        assert changes.routes[0].leaders == array("i", [-1, -1])
        assert changes.brokers_changed
        assert cache.snapshot.is_bootstrap
        assert cache.snapshot.partition_count("t") == 2
        assert {it.node_id for it in cache.snapshot.brokers()} == {-1, -2}
        assert cache.build_request(T0 + 1) == ("t",)
        after = cache.on_response(response(found("t", (2, 1), epoch=0)), T0 + 2)
        assert after.routes[0].leaders == array("i", [2, 1])

    def test_the_epochs_of_another_cluster_are_accepted(self) -> None:
        cache = make()
        cache.add_topic("t", T0)
        cache.build_request(T0)
        cache.on_response(response(found("t", (1, 2), epoch=50)), T0)
        cache.rebootstrap(T0)
        cache.build_request(T0)
        cache.on_response(response(found("t", (2, 2), epoch=1)), T0)
        assert cache.snapshot.reachable_leaders("t") == array("i", [2, 2])


def test_errors_of_servers_that_are_gone_are_forgotten() -> None:
    cache = known("t")
    for address in ("boot:1", "a:9092", "gone:9092"):
        cache.note_connection_error(address, KafkaConnectionError("lost"))
    cache.request_update()
    cache.build_request(T0 + 100 * MS)
    cache.on_response(response(found("t")), T0 + 100 * MS)
    assert cache._connection_errors == {"boot:1": "boot:1: lost", "a:9092": "a:9092: lost"}
