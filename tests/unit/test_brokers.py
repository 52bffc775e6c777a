# SPDX-License-Identifier: Apache-2.0
"""Which broker is tried when, through the sender; connections, names and time are scripted."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from pykafka_fast._core.wire import EventKind
from pykafka_fast.net.connection import ConnectionState
from pykafka_fast.protocol.api import ApiKey
from tests.unit.sending import MS, FakeConnection, FakeEvent, World, metadata, topic

Make = Callable[..., World]
NEED, LOST = EventKind.NEED_CONNECTION, EventKind.CONNECTION_LOST


def hosts(world: World) -> list[str]:
    return [it.host for it in world.open()]


def wanting(world: World) -> World:
    """Metadata is due."""
    world.metadata.add_topic("t", world.clock())
    return world


class TestBootstrap:
    def test_all_servers_get_their_turn_one_a_second(self, make_world: Make) -> None:
        world = wanting(make_world(bootstrap_servers=["a:1", "b:2", "c:3"]))
        assert world.advance() == pytest.approx(1.0)
        for count in (1, 2, 3):
            assert len(world.open()) == count
            world.advance(999)
            assert len(world.open()) == count
            world.advance(1)
        assert sorted(hosts(world)) == ["a", "b", "c"]
        # Now it is up to them, until it is time to start over.
        assert world.advance() == pytest.approx(300.0 - 3.0)

    def test_the_first_that_answers_serves(self, make_world: Make) -> None:
        world = wanting(make_world(bootstrap_servers=["a:1", "b:2"]))
        world.advance()
        world.advance(1000)
        second = world.open()[1]
        second.become_ready()
        assert world.open() == [second]
        world.advance()
        assert [api for api, _, _ in second.requests] == [ApiKey.METADATA]

    def test_a_refusal_moves_on_at_once(self, make_world: Make) -> None:
        world = wanting(make_world(bootstrap_servers=["a:1", "b:2"]))
        world.advance()
        (first,) = hosts(world)
        world.open()[0].break_off(tcp_connected=False)
        world.advance(1)
        (second,) = hosts(world)
        assert {first, second} == {"a", "b"}
        world.open()[0].break_off(tcp_connected=False)
        assert world.advance() == pytest.approx(0.049)
        world.advance(49)
        assert hosts(world) == [first]

    def test_names_that_cannot_be_resolved(self, make_world: Make) -> None:
        world = wanting(make_world(bootstrap_servers=["a:1", "b:2"]))
        world.resolver.unknown = {"a"}
        world.advance()
        world.advance()
        assert hosts(world) == ["b"]

    def test_nobody_there_is_no_busy_loop(self, make_world: Make) -> None:
        world = wanting(make_world(bootstrap_servers=["a:1", "b:2"]))
        world.resolver.unknown = {"a", "b"}
        world.advance()
        world.advance()
        for _ in range(20):
            sleep_s = world.advance()
            assert sleep_s is not None
            assert 0.01 < sleep_s <= 0.05
            world.clock.now_ns += int(sleep_s * 1e9) + 1
            world.advance()
            world.advance()

    def test_each_attempt_begins_with_another_address(self, world: World) -> None:
        wanting(world)
        seen = []
        for _ in range(4):
            world.advance(50)
            seen.append(world.connections[-1].addresses[0])
            world.connections[-1].break_off()
        assert seen == ["address 1", "address 2"] * 2

    @pytest.mark.parametrize(("code", "in_doubt", "then"), [
        (-3, True, "address 2"),  # no answer: good for a handshake, and perhaps for nothing else
        (104, True, "address 1"), (0, True, "address 1"), (0, False, "address 1"),
    ])  # fmt: skip
    def test_an_address_where_records_find_no_answer_is_left(
        self, code: int, in_doubt: bool, then: str, world: World
    ) -> None:
        world.boot(topic())
        for expected in ("address 1", then):
            world.connect(1)
            assert world.connections[-1].addresses[0] == expected
            world.tell(FakeEvent(LOST, node=1, code=code, in_doubt=in_doubt, text="an end"))
            world.advance(1000)

    def test_a_server_known_to_the_cluster_serves_on_under_its_number(self, make_world: Make) -> None:
        world = make_world(bootstrap_servers="host2:9092")
        world.boot(topic())
        assert hosts(world) == ["host2"]
        assert list(world.sender._brokers._control) == [2, 1]

    def test_a_server_by_another_name_serves_as_long_as_it_lasts(self, world: World) -> None:
        world.boot(topic())
        assert hosts(world) == ["boot"]
        world.metadata.request_update()
        world.advance(200)
        assert world.control().host == "boot"
        world.open()[0].break_off()
        world.advance(1000)
        assert set(hosts(world)) <= {"host1", "host2"}
        assert world.open()


class TestSilence:
    """A broker that has vanished with its host says nothing, not even that."""

    @staticmethod
    def asked(world: World) -> FakeConnection:
        """A connection with a request for metadata that is never answered."""
        world.boot(topic())
        world.metadata.request_update()
        assert world.advance(200) == pytest.approx(3.0)
        return world.control()

    def test_another_broker_is_asked_long_before_the_request_times_out(self, world: World) -> None:
        silent = self.asked(world)
        world.advance(2500)
        silent.last_activity_ns = world.clock()  # a part of the answer came
        assert (world.advance(2900), world.open()) == (pytest.approx(0.1), [silent])
        world.advance(100)
        _, other = world.open()
        world.take()
        other.become_ready()
        assert world.open() == [other]
        world.advance(200)
        assert [api for api, _, _ in other.requests] == [ApiKey.METADATA]
        other.answer(metadata(topic(leaders=(2, 2), epoch=1)))
        assert ("set_leaders", "t", [2, 2], [1, 1]) in world.take()

    def test_a_producer_id_too(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(EventKind.NEED_PRODUCER_ID))
        world.advance(3000)
        world.open()[1].become_ready()
        world.advance(200)
        assert [api for api, _, _ in world.control().requests] == [ApiKey.INIT_PRODUCER_ID]

    def test_it_is_waited_for_while_nobody_else_answers(self, world: World) -> None:
        silent = self.asked(world)
        for _ in range(20):
            world.advance(500)
            for other in world.open()[1:]:
                other.break_off("refused", tcp_connected=False)
        assert world.open() == [silent]
        assert len(world.connections) > 5
        silent.answer(metadata(topic()))
        world.advance()
        assert world.open() == [silent]

    def test_its_answer_in_time_is_taken(self, world: World) -> None:
        slow = self.asked(world)
        world.advance(3000)
        other = world.open()[1]
        slow.answer(metadata(topic(leaders=(2, 2), epoch=1)))
        assert ("set_leaders", "t", [2, 2], [1, 1]) in world.take()
        other.become_ready()
        world.advance()
        assert world.open() == [slow, other]

    @pytest.mark.parametrize("took_ms", [4000, 13_000, 29_000])
    def test_a_cluster_that_is_slow_for_everybody_is_waited_for(self, took_ms: int, world: World) -> None:
        """The third has all its time, and from then on each has what has been found to be needed."""
        self.asked(world)
        answered = 0
        for _ in range(2 * 60 * 10):
            world.advance(100)
            for connection in world.open():
                since_ns = connection.waiting_since_ns
                if connection.state is ConnectionState.CONNECTING:
                    connection.become_ready()
                elif since_ns is not None and world.clock() - since_ns >= took_ms * MS:
                    answered += 1
                    connection.answer(metadata(topic(epoch=answered)))
                    world.metadata.request_update()
        assert answered >= (120_000 - 9_000) // took_ms - 1
        assert len(world.connections) < 7

    def test_a_producer_id_that_takes_long_is_not_asked_for_again_and_again(self, make_world: Make) -> None:
        """However quick the metadata that is asked for meanwhile."""
        world = make_world(bootstrap_servers="host1:9092")
        world.boot(topic())
        world.tell(FakeEvent(EventKind.NEED_PRODUCER_ID))
        longest_ns = 0
        for second in range(40):
            world.metadata.request_update()
            for _ in range(10):
                world.advance(100)
                for connection in world.open():
                    if connection.state is ConnectionState.CONNECTING:
                        connection.become_ready()
                    elif connection.requests and connection.requests[0][0] is ApiKey.METADATA:
                        connection.answer(metadata(topic(epoch=second)))
            since_ns = min((it.waiting_since_ns or 0 for it in world.open() if it.requests), default=world.clock())
            longest_ns = max(longest_ns, world.clock() - since_ns)
        assert longest_ns > 25_000 * MS

    @pytest.mark.parametrize("gap_ms", [2, 15])
    def test_not_the_last_that_can_be_asked(self, gap_ms: int, make_world: Make) -> None:
        """Leaders that leave records unanswered one after the other: that is no reason to start over."""
        for _ in range(20):  # the order in which brokers are tried is chosen at random
            world = make_world(bootstrap_servers="host1:9092")
            world.metadata.add_topic("t", world.clock())
            world.advance()
            world.open()[0].become_ready()
            world.advance()
            world.control().answer(metadata(topic(leaders=(1, 2, 3)), brokers=(1, 2, 3)))
            for node in (1, 2, 3):
                world.connect(node)
            world.advance(5000)
            for node in (1, 2, 3):
                world.advance(gap_ms)
                world.tell(FakeEvent(LOST, node=node, code=-3, in_doubt=True, text="no response within 30000 ms"))
            world.advance(1)
            assert not world.metadata.snapshot.is_bootstrap

    def test_where_records_found_no_answer_nothing_is_asked_either(self, make_world: Make) -> None:
        world = make_world(bootstrap_servers="host1:9092")
        world.boot(topic())
        world.connect(1)
        world.tell(FakeEvent(LOST, node=1, code=-3, in_doubt=True, text="no response within 30000 ms"))
        world.advance(200)
        assert hosts(world) == ["host2"]

    def test_the_only_broker_is_asked_all_the_same(self, make_world: Make) -> None:
        world = make_world(bootstrap_servers="host1:9092")
        world.metadata.add_topic("t", world.clock())
        world.advance()
        world.open()[0].become_ready()
        world.advance()
        world.control().answer(metadata(topic(leaders=(1,)), brokers=(1,)))
        world.connect(1)
        world.tell(FakeEvent(LOST, node=1, code=-3, in_doubt=True, text="no response within 30000 ms"))
        world.advance(200)
        assert len(world.control().requests) == 1
        assert world.advance(10_000) is not None
        assert hosts(world) == ["host1"]


class TestStartingOver:
    def test_when_no_known_broker_can_be_reached(self, world: World) -> None:
        world.boot(topic())
        world.open()[0].break_off()
        for wait_ms in (100, 0):
            world.advance(wait_ms)
            world.open()[0].break_off(tcp_connected=False)
        world.take()
        world.advance(1)
        assert hosts(world) == ["boot"]
        assert world.metadata.snapshot.is_bootstrap
        assert world.take() == []  # queued records stay with the leaders known last
        world.open()[0].become_ready()
        world.advance()
        world.control().answer(metadata(topic(leaders=(3, 3)), brokers=(3,)))
        assert world.take()[-1] == ("set_leaders", "t", [3, 3], [0, 0])

    @pytest.mark.parametrize("in_flight", [0, 1])
    def test_not_while_an_answer_may_come(self, in_flight: int, world: World) -> None:
        """An idle connection is no sign of life: its broker may have vanished without a word."""
        world.boot(topic())
        world.connect(1)
        world.wire.requests = in_flight
        world.open("boot")[0].break_off()
        for wait_ms in (100, 0, 1):
            world.advance(wait_ms)
            for connection in world.open():
                connection.break_off(tcp_connected=False)
        assert world.metadata.snapshot.is_bootstrap == (in_flight == 0)

    def test_when_the_cluster_asks_for_it(self, world: World) -> None:
        world.boot(topic())
        world.take()
        world.metadata.request_update()
        world.advance(200)
        world.control().answer(metadata(error_code=129))
        assert world.take() == [("set_route", "t", [-1, -1]), ("set_leaders", "t", [-1, -1], [-1, -1])]
        assert world.open() == []
        world.advance(99)  # it may ask for that again and again
        assert hosts(world) == []
        world.advance(1)
        assert hosts(world) == ["boot"]

    def test_switched_off(self, make_world: Make) -> None:
        world = make_world(metadata_recovery_strategy="none")
        world.boot(topic())
        world.open()[0].break_off()
        for _ in range(6):
            world.advance(100)
            for connection in world.open():
                connection.break_off(tcp_connected=False)
        assert not world.metadata.snapshot.is_bootstrap


class TestProduceConnections:
    def test_dialled_again_and_again_while_records_wait(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(NEED, node=1))
        world.take()
        for _ in range(3):
            world.open("host1")[0].break_off("refused", tcp_connected=False)
            assert world.open("host1") == []
            call, given_up = world.take()
            assert call[:2] == ("explain", 1)
            assert "refused; " in call[2]
            assert "advertised.listeners" in call[2]  # nobody ever answered there
            assert given_up == ("forget_connection", 1)
            world.tell(FakeEvent(NEED, node=1))
            world.advance(49)
            assert world.open("host1") == []
            world.advance(1)
        assert len(world.open("host1")) == 1

    def test_given_up_unless_the_wire_asks_again(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(NEED, node=1))
        world.take()
        world.open("host1")[0].break_off()
        assert ("forget_connection", 1) in world.take()
        world.advance(1000)
        assert world.open("host1") == []
        world.tell(FakeEvent(NEED, node=1))
        assert len(world.open("host1")) == 1

    def test_a_broker_that_moved_is_looked_for_at_its_new_address(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(NEED, node=1))
        old = world.open("host1")[0]
        news = metadata(topic())
        moved = news.brokers[0].__class__(1, "elsewhere", 9092)
        world.metadata.request_update()
        world.advance(200)
        world.control().answer(news.__class__((moved, news.brokers[1]), news.topics, "cluster", 1, 0, 0, 12))
        world.advance()
        assert old not in world.open()
        assert len(world.open("elsewhere")) == 1

    def test_a_connection_to_where_a_broker_was_is_given_up(self, world: World) -> None:
        world.boot(topic())
        world.connect(1)
        world.metadata.request_update()
        world.advance(200)
        world.take()
        news = metadata(topic())
        moved = news.brokers[0].__class__(1, "elsewhere", 9092)
        world.control().answer(news.__class__((moved, news.brokers[1]), news.topics, "cluster", 1, 0, 0, 12))
        assert world.take() == [("forget_connection", 1, "the broker has moved to elsewhere:9092")]
        world.tell(FakeEvent(LOST, node=1, code=-5, in_doubt=True), FakeEvent(NEED, node=1))
        assert len(world.open("elsewhere")) == 1

    def test_a_broker_that_left_is_given_up(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(NEED, node=1))
        world.metadata.request_update()
        world.advance(200)
        world.take()
        world.control().answer(metadata(topic(leaders=(2, 2), epoch=1), brokers=(2,)))
        assert world.take() == [
            ("set_route", "t", [2, 2]),
            ("set_leaders", "t", [2, 2], [1, 1]),
            ("forget_connection", 1),
        ]
        assert world.open("host1") == []

    def test_one_that_comes_back_has_answered_before(self, world: World) -> None:
        """It is in the metadata again a moment before it listens: nothing is wrong with its address."""
        world.boot(topic())
        world.connect(1)
        for leader in (2, 1):
            world.metadata.request_update()
            world.advance(200)
            brokers = (2,) if leader == 2 else (1, 2)
            world.control().answer(metadata(topic(leaders=(leader, leader), epoch=3 - leader), brokers=brokers))
        world.tell(FakeEvent(LOST, node=1, code=-5, in_doubt=True), FakeEvent(NEED, node=1))
        world.advance(100)
        world.take()
        world.open("host1")[-1].break_off("refused", tcp_connected=False)
        (explained, *_) = [call for call in world.take() if call[0] == "explain"]
        assert "refused" in explained[2]
        assert "advertised.listeners" not in explained[2]


def test_throttled_brokers_are_left_alone(world: World) -> None:
    world.boot(topic())
    world.open()[0].throttled_until_ns = world.clock() + 700 * MS
    world.metadata.request_update()
    assert world.advance(200) == pytest.approx(0.5)
    assert world.open()[0].requests == []
    world.advance(500)
    assert len(world.control().requests) == 1


def test_a_throttled_broker_is_asked_in_time_though_the_only_other_one_is_silent(world: World) -> None:
    world.boot(topic())
    world.metadata.request_update()
    world.advance(200)
    world.control().answer(metadata(topic(leaders=(1,), epoch=1), brokers=(1,)))
    world.open()[0].throttled_until_ns = world.clock() + 6000 * MS
    world.metadata.request_update()
    world.advance(1000)
    assert hosts(world) == ["boot", "host1"]
    assert world.advance(1000) == pytest.approx(4.0)
    world.advance(4000)
    assert len(world.open("boot")[0].requests) == 1


def test_idle_control_connections_are_closed_and_opened_when_needed(make_world: Make) -> None:
    world = make_world(connections_max_idle_ms=5000)
    world.boot(topic())
    sleep_s = world.advance()
    assert sleep_s == pytest.approx(5.0, abs=0.01)
    world.advance(5000)
    assert world.open() == []
    assert not world.sender.bootstrap_connected()
    sleep_s = world.advance()
    assert sleep_s is not None
    assert sleep_s > 100
    world.metadata.request_update()
    world.advance()
    assert len(world.open()) == 1


def test_warnings_do_not_flood(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    wanting(world)
    for _ in range(50):
        world.advance(50)
        world.open()[0].break_off("refused", tcp_connected=False)
    assert [record.getMessage() for record in caplog.records] == ["boot:1: refused"]
