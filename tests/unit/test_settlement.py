# SPDX-License-Identifier: Apache-2.0
"""One decision per batch, carried out: what the wire is told."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from pykafka_fast._core.wire import EventKind
from pykafka_fast.cluster import Broker
from tests.unit.sending import FakeBatch, FakeEvent, World, metadata, parked, topic

Make = Callable[..., World]


@pytest.fixture
def world(make_world: Make) -> World:
    """A producer that knows a topic."""
    world = make_world(retries=2)
    world.boot(topic("t", (1, 2), epoch=5))
    world.take()
    return world


def told(world: World, event: FakeEvent) -> tuple[object, ...]:
    """The one command that settles the event's batch."""
    world.tell(event)
    (call,) = [call for call in world.take() if event.batch in call]
    return call


def test_sent_again_after_the_back_off(world: World) -> None:
    batch = FakeBatch()
    assert told(world, parked(19, batch, text="2 of 3")) == (
        "requeue", batch,
        {"delay_ms": 100, "in_doubt": False, "refused": False, "text": "NOT_ENOUGH_REPLICAS: 2 of 3"},
    )  # fmt: skip


def test_no_refresh_without_reason(world: World) -> None:
    world.tell(parked(19))
    world.advance(200)
    assert not [it for it in world.open() if it.requests]
    world.tell(parked(3))
    world.advance(200)
    assert len(world.control().requests) == 1


@pytest.mark.parametrize("code", [7, 13])
@pytest.mark.parametrize(("answered", "in_doubt"), [(True, False), (True, True), (False, False), (False, True)])
def test_doubt(world: World, code: int, answered: bool, in_doubt: bool) -> None:
    """An answer leaves doubt; without one it depends on whether the request had left whole, which is ``in_doubt``."""
    doubt = answered or in_doubt
    call = told(world, parked(code, FakeBatch(), in_doubt=in_doubt, answered=answered))
    assert call[2]["in_doubt"] is doubt  # type: ignore[index]


def test_retries_used_up(world: World) -> None:
    batch = FakeBatch(attempts=2)
    assert told(world, parked(7, batch, text="slow")) == ("fail", batch, 7, "slow", True, [])


@pytest.mark.parametrize("code", [31, 35, 53, 90])
def test_whoever_learns_of_a_fatal_error_finds_the_producer_ended(world: World, code: int) -> None:
    closed_when_told: list[bool] = []
    fail = world.wire.fail

    def note(*args: object) -> None:
        closed_when_told.append(world.accumulator.closed and world.sender.fatal is not None)
        fail(*args)

    world.wire.fail = note  # type: ignore[attr-defined]
    world.tell(parked(code))
    assert closed_when_told == [True]


def test_expired_while_it_was_away(world: World) -> None:
    batch = FakeBatch(age_ms=120_000)
    assert told(world, parked(7, batch))[:3] == ("fail", batch, 7)


def test_a_duplicate_is_a_success(world: World) -> None:
    batch = FakeBatch()
    assert told(world, parked(46, batch, offset=17)) == ("complete", batch, 17)


def test_a_batch_behind_another_waits_for_nothing_else(world: World) -> None:
    call = told(world, parked(45, FakeBatch(), first=False))
    assert call[2] == {
        "delay_ms": 0,
        "in_doubt": False,
        "refused": False,
        "text": "OUT_OF_ORDER_SEQUENCE_NUMBER",
    }


def test_a_useless_sequence_is_said_to_be_so(world: World) -> None:
    first = told(world, parked(45, FakeBatch()))
    assert (first[2]["refused"], first[2]["delay_ms"]) == (True, 0)  # type: ignore[index]
    again = told(world, parked(45, FakeBatch(attempts=1)))
    assert (again[2]["refused"], again[2]["delay_ms"]) == (True, 100)  # type: ignore[index]


def test_plain_producers_fail_on_sequences(world: World) -> None:
    batch = FakeBatch(sequence=-1)
    assert told(world, parked(45, batch))[:3] == ("fail", batch, 45)


