# SPDX-License-Identifier: Apache-2.0
"""The delivery door: what is attached to records runs once, in order, on the thread that delivers."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka_fast._core.delivery import Deliveries
from pykafka_fast.errors import ClientCode, ClosedForcefullyError
from tests.core.stage import Stage

DEADLINE_S = 10.0


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(linger_ms=60_000.0)
    yield made
    made.end()


def fail_all(stage: Stage) -> None:
    """Give every record an outcome."""
    stage.wire.abort(ClientCode.CLOSED_FORCEFULLY, "failed")
    deadline = time.monotonic() + DEADLINE_S
    while stage.wire.live_count():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def deliver(stage: Stage, times: int = 1) -> None:
    for _ in range(times):
        assert stage.deliveries.deliver(0.05)


def test_nothing_to_deliver_waits_and_says_that_there_may_be_more(stage: Stage) -> None:
    began = time.monotonic()
    assert stage.deliveries.deliver(0.1)
    assert 0.09 < time.monotonic() - began < 5


def test_in_order_and_once(stage: Stage) -> None:
    seen: list[int] = []
    for i in range(2000):
        stage.append(b"v", partition=0, on_delivery=lambda m, e, i=i: seen.append(i), notify=True)
    assert 2000 <= stage.accumulator.pending_callbacks() <= 2000 + 64  # counted in lots while the batch is open
    fail_all(stage)
    deliver(stage, 3)
    assert seen == list(range(2000))
    assert stage.accumulator.pending_callbacks() == 0


def test_what_a_callback_is_given(stage: Stage) -> None:
    seen: list[Any] = []
    future = stage.append(b"v", partition=3, on_delivery=lambda *args: seen.append(args), notify=True)
    fail_all(stage)
    deliver(stage)
    ((metadata, error),) = seen
    assert (metadata.topic, metadata.partition, metadata.offset) == ("t", 3, -1)
    assert isinstance(error, ClosedForcefullyError)
    assert isinstance(future.exception, ClosedForcefullyError)


def test_acknowledged_is_told_before_the_callback_and_without_one(stage: Stage) -> None:
    seen: list[Any] = []
    stage.deliveries = Deliveries(stage.accumulator, lambda m, e: seen.append(("told", m.partition)))
    stage.append(b"v", partition=1, on_delivery=lambda m, e: seen.append(("called", m.partition)), notify=True)
    stage.append(b"v", partition=1, notify=True)
    fail_all(stage)
    deliver(stage)
    assert seen == [("told", 1), ("called", 1), ("told", 1)]


def test_listeners_come_after_callbacks(stage: Stage) -> None:
    seen: list[str] = []
    future = stage.append(b"v", partition=0, on_delivery=lambda *_: seen.append("callback"), notify=True)
    future.add_errback(lambda error: seen.append("errback"))
    future.add_callback(lambda metadata: seen.append("never"))
    future.add_both(lambda outcome: seen.append("both"))
    fail_all(stage)
    deliver(stage)
    assert seen == ["callback", "errback", "both"]
    future.add_errback(lambda error: seen.append("late"))
    assert seen[-1] == "late"


def test_one_that_raises_stops_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def bad(*_: Any) -> None:
        raise RuntimeError("mine")

    for i in range(5):
        stage.append(b"v", partition=0, on_delivery=bad, notify=True)
        stage.append(b"v", partition=0, on_delivery=lambda m, e, i=i: seen.append(i), notify=True)
    fail_all(stage)
    deliver(stage)
    assert seen == list(range(5))
    assert caplog.text.count("RuntimeError: mine") == 5


def test_get_waits_for_them_but_not_on_the_thread_that_delivers(stage: Stage) -> None:
    inside: list[Any] = []
    futures: list[Any] = []

    def callback(*_: Any) -> None:
        try:
            futures[0].get(timeout=1)
        except ClosedForcefullyError as error:
            inside.append(error)

    futures.append(stage.append(b"v", partition=0, on_delivery=callback, notify=True))
    fail_all(stage)
    assert futures[0].is_done
    with pytest.raises(TimeoutError):
        futures[0].get(timeout=0.05)
    stage.deliveries.adopt_thread()
    deliver(stage)
    assert len(inside) == 1
    with pytest.raises(ClosedForcefullyError):
        futures[0].get(timeout=0)


def test_ends_when_closed_and_empty(stage: Stage) -> None:
    seen: list[int] = []
    stage.append(b"v", partition=0, on_delivery=lambda *_: seen.append(1), notify=True)
    fail_all(stage)
    stage.accumulator.close_delivery()
    assert stage.deliveries.deliver(DEADLINE_S)
    assert seen == [1]
    began = time.monotonic()
    assert not stage.deliveries.deliver(DEADLINE_S)
    assert time.monotonic() - began < 5


def test_close_wakes_the_thread_that_waits(stage: Stage) -> None:
    ended = threading.Event()

    def run() -> None:
        while stage.deliveries.deliver(3600):
            pass
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.05)
    stage.accumulator.close_delivery()
    assert ended.wait(DEADLINE_S)
    thread.join()


def test_references_are_let_go(stage: Stage) -> None:
    def callback(*_: Any) -> None:
        pass

    before = sys.getrefcount(callback)
    futures = [stage.append(b"v", partition=0, on_delivery=callback, notify=True) for _ in range(100)]
    for future in futures:
        future.add_both(callback)
    assert sys.getrefcount(callback) >= before + 200
    fail_all(stage)
    deliver(stage)
    gc.collect()
    assert sys.getrefcount(callback) == before
    assert all(future.failed() for future in futures)
