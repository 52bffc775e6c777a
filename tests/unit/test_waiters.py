# SPDX-License-Identifier: Apache-2.0
"""Waiting, and exceptions of signal handlers that end it at any moment."""

from __future__ import annotations

import random
import signal
import threading
import time

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.testing import EmbeddedBroker
from pykafka_fast.waiters import Latch, Waiters

DEADLINE_S = 20.0


def test_news_wake_who_has_enrolled() -> None:
    waiters = Waiters()
    woken = threading.Semaphore(0)

    def wait() -> None:
        with waiters.lock:
            turn = waiters.enrol()
            enrolled.release()
        waiters.wait(turn, DEADLINE_S)
        woken.release()

    enrolled = threading.Semaphore(0)
    for _ in range(3):
        threading.Thread(target=wait, daemon=True).start()
        assert enrolled.acquire(timeout=DEADLINE_S)
    began = time.monotonic()
    with waiters.lock:
        waiters.notify_all()
    assert all(woken.acquire(timeout=DEADLINE_S) for _ in range(3))
    assert time.monotonic() - began < DEADLINE_S / 2


def test_time_runs_out_and_nothing_is_left() -> None:
    waiters = Waiters()
    with waiters.lock:
        turn = waiters.enrol()
    waiters.wait(turn, 0.01)
    assert not waiters._turns


def test_a_latch() -> None:
    latch = Latch()
    assert not latch.wait(0.0)
    assert not latch.is_set()
    threading.Timer(0.01, latch.set).start()
    assert latch.wait(DEADLINE_S)
    assert latch.is_set()
    assert latch.wait(0.0)


@pytest.mark.parametrize("seed", [random.randrange(1 << 30)])
def test_interrupts_at_any_moment_leave_no_lock_held(seed: int) -> None:
    """The handler's exception comes wherever the interpreter happens to be, a thousand times."""
    moments = random.Random(seed)
    waiters, latch = Waiters(), Latch()

    def interrupt(number: int, frame: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(1_000):
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.00002, 0.0003))
                while True:
                    with waiters.lock:
                        turn = waiters.enrol()
                    waiters.wait(turn, 0.0001)
                    latch.wait(0.0001)
            except InterruptedError:
                pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    def use() -> None:
        with waiters.lock:
            waiters.notify_all()
        latch.set()

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert latch.is_set(), "a lock was left behind"


def test_ctrl_c_while_a_condition_takes_its_lock_does_not_hang_the_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What threading.Condition does in Python code can be ended in its midst; nothing of ours may depend on it."""
    enter = threading.Condition.__enter__

    def interrupted(self: threading.Condition) -> bool:
        got = enter(self)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return got

    with EmbeddedBroker(topics={"t": 1, "u": 1}) as broker:
        producer = KafkaProducer(bootstrap_servers=broker.address, max_block_ms=DEADLINE_S * 1000)
        producer.send("t", b"v").get(DEADLINE_S)  # starts the threads
        with monkeypatch.context() as patch:
            patch.setattr(threading.Condition, "__enter__", interrupted)
            try:
                producer.send("u", b"v").get(DEADLINE_S)
            except KeyboardInterrupt:
                pytest.fail("a Condition is used on the calling thread")
        closing = threading.Thread(target=producer.close, args=(DEADLINE_S,), daemon=True)
        closing.start()
        closing.join(DEADLINE_S)
        assert not closing.is_alive()


def test_who_waits_in_the_midst_of_a_guarded_section_lends_the_lock() -> None:
    """As a signal handler does that sends to a topic nobody knows, in the midst of a call that waits for metadata."""
    waiters = Waiters()

    def tell() -> None:
        with waiters.lock:
            waiters.notify_all()

    teller = threading.Thread(target=tell)
    with waiters.lock:
        with waiters.lock:
            turn = waiters.enrol()
            teller.start()
            began = time.monotonic()
            waiters.wait(turn, DEADLINE_S)
            assert time.monotonic() - began < DEADLINE_S / 2
        assert waiters.lock._is_owned()  # type: ignore[attr-defined]
        with waiters.lock:
            pass
    teller.join(DEADLINE_S)
    assert not teller.is_alive()