class TestRetriesInTheLog:
    def test_once_per_topic_and_error_in_ten_seconds(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING)
        for attempts in range(11):
            world.tell(parked(19, FakeBatch(attempts=attempts % 2), text="2 of 3"), parked(19, FakeBatch("u")))
            world.clock.advance_ms(1000)
        world.tell(parked(7, FakeBatch(count=3)))
        assert [record.getMessage() for record in caplog.records] == [
            "t-0: 10 records are sent again: NOT_ENOUGH_REPLICAS: 2 of 3",
            "u-0: 10 records are sent again: NOT_ENOUGH_REPLICAS",
            "t-0: 10 records are sent again: NOT_ENOUGH_REPLICAS: 2 of 3 (and 9 times since the last warning)",
            "u-0: 10 records are sent again: NOT_ENOUGH_REPLICAS (and 9 times since the last warning)",
            "t-0: 3 records are sent again: REQUEST_TIMED_OUT",
        ]

    def test_not_what_follows_from_something_else(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """A lost connection has a warning of its own; a batch behind another is refused because that one was; the
        error of a record that fails is in its future."""
        caplog.set_level(logging.WARNING)
        world.tell(
            parked(13, answered=False), parked(45, first=False), parked(2, FakeBatch(attempts=2)),
            parked(6, FakeBatch(), leader=2, leader_epoch=6),
        )  # fmt: skip
        assert caplog.records == []


class TestTooLarge:
    def test_split_and_the_topic_remembers(self, world: World) -> None:
        batch = FakeBatch(size=200_000)
        world.tell(parked(10, batch, text="too large"))
        ceiling, split = world.take()
        assert ceiling[:2] == ("set_batch_ceiling", "t")
        assert split == ("split", batch, ceiling[2], 10, "too large")
        assert 100_000 < ceiling[2] < 110_000

    def test_batches_from_before_are_split_to_the_size_learnt(self, world: World) -> None:
        world.tell(parked(10, FakeBatch(size=200_000)))
        size = world.take()[0][2]
        older = FakeBatch(size=300_000)
        world.tell(parked(10, older))
        assert world.take() == [("split", older, size, 10, None)]
        world.tell(parked(10, FakeBatch(size=size - 1, is_split=True)))
        (ceiling, split) = world.take()
        assert ceiling[2] == split[2] < size * 0.6

    def test_the_topic_is_given_another_chance_later(self, world: World) -> None:
        world.tell(parked(10, FakeBatch(size=200_000)))
        learnt = world.take()[0][2]
        ceilings = []
        for _ in range(5):
            world.clock.advance_ms(300_000)
            world.metadata.request_update()
            world.advance()
            if not world.open()[-1].requests:  # it was idle for so long
                world.open()[-1].become_ready()
                world.advance()
            world.control().answer(metadata(topic("t", (1, 2), epoch=5)))
            ceilings += [call[2] for call in world.take() if call[0] == "set_batch_ceiling"]
        assert ceilings == [learnt * 2, min(learnt * 4, 262_144)]

    def test_one_record_fails(self, world: World) -> None:
        batch = FakeBatch(size=200_000, count=1)
        world.tell(parked(10, batch))
        assert [call[0] for call in world.take()] == ["fail"]


class TestRecordErrors:
    def test_one_guilty_record_keeps_the_code(self, world: World) -> None:
        batch = FakeBatch()
        call = told(world, parked(32, batch, text="all", record_errors=[(3, "too old")]))
        assert call == ("fail", batch, 32, "all", False, [(3, "too old")])

    def test_several_are_invalid_records(self, world: World) -> None:
        batch = FakeBatch()
        call = told(world, parked(32, batch, record_errors=[(3, "too old"), (4, None)]))
        assert call[2] == 87


class TestMovedLeaders:
    """KIP-951."""

    @pytest.mark.parametrize("code", [6, 74])
    def test_a_newer_leader_is_tried_at_once(self, world: World, code: int) -> None:
        batch = FakeBatch()
        world.tell(parked(code, batch, leader=2, leader_epoch=6))
        *routes, requeue = world.take()
        assert routes == [("set_route", "t", [2, 2]), ("set_leaders", "t", [2, 2], [6, 5])]
        assert requeue[2]["delay_ms"] == 0
        assert world.metadata.snapshot.leader_for_partition(("t", 0)) == 2

    def test_on_a_node_nobody_knew(self, world: World) -> None:
        node = FakeEvent(EventKind.NODE, node=9, text="host9", code=9099)
        world.tell(node, parked(6, FakeBatch(), leader=9, leader_epoch=6))
        assert ("set_leaders", "t", [9, 2], [6, 5]) in world.take()
        world.tell(FakeEvent(EventKind.NEED_CONNECTION, node=9))
        assert [(it.host, it.port) for it in world.open("host9")] == [("host9", 9099)]

    def test_on_a_node_whose_address_is_not_said(self, world: World) -> None:
        call = told(world, parked(6, FakeBatch(), leader=9, leader_epoch=6))
        assert call[2]["delay_ms"] == 100  # type: ignore[index]

    def test_an_address_told_before_the_last_metadata_is_not_used(self, world: World) -> None:
        world.tell(FakeEvent(EventKind.NODE, node=2, text="old-host", code=9092))
        world.metadata.request_update()
        world.advance(200)
        world.control().answer(metadata(topic("t", (1, 2), epoch=5)))
        world.tell(parked(6, FakeBatch(), leader=2, leader_epoch=6))
        world.connect(2)
        assert world.open("old-host") == []
        assert world.metadata.snapshot.broker_metadata(2) == Broker(2, "host2", 9092)

    @pytest.mark.parametrize("hint", [(-1, -1), (2, -1), (2, 4)])
    def test_nothing_newer_waits(self, world: World, hint: tuple[int, int]) -> None:
        call = told(world, parked(6, FakeBatch(), leader=hint[0], leader_epoch=hint[1]))
        assert call[2]["delay_ms"] == 100  # type: ignore[index]
        assert world.metadata.snapshot.leader_for_partition(("t", 0)) == 1

    def test_the_same_news_for_several_batches(self, world: World) -> None:
        hint = {"leader": 2, "leader_epoch": 6}
        world.tell(*(parked(6, FakeBatch(sequence=-1), **hint) for _ in range(3)))
        delays = [call[2]["delay_ms"] for call in world.take() if call[0] == "requeue"]
        assert delays == [0, 0, 0]

    def test_two_brokers_that_send_us_to_and_fro(self, world: World) -> None:
        hint = {"leader": 2, "leader_epoch": 6}
        world.tell(parked(6, FakeBatch(sequence=-1), **hint))
        world.take()
        call = told(world, parked(6, FakeBatch(sequence=-1, attempts=1), **hint))
        assert call[2]["delay_ms"] == 100  # type: ignore[index]

    def test_a_refresh_is_asked_for_beside_it(self, world: World) -> None:
        world.tell(parked(6, FakeBatch(), leader=2, leader_epoch=6))
        world.advance(200)
        world.control().answer(metadata(topic("t", (2, 2), epoch=6)))
