# SPDX-License-Identifier: Apache-2.0
"""What the sender makes of the wire's events and of what is due. Time stands still; threads run in TestThread only."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from pykafka_fast._core.wire import EventKind
from pykafka_fast.errors import (
    ClientCode,
    ClusterAuthorizationFailedError,
    InvalidRequestError,
    KafkaTimeoutError,
    SenderDiedError,
    UnsupportedVersionError,
)
from pykafka_fast.protocol.api import ApiKey
from pykafka_fast.protocol.init_producer_id import InitProducerIdResponse
from pykafka_fast.protocol.metadata import MetadataResponse
from tests.unit.sending import RANGES, FakeBatch, FakeEvent, World, metadata, parked, topic
from tools.brokers.processes import wait_for

GAP, NEED_ID = EventKind.GAP, EventKind.NEED_PRODUCER_ID
Make = Callable[..., World]


def test_nothing_is_done_before_anybody_wants_anything(world: World) -> None:
    assert world.advance() is None
    assert world.connections == []
    assert world.take() == []


def test_first_topic_brings_metadata_and_routes_in_order(world: World) -> None:
    world.boot(topic("t", (1, 2), epoch=4))
    assert world.take() == [("set_route", "t", [1, 2]), ("set_leaders", "t", [1, 2], [4, 4])]
    assert world.sender.bootstrap_connected()
    age_s = world.advance()
    assert age_s is not None
    assert 299 < age_s <= 300  # the next refresh


def test_routes_are_down_before_waiting_threads_are_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        world.metadata._waiters, "notify_all", lambda: seen.append(world.accumulator.topic("t").partition_count)
    )
    world.boot(topic("t"))
    assert seen[-1] == 2


@pytest.mark.parametrize(
    ("useless", "said"),
    [(metadata(brokers=()), "names no broker"), (metadata(error_code=35), "[Error 35]")],
    ids=["no broker", "an error"],
)
@pytest.mark.parametrize("server", ["boot:1", "[::1]:1"])
def test_useless_metadata_is_told_once_in_a_while_and_by_the_time_out(
    server: str, useless: MetadataResponse, said: str, make_world: Callable[..., World],
    caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(bootstrap_servers=server)
    caplog.set_level(logging.WARNING)
    world.metadata.add_topic("t", world.clock())
    world.advance()
    world.open()[0].become_ready()
    for _ in range(20):
        world.advance(100)
        world.control().answer(useless)
    (warning,) = caplog.records
    assert said in warning.getMessage()
    with pytest.raises(KafkaTimeoutError) as caught:
        world.metadata.wait_for_topic("t", None, world.clock())
    assert f"{server}: " in str(caught.value)
    assert said in str(caught.value)
    assert "no answer" not in str(caught.value)
    world.advance(100)
    world.control().answer(metadata(topic()))
    with pytest.raises(KafkaTimeoutError, match=r"in metadata after 0 ms$"):
        world.metadata.wait_for_topic("u", None, world.clock())


def test_a_connection_for_records(world: World) -> None:
    world.boot(topic())
    world.take()
    world.connect(1)
    assert world.take() == [("connect", 1, 1000 + 9092, 13, 2)]
    assert world.connections[-1].host == "host1"


def test_a_lost_connection_is_made_again_when_asked_for_and_not_at_once(world: World) -> None:
    world.boot(topic())
    world.connect(1)
    count = len(world.connections)
    world.tell(FakeEvent(EventKind.CONNECTION_LOST, node=1, code=-10, text="the connection failed"))
    world.advance(1000)
    assert len(world.connections) == count
    world.tell(FakeEvent(EventKind.CONNECTION_LOST, node=1, code=-10, text="the connection failed"))
    world.tell(FakeEvent(EventKind.NEED_CONNECTION, node=1))
    assert len(world.connections) == count
    assert world.advance(30) == pytest.approx(0.02, abs=0.001)
    world.advance(20)
    assert len(world.connections) == count + 1


def test_a_lost_connection_causes_a_refresh_and_explains_time_outs(world: World) -> None:
    world.boot(topic())
    world.connect(1)
    world.tell(FakeEvent(EventKind.CONNECTION_LOST, node=1, code=-10, text="reset by peer"))
    world.advance(100)
    assert world.control().requests[0][0] is ApiKey.METADATA
    assert "reset by peer" in world.metadata._connection_errors["host1:9092"]


def test_an_idle_connection_is_not_missed(world: World) -> None:
    world.boot(topic())
    world.connect(1)
    world.tell(FakeEvent(EventKind.CONNECTION_LOST, node=1, code=-5, text="idle"))
    world.advance(1000)
    assert not [it for it in world.open() if it.requests]
    assert world.metadata._connection_errors == {}


class TestProducerId:
    def test_asked_for_once_and_announced(self, world: World) -> None:
        world.boot(topic())
        world.take()
        world.tell(FakeEvent(NEED_ID))
        world.tell(FakeEvent(NEED_ID))
        ((api, request, _),) = world.control().requests
        assert (api, request.producer_id, request.transactional_id) == (ApiKey.INIT_PRODUCER_ID, -1, None)
        world.control().answer(InitProducerIdResponse(0, 7, 0))
        assert world.take() == [("set_producer", 7, 0)]

    def test_tried_again_after_the_back_off(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(NEED_ID))
        world.control().answer(InitProducerIdResponse(14))
        assert world.advance() == pytest.approx(0.1)
        assert not [it for it in world.open() if it.requests]
        world.advance(100)
        assert world.control().requests[0][0] is ApiKey.INIT_PRODUCER_ID

    def test_lost_connection_on_the_way(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(NEED_ID))
        world.control().break_off()
        world.advance(100)
        world.open()[0].become_ready()
        world.advance()
        assert ApiKey.INIT_PRODUCER_ID in [api for api, _, _ in world.control().requests]

    def test_a_refusal_fails_what_is_pending_and_later_records_ask_again(self, world: World) -> None:
        world.boot(topic())
        world.take()
        world.tell(FakeEvent(NEED_ID))
        world.control().answer(InitProducerIdResponse(31))
        abort, rearm = world.take()
        assert abort[:2] == ("abort", 31)
        assert rearm == ("set_producer", -1, -1)
        assert world.sender.fatal is None
        world.tell(FakeEvent(NEED_ID))
        world.advance(100)
        world.control().answer(InitProducerIdResponse(0, 8, 0))
        assert world.take() == [("set_producer", 8, 0)]

    def test_refusals_do_not_fill_the_log(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.boot(topic())
        for _ in range(5):
            world.tell(FakeEvent(NEED_ID))
            world.advance(1000)
            world.control().answer(InitProducerIdResponse(31))
        (said,) = [record for record in caplog.records if "No producer id" in record.getMessage()]
        assert said.levelno == logging.ERROR

    def test_other_answers_are_fatal(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(NEED_ID))
        world.control().answer(InitProducerIdResponse(42))
        assert isinstance(world.sender.fatal, InvalidRequestError)
        assert world.accumulator.closed

    @pytest.fixture
    def ask_in_vain(self, make_world: Make) -> Make:
        def ask(**options: bool) -> World:
            world = make_world(**options)
            world.metadata.add_topic("t", world.clock())
            world.advance()
            world.open()[0].become_ready({key: r for key, r in RANGES.items() if key != ApiKey.INIT_PRODUCER_ID})
            world.tell(FakeEvent(NEED_ID))
            return world

        return ask

    def test_a_broker_without_it(self, ask_in_vain: Make, caplog: pytest.LogCaptureFixture) -> None:
        world = ask_in_vain()
        assert world.take() == [("disable_idempotence",)]
        assert world.sender.fatal is None
        assert "Idempotence is turned off" in caplog.text

    def test_a_broker_without_it_where_it_was_asked_for(self, ask_in_vain: Make) -> None:
        world = ask_in_vain(enable_idempotence=True)
        assert isinstance(world.sender.fatal, UnsupportedVersionError)
        assert "enable_idempotence=False" in str(world.sender.fatal)


class TestGaps:
    def test_one_bump_for_all_gaps_of_one_look(self, world: World) -> None:
        world.boot(topic())
        world.get_id()
        world.take()
        world.tell(*(FakeEvent(GAP, topic="t", partition=partition) for partition in (1, 0)))
        assert world.take() == [("set_producer", 7, 1), ("restart", "t", 1), ("restart", "t", 0)]
        world.tell(FakeEvent(GAP, topic="t", partition=1))
        assert world.take() == [("set_producer", 7, 2), ("restart", "t", 1)]

    def test_epochs_used_up(self, world: World) -> None:
        world.boot(topic())
        world.get_id(epoch=32767)
        world.take()
        world.tell(FakeEvent(GAP, topic="t", partition=1))
        assert world.take() == []
        world.control().answer(InitProducerIdResponse(0, 9, 0))
        assert world.take() == [("set_producer", 9, 0), ("restart", "t", 1)]


class TestUnknownLeader:
    def test_asked_about_until_there_is_one(self, world: World) -> None:
        world.boot(topic("t", (1, -1)))
        world.take()
        lost = FakeEvent(EventKind.UNKNOWN_LEADER, topic="t", partition=1)
        world.tell(lost)
        world.advance(100)
        world.control().answer(metadata(topic("t", (1, -1))))
        # Nothing has changed, but the wire asks only once for each answer.
        assert world.take() == [("set_route", "t", [1, -1]), ("set_leaders", "t", [1, -1], [0, 0])]
        world.tell(lost)
        world.advance(100)
        world.control().answer(metadata(topic("t", (1, 2), epoch=1)))
        assert ("set_leaders", "t", [1, 2], [1, 1]) in world.take()
        world.advance(1000)
        world.metadata.request_update()
        world.advance()
        world.control().answer(metadata(topic("t", (1, 2), epoch=1)))
        assert world.take() == []

    def test_a_topic_that_is_gone_is_asked_about_while_records_wait(self, world: World) -> None:
        world.boot(topic("t"))
        world.metadata.request_update()
        world.advance(100)
        world.take()
        world.control().answer(metadata(topic("t", error=3)))
        assert world.take() == [("set_leaders", "t", [-1, -1], [-1, -1]), ("forget", "t")]
        world.accumulator.pending = {"t": 5}
        world.tell(FakeEvent(EventKind.UNKNOWN_LEADER, topic="t", partition=0))
        for _ in range(2):
            world.advance(100)
            world.control().answer(metadata(topic("t", error=3)))
        assert world.take() == [("explain", -1, "Metadata answers UNKNOWN_TOPIC_OR_PARTITION", "t")] * 2
        world.advance(100)
        world.control().answer(metadata(topic("t")))
        assert world.take()[-1] == ("set_leaders", "t", [1, 2], [0, 0])


class TestFatal:
    def test_fatal_answers_end_the_producer(self, world: World) -> None:
        world.boot(topic())
        world.get_id()
        world.take()
        world.tell(parked(31))
        assert isinstance(world.sender.fatal, ClusterAuthorizationFailedError)
        assert world.sender.fatal is not world.sender.fatal  # several threads may raise it
        assert world.accumulator.closed
        assert [call[:2] for call in world.take() if call[0] == "abort"] == [("abort", 31)]

    @pytest.mark.parametrize(
        "event",
        [
            parked(6),
            FakeEvent(NEED_ID),
            FakeEvent(EventKind.NEED_CONNECTION, node=1),
            FakeEvent(EventKind.UNKNOWN_LEADER, topic="t", partition=0),
        ],
        ids=lambda event: event.kind.name,
    )
    def test_what_was_appended_a_moment_before_fails_too(self, world: World, event: FakeEvent) -> None:
        world.boot(topic())
        world.tell(parked(31))
        world.take()
        world.tell(event)
        assert world.take()[0][:2] == ("abort", 31)

    def test_brokers_without_produce_end_an_idempotent_producer(self, world: World) -> None:
        world.boot(topic())
        world.tell(FakeEvent(EventKind.NEED_CONNECTION, node=1))
        world.open("host1")[-1].become_ready({})
        assert isinstance(world.sender.fatal, UnsupportedVersionError)
        assert "host1:9092" in str(world.sender.fatal)

    def test_and_fail_the_records_of_another(self, make_world: Make) -> None:
        world = make_world(enable_idempotence=False)
        world.boot(topic())
        world.tell(FakeEvent(EventKind.NEED_CONNECTION, node=1))
        world.take()
        world.open("host1")[-1].become_ready({})
        assert world.sender.fatal is None
        assert [call[:2] for call in world.take()] == [("forget_connection", 1), ("abort", 35)]


class TestThread:
    """With the real thread; the wire is still a fake."""

    @pytest.fixture
    def running(self, make_world: Make) -> Iterator[World]:
        world = make_world()
        world.sender.ensure_started()
        yield world
        world.sender.stop()

    def test_named_after_the_client_and_a_daemon(self, running: World) -> None:
        running.sender.ensure_started()
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "me-sender"]
        assert thread.daemon
        assert running.calls.count(("start",)) == 1

    def test_stop_ends_it(self, make_world: Make) -> None:
        world = make_world()
        world.sender.ensure_started()
        world.sender.stop()
        assert "me-sender" not in [thread.name for thread in threading.enumerate()]
        assert world.calls[-1] == ("stop",)
        world.sender.stop()
        world.sender.wake()

    def test_stop_without_start(self, world: World) -> None:
        world.sender.stop()
        world.sender.ensure_started()
        assert not world.sender.started

    def test_told_to_stop_between_its_start_and_its_first_line(self, world: World) -> None:
        """It closes what it has all the same: who stops it has seen that it was started."""
        world.sender._stopping = True
        world.sender._thread.start()
        assert world.sender._thread.join(10)
        assert world.sender._wakeup._reader.fileno() == -1
        assert world.sender.wait_drained(0)
        world.sender.stop()

    def test_a_graceful_end(self, running: World) -> None:
        running.sender.initiate_close()
        assert not running.sender.wait_drained(0.06)
        running.wire.push(FakeEvent(EventKind.DRAINED))
        assert running.sender.wait_drained(10)
        assert running.calls[-1] == ("close",)

    def test_a_graceful_end_of_what_never_began(self, world: World) -> None:
        world.sender.initiate_close()
        assert world.sender.wait_drained(0)

    def test_force(self, running: World) -> None:
        """Told to close before it is told to abort, the wire would send what is to fail."""
        running.sender.force(ClientCode.CLOSED_FORCEFULLY, "closed")
        abort = ("abort", ClientCode.CLOSED_FORCEFULLY, "closed")
        assert running.calls[-3:] == [abort, ("close",), abort]

    def test_a_defect_is_never_silent(self, running: World, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL)
        running.wire.push(FakeEvent(EventKind.PARKED))  # a parked event without a batch
        assert running.sender.wait_drained(10)
        assert isinstance(running.sender.fatal, SenderDiedError)
        assert isinstance(running.sender.fatal.__cause__, AssertionError)
        assert running.accumulator.closed
        wait_for(lambda: bool(caplog.records), "a line", 10)
        assert caplog.records[0].exc_info is not None
        running.calls.clear()
        running.wire.push(parked(6, FakeBatch()))
        for _ in range(1000):
            if running.calls:
                break
            threading.Event().wait(0.01)
        assert running.calls[0][:2] == ("abort", ClientCode.SENDER_DIED)


def test_abandoned_in_a_child(world: World) -> None:
    world.boot(topic())
    world.tell(FakeEvent(NEED_ID))
    pending = world.control()
    world.sender.abandon()
    assert world.open() == []
    assert len(pending.requests) == 1  # nobody was told: the parent goes on
    world.sender.wake()
