# SPDX-License-Identifier: Apache-2.0
"""Finalizers run where the garbage collector finds garbage: on a thread of the producer that they use, too."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, threads_of
from tools.brokers.processes import wait_for

WAIT_S = 20.0


class Garbage:
    """Only the garbage collector can take it. Calls `act` on the thread whose name ends so, and returns elsewhere."""

    def __init__(self, thread: str, act: Callable[[], object], outcome: list[Any]) -> None:
        self.made_of = (thread, act, outcome)
        self.cycle = self

    def __del__(self) -> None:
        thread, act, outcome = self.made_of
        if not threading.current_thread().name.endswith(thread):
            Garbage(*self.made_of)
            return
        try:
            outcome.append(act())
        except Exception as error:
            outcome.append(error)


@pytest.fixture
def on_sender() -> Iterator[Callable[[KafkaProducer, Callable[[], object]], Any]]:
    """on_sender(producer, act) → what act() returned or raised in a finalizer on the sender's thread."""
    thresholds = gc.get_threshold()

    def run(producer: KafkaProducer, act: Callable[[], object]) -> Any:
        outcome: list[Any] = []
        Garbage(producer.config["client_id"] + "-sender", act, outcome)
        gc.set_threshold(1)

        def done() -> bool:
            producer._lifecycle._sender.request_metadata()  # it has to look around, and so to allocate
            return bool(outcome)

        wait_for(done, "a finalizer on the sender", WAIT_S)
        gc.set_threshold(*thresholds)
        return outcome[0]

    yield run
    gc.set_threshold(*thresholds)


@pytest.mark.parametrize("timeout", [None, WAIT_S])
def test_close_delivers_on_another_thread(
    broker: EmbeddedBroker, make: Make, timeout: float | None, on_sender: Any
) -> None:
    producer = make(broker, linger_ms=60_000)
    futures = [producer.send("t", b"%d" % i) for i in range(100)]
    assert on_sender(producer, lambda: producer.close(timeout)) is None
    assert all(future.get(WAIT_S) for future in futures)
    wait_for(lambda: not threads_of(producer), "the end of its threads", WAIT_S)
    producer.close()
    assert broker.record_count("t") == 100


def test_flush_cannot_wait_and_says_so(broker: EmbeddedBroker, make: Make, on_sender: Any) -> None:
    producer = make(broker, linger_ms=60_000)
    future = producer.send("t", b"x")
    error = on_sender(producer, producer.flush)
    assert isinstance(error, KafkaTimeoutError)
    assert "finalizer" in str(error)
    producer.flush(WAIT_S)
    assert future.succeeded()


def test_send_needs_no_wait_and_is_delivered(broker: EmbeddedBroker, make: Make, on_sender: Any) -> None:
    producer = make(broker)
    producer.send("t", b"1").get(WAIT_S)
    assert on_sender(producer, lambda: producer.send("t", b"2")).get(WAIT_S).topic == "t"
    error = on_sender(producer, lambda: producer.send("unknown", b"3")).exception
    assert isinstance(error, KafkaTimeoutError)
    assert "finalizer" in str(error)
    assert broker.record_count("t") == 2
