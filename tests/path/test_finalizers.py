# SPDX-License-Identifier: Apache-2.0
"""Finalizers run where the garbage collector finds garbage: on a thread of the producer that they use, too."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pykafka_fast.lifecycle
from pykafka_fast import KafkaProducer
from pykafka_fast.errors import BufferExhaustedError, KafkaTimeoutError, ProducerClosedError
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


def test_close_by_what_only_a_callback_kept_delivers(broker: EmbeddedBroker, make: Make) -> None:
    """A callback that calls close() drops what is left; the end of its owner, right behind it, does not."""
    producer = make(broker)

    class Owner:
        def __del__(self) -> None:
            lingering.append(producer.send("t", b"y", on_delivery=lambda *_: None))
            producer.close()

        def told(self, *_: object) -> None:
            pass

    lingering: list[Any] = []
    producer.send("t", b"x", on_delivery=Owner().told)
    wait_for(lambda: not threads_of(producer), "the end of its threads", WAIT_S)
    assert [future.succeeded() for future in lingering] == [True]
    assert broker.record_count("t") == 2


def test_flush_cannot_wait_and_says_so(broker: EmbeddedBroker, make: Make, on_sender: Any) -> None:
    producer = make(broker, linger_ms=60_000)
    future = producer.send("t", b"x")
    error = on_sender(producer, producer.flush)
    assert isinstance(error, KafkaTimeoutError)
    assert "finalizer" in str(error)
    producer.flush(WAIT_S)
    assert future.succeeded()


def test_get_cannot_wait_and_says_so(broker: EmbeddedBroker, make: Make, on_sender: Any) -> None:
    producer = make(broker, linger_ms=60_000)
    producer.send("t", b"known")
    producer.flush(WAIT_S)
    for send, sent in ((producer.send, b"x"), (producer.send_many, [b"x"])):
        future = send("t", sent)
        error = on_sender(producer, future.get)
        assert isinstance(error, KafkaTimeoutError)
        assert "finalizer" in str(error)
        assert future.get(WAIT_S)


def test_send_many_does_not_wait_for_memory(broker: EmbeddedBroker, make: Make, on_sender: Any) -> None:
    producer = make(broker, buffer_memory=64 << 10, batch_size=16 << 10, max_block_ms=60_000)
    producer.send("t", b"known").get(WAIT_S)
    broker.hold("Produce")
    began = time.monotonic()
    error = on_sender(producer, lambda: producer.send_many("t", [bytes(8000)] * 100, partition=0))
    assert time.monotonic() - began < WAIT_S
    assert isinstance(error, BufferExhaustedError)
    broker.release()
    assert len(error.taken.get(WAIT_S)) == error.row


def test_close_in_the_last_moment_of_the_delivery_thread(broker: EmbeddedBroker, make: Make) -> None:
    """By the finalizer of an object that is local to the thread: another close() waits for it to end."""
    local = threading.local()
    closed: list[bool] = []
    producer = make(broker)

    class Last:
        def __del__(self) -> None:
            closed.append(producer.close() is None)

    def keep(*_: object) -> None:
        local.last = Last()

    producer.send("t", b"x", on_delivery=keep).get(WAIT_S)
    closer = threading.Thread(target=producer.close, daemon=True)
    closer.start()
    closer.join(WAIT_S)
    assert not closer.is_alive()
    assert closed == [True]


def test_close_in_a_section_that_the_sender_needs(broker: EmbeddedBroker, make: Make) -> None:
    """By a signal handler, or by a finalizer: both run in the midst of the thread's work."""
    producer = make(broker)
    metadata = producer._lifecycle.metadata
    clock = metadata._clock
    closed: list[bool] = []

    def clock_that_closes() -> int:
        if not closed and metadata.lock._is_owned() and threading.current_thread() is thread:
            closed.append(producer.close() is None)
        return clock()

    producer.send("t", b"x").get(WAIT_S)

    def send() -> None:
        with pytest.raises(ProducerClosedError):
            producer.send("missing", b"x")

    thread = threading.Thread(target=send, daemon=True)
    metadata._clock = clock_that_closes
    thread.start()
    thread.join(WAIT_S)
    assert closed == [True]


def test_flush_in_the_midst_of_metrics(broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it waits for, a callback, looks at the metrics too."""
    producer = make(broker)
    sample = pykafka_fast.lifecycle.sample
    looked: list[Any] = []

    def sample_that_flushes(*parts: Any) -> Any:
        if threading.current_thread() is thread:
            producer.send("t", b"x", on_delivery=lambda *_: looked.append(producer.metrics()))
            producer.flush(WAIT_S)
        return sample(*parts)

    monkeypatch.setattr(pykafka_fast.lifecycle, "sample", sample_that_flushes)
    thread = threading.Thread(target=producer.metrics, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert len(looked) == 1


def test_send_needs_no_wait_and_is_delivered(broker: EmbeddedBroker, make: Make, on_sender: Any) -> None:
    producer = make(broker)
    producer.send("t", b"1").get(WAIT_S)
    assert on_sender(producer, lambda: producer.send("t", b"2")).get(WAIT_S).topic == "t"
    error = on_sender(producer, lambda: producer.send("unknown", b"3")).exception
    assert isinstance(error, KafkaTimeoutError)
    assert "finalizer" in str(error)
    assert broker.record_count("t") == 2
