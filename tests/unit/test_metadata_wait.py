# SPDX-License-Identifier: Apache-2.0
"""Threads that wait until a topic is known."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast.errors import (
    InvalidTopicError,
    KafkaConnectionError,
    KafkaTimeoutError,
    ProducerClosedError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from pykafka_fast.metadata import MetadataCache
from pykafka_fast.protocol.metadata import MetadataBroker, MetadataPartition, MetadataResponse, MetadataTopic

MS = 1_000_000
DEADLINE_S = 10


def response(name: str, partitions: int, error: int = 0) -> MetadataResponse:
    parts = tuple(MetadataPartition(index, 1, 0) for index in range(partitions))
    return MetadataResponse((MetadataBroker(1, "a", 9092),), (MetadataTopic(name, parts, error),), version=12)


class World:
    """A clock, and waiters of which nobody sleeps: waiting lets time pass and the sender's next step happen."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * MS
        self.lock = self
        self.waits_ms: list[float] = []
        self.wakes = 0
        self.held = False
        self.steps: list[Callable[[], object]] = []
        self.asked: list[tuple[str, ...]] = []
        self.cache = MetadataCache(
            [("boot", 9092), ("boot2", 9092)],
            backoff_ns=lambda failures: 0,
            clock=lambda: self.now_ns,
            wake=self.wake,
            waiters=self,  # type: ignore[arg-type]
        )

    def __enter__(self) -> None:
        assert not self.held, "the lock is not recursive"
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False

    def notify_all(self) -> None:
        assert self.held

    def enrol(self) -> None:
        assert self.held

    def wait(self, turn: None, timeout_s: float) -> None:
        assert not self.held
        self.waits_ms.append(timeout_s * 1000)
        self.now_ns += int(timeout_s * 1e9)
        if self.steps:
            self.steps.pop(0)()

    def wake(self) -> None:
        assert not self.held, "woken under the lock"
        self.wakes += 1

    def answer(self, *args: Any) -> Callable[[], None]:
        def step() -> None:
            request = self.cache.build_request(self.now_ns)
            if request is not None:
                self.asked.append(request)
            self.cache.on_response(response(*args), self.now_ns)

        return step

    def wait_for(self, topic: str = "t", partition: int | None = None, timeout_ms: int = 1000, **kwargs: Any) -> int:
        return self.cache.wait_for_topic(topic, partition, self.now_ns + timeout_ms * MS, **kwargs).partition_count


@pytest.fixture
def world() -> World:
    return World()


def test_a_topic_is_asked_for_and_returned(world: World) -> None:
    world.steps = [world.answer("t", 3)]
    assert world.wait_for() == 3
    assert world.asked == [("t",)]
    assert world.wakes == 1
    assert world.wait_for() == 3
    assert world.wakes == 1
    assert world.cache.build_request(world.now_ns) is None


def test_waiting_goes_on_until_the_topic_appears_one_request_per_empty_answer(world: World) -> None:
    world.steps = [world.answer("t", 0, 3), lambda: None, world.answer("t", 0, 5), world.answer("t", 2)]
    assert world.wait_for() == 2
    assert world.asked == [("t",)] * 3
    assert world.wakes == 3
    assert world.cache.build_request(world.now_ns) is None


def test_who_comes_while_a_request_is_under_way_waits_for_its_answer(world: World) -> None:
    world.cache.add_topic("t", world.now_ns)
    world.answer("t", 0, 3)()
    assert world.cache.build_request(world.now_ns) == ("t",)
    world.steps = [lambda: world.cache.on_response(response("t", 2), world.now_ns)]
    assert world.wait_for() == 2
    assert world.cache.build_request(world.now_ns) is None


def test_answers_about_other_topics_do_not_disturb(world: World) -> None:
    world.cache.add_topic("other", world.now_ns)
    world.steps = [world.answer("other", 1), world.answer("t", 1)]
    assert world.wait_for() == 1


def test_a_partition_beyond_the_known_ones_is_waited_for(world: World) -> None:
    world.steps = [world.answer("t", 2), world.answer("t", 2), world.answer("t", 3)]
    assert world.wait_for(partition=2) == 3
    assert world.asked == [("t",)] * 3
    assert world.wait_for(partition=0) == 3


def test_slices_are_short_and_end_at_the_deadline(world: World) -> None:
    with pytest.raises(KafkaTimeoutError):
        world.wait_for(timeout_ms=120)
    assert world.waits_ms == [50, 50, 20]


def test_a_time_out_names_the_servers(world: World) -> None:
    with pytest.raises(
        KafkaTimeoutError, match=r"topic 't' not present in metadata after 120 ms.*boot:9092, boot2:9092"
    ):
        world.wait_for(timeout_ms=120)


def test_a_time_out_says_what_was_wrong_with_each_server(world: World) -> None:
    world.cache.note_connection_error("boot:9092", KafkaConnectionError("boot:9092: refused before"))
    world.cache.note_connection_error("boot:9092", KafkaConnectionError("boot:9092: could not connect: refused"))
    world.cache.note_connection_error("boot2:9092", OSError(113, "No route to host"))
    world.cache.note_connection_error("well:1", KafkaConnectionError("slow"))
    world.cache.note_connection_ready("well:1")
    with pytest.raises(KafkaTimeoutError) as caught:
        world.wait_for(timeout_ms=60)
    text = str(caught.value)
    assert "boot:9092: could not connect: refused; boot2:9092: [Errno 113] No route to host" in text
    assert "refused before" not in text
    assert "well" not in text


def test_a_time_out_tells_the_topics_last_error(world: World) -> None:
    world.steps = [world.answer("t", 0, 3)] * 3
    with pytest.raises(KafkaTimeoutError, match="UNKNOWN_TOPIC_OR_PARTITION") as caught:
        world.wait_for(timeout_ms=100)
    assert isinstance(caught.value.__cause__, UnknownTopicOrPartitionError)


def test_a_time_out_tells_how_many_partitions_there_are(world: World) -> None:
    world.steps = [world.answer("t", 2)]
    with pytest.raises(KafkaTimeoutError, match=r"partition 7 of topic 't' \(2 partitions\)"):
        world.wait_for(partition=7, timeout_ms=100)


def test_no_time_at_all_asks_and_gives_up(world: World) -> None:
    with pytest.raises(KafkaTimeoutError, match="after 0 ms"):
        world.wait_for(timeout_ms=0)
    assert world.waits_ms == []
    assert world.wakes == 1
    assert world.cache.build_request(world.now_ns) == ("t",)


def test_an_invalid_topic_fails_fast_and_next_time_at_once(world: World) -> None:
    world.steps = [world.answer("t", 0, 17)]
    with pytest.raises(InvalidTopicError, match="'t'"):
        world.wait_for()
    assert len(world.waits_ms) == 1
    with pytest.raises(InvalidTopicError):
        world.wait_for()
    assert len(world.waits_ms) == 1


def test_a_forbidden_topic_fails_fast_and_is_asked_for_again(world: World) -> None:
    world.steps = [world.answer("t", 0, 29), world.answer("t", 0, 29), world.answer("t", 4)]
    for _ in range(2):
        with pytest.raises(TopicAuthorizationFailedError, match="'t'"):
            world.wait_for()
    assert world.wait_for() == 4
    assert world.asked == [("t",)] * 3


def test_a_fatal_error_reaches_one_waiter(world: World) -> None:
    error = UnsupportedVersionError("too old")
    world.steps = [lambda: world.cache.set_fatal(error), world.answer("t", 1)]
    with pytest.raises(UnsupportedVersionError) as caught:
        world.wait_for()
    assert caught.value is error
    assert world.wait_for() == 1


def test_check_runs_without_the_lock_and_may_end_the_wait(world: World) -> None:
    calls = []

    def check() -> None:
        assert not world.held
        calls.append(1)
        if len(calls) == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.wait_for(check=check)
    assert len(world.waits_ms) == 3


def test_close_ends_the_wait_and_every_later_one(world: World) -> None:
    world.steps = [world.cache.close]
    for _ in range(2):
        with pytest.raises(ProducerClosedError):
            world.wait_for()
    assert len(world.waits_ms) == 1


class TestThreads:
    """With real waiters and a real clock."""

    def waiting(self, cache: MetadataCache, count: int, outcome: list[object]) -> list[threading.Thread]:
        def run() -> None:
            try:
                outcome.append(cache.wait_for_topic("t", None, time.monotonic_ns() + DEADLINE_S * 1000 * MS))
            except Exception as error:
                outcome.append(error)

        threads = [threading.Thread(target=run) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads

    def join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()

    def make(self) -> tuple[MetadataCache, threading.Event]:
        woken = threading.Event()
        return MetadataCache([("boot", 1)], backoff_ns=lambda failures: 0, wake=woken.set), woken

    def test_all_waiters_learn_from_one_answer(self) -> None:
        cache, woken = self.make()
        outcome: list[Any] = []
        threads = self.waiting(cache, 16, outcome)
        assert woken.wait(DEADLINE_S)
        assert cache.build_request(time.monotonic_ns()) == ("t",)
        cache.on_response(response("t", 5), time.monotonic_ns())
        self.join(threads)
        assert [it.partition_count for it in outcome] == [5] * 16
        assert cache.build_request(time.monotonic_ns()) is None

    def test_close_wakes_all(self) -> None:
        cache, woken = self.make()
        outcome: list[object] = []
        threads = self.waiting(cache, 4, outcome)
        assert woken.wait(DEADLINE_S)
        cache.close()
        self.join(threads)
        assert [type(it) for it in outcome] == [ProducerClosedError] * 4

    def test_ctrl_c_interrupts_the_wait(self) -> None:
        cache, woken = self.make()
        interrupter = threading.Thread(target=lambda: woken.wait(DEADLINE_S) and _thread.interrupt_main())
        interrupter.start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            cache.wait_for_topic("t", None, time.monotonic_ns() + DEADLINE_S * 1000 * MS)
        assert time.monotonic() - started < DEADLINE_S / 2
        interrupter.join(DEADLINE_S)
