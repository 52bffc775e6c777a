# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM during every call that blocks: raised within 200 ms, and the producer stays usable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import BufferExhaustedError, ClosedForcefullyError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker, check_balance
from tools.brokers.processes import free_port


def best(measure: Callable[[], float], limit: float = 0.2, tries: int = 6) -> None:
    """It does not take longer than `limit`, if the machine lets it."""
    took: list[float] = []
    while not took or (min(took) >= limit and len(took) < tries):
        took.append(measure())
    assert min(took) < limit, took


def interrupted(call: Callable[[], object], after: float = 0.15) -> float:
    """Run it in the main thread, send SIGINT while it blocks; seconds from the signal to KeyboardInterrupt."""
    sent: list[float] = []

    def send() -> None:
        time.sleep(after)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    def start_and_call() -> None:  # the signal may come before the call does
        thread.start()
        call()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=send)
    try:
        with pytest.raises(KeyboardInterrupt):
            start_and_call()
        return time.monotonic() - sent[0]
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def stalled(broker: EmbeddedBroker, make: Make) -> tuple[EmbeddedBroker, KafkaProducer]:
    """A producer with one record delivered and the broker held."""
    producer = make(broker, linger_ms=0, buffer_memory=64 << 10, max_block_ms=30_000)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.hold("Produce")
    return broker, producer


def usable(broker: EmbeddedBroker, producer: KafkaProducer) -> None:
    broker.release()
    assert producer.send("t", b"after", partition=0).get(timeout=10).offset > 0


def test_get(stalled: tuple[EmbeddedBroker, KafkaProducer]) -> None:
    broker, producer = stalled
    future = producer.send("t", b"x", partition=0)
    best(lambda: interrupted(future.get))
    usable(broker, producer)
    assert future.succeeded()


def test_flush(stalled: tuple[EmbeddedBroker, KafkaProducer]) -> None:
    broker, producer = stalled
    future = producer.send("t", b"x", partition=0)
    best(lambda: interrupted(producer.flush))
    lingering = producer._lifecycle.accumulator
    usable(broker, producer)
    assert future.succeeded()
    assert lingering.wait_live(5)


def test_send_that_waits_for_memory(broker: EmbeddedBroker, make: Make) -> None:
    told: list[Any] = []

    class Watching:
        def on_send(self, record: Any) -> Any:
            return record

        def on_send_error(self, record: Any, topic_partition: Any, error: BaseException) -> None:
            told.append(error)

    producer = make(broker, linger_ms=0, buffer_memory=64 << 10, interceptors=[Watching()])
    producer.send("t", b"x", partition=0).get(timeout=10)
    producer._max_block_s = 0.1
    broker.hold("Produce")
    while not isinstance(producer.send("t", bytes(8000)).exception, BufferExhaustedError):
        pass
    del told[:]
    metrics = producer.metrics()
    assert metrics is not None
    before = metrics["producer-metrics"]["record-error-total"]
    producer._max_block_s = 30.0
    best(lambda: interrupted(lambda: producer.send("t", bytes(8000))))
    interruptions = len(told)
    assert {type(error) for error in told} == {KeyboardInterrupt}
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["record-error-total"] == before + interruptions
    assert producer._lifecycle.accumulator.pool_stats()["waiting"] == 0
    usable(broker, producer)
    producer.flush(timeout=10)
    check_balance(producer)


def test_send_that_waits_for_metadata(start_broker: StartBroker, make: Make) -> None:
    port = free_port()
    producer = make(f"127.0.0.1:{port}", max_block_ms=30_000)
    best(lambda: interrupted(lambda: producer.send("t", b"x")))
    best(lambda: interrupted(lambda: producer.partitions_for("t")))
    broker = start_broker(port=port)
    assert producer.partitions_for("t") == {0, 1, 2, 3}
    assert producer.send("t", b"x").get(timeout=20).offset == 0
    broker.close()


def test_send_that_waits_for_callbacks(broker: EmbeddedBroker, make: Make) -> None:
    go_on = threading.Event()
    producer = make(broker, linger_ms=0, max_block_ms=30_000)
    producer.send("t", b"x", on_delivery=lambda *_: go_on.wait(20))
    ignore = lambda *_: None  # noqa: E731
    while not producer._lifecycle.accumulator.callbacks_full():
        producer.send("t", b"x", on_delivery=ignore)
    best(lambda: interrupted(lambda: producer.send("t", b"x", on_delivery=ignore)))
    go_on.set()
    assert producer.send("t", b"x", on_delivery=ignore).get(timeout=20)


def test_close(start_broker: StartBroker, make: Make) -> None:
    """It ends the producer all the same, and says what was lost."""

    def measure() -> float:
        broker = start_broker()
        producer = make(broker, linger_ms=0)
        producer.send("t", b"x", partition=0).get(timeout=10)
        broker.hold("Produce")
        future = producer.send("t", b"x", partition=0)
        took = interrupted(producer.close)
        assert isinstance(future.exception, ClosedForcefullyError)
        check_balance(producer)
        broker.release()
        return took

    best(measure)


def test_a_handler_that_does_not_raise_lets_the_call_go_on(stalled: tuple[EmbeddedBroker, KafkaProducer]) -> None:
    broker, producer = stalled
    future = producer.send("t", b"x", partition=0)
    handled: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: (handled.append(number), broker.release()))
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        future.get(timeout=10)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert handled == [signal.SIGUSR1]


def test_send_in_a_signal_handler(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"x").get(timeout=10)
    futures: list[Any] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: futures.append(producer.send("t", b"handler")))
    try:
        stop = time.monotonic() + 0.5
        while time.monotonic() < stop:
            signal.raise_signal(signal.SIGUSR1)
            futures.append(producer.send("t", b"main"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    producer.flush(timeout=10)
    assert all(future.succeeded() for future in futures)
    assert broker.record_count("t") == len(futures) + 1


STOPPED = """
import os, select, signal, sys, threading
from pykafka_fast import KafkaProducer

producer = KafkaProducer(bootstrap_servers=sys.argv[1], linger_ms=60_000, buffer_memory=64 << 10)
main = threading.get_ident()

def stop(*_):
    producer.close(timeout={timeout})
    os.write(1, b"closed\\n")  # the signal may interrupt a print()
    sys.exit(5)

def fill():
    while True:
        producer.send("t", bytes(8000), partition=0)

signal.signal(signal.SIGTERM, stop)
bell, ringer = os.pipe()
os.set_blocking(ringer, False)
signal.set_wakeup_fd(ringer)
future = producer.send("t", b"first", partition=0)
for i in range(100):
    producer.send("t", b"%d" % i, partition=1)
print("sent", flush=True)
{during}
sys.exit(1)
"""

DURING = {
    "wait": "select.select([bell], [], [], 20)",  # unlike a sleep it ends also for a signal that came just before
    "get": "future.get()",
    "flush": "producer.flush()",
    "send": "fill()",
    "close": "producer.close()",
    "with": "with producer: pass",
    "partitions_for": "producer.partitions_for('u')",
    "exit": "sys.exit(2)",
}


@pytest.mark.parametrize("timeout", [None, 20])
@pytest.mark.parametrize("during", DURING)
def test_sigterm_with_a_handler_that_closes(broker: EmbeddedBroker, during: str, timeout: float | None) -> None:
    """Also in the midst of another call: that is made by the same thread, which cannot wait for itself."""
    broker.hold("Produce", read=True)
    program = STOPPED.format(timeout=timeout, during=DURING[during])
    command = [sys.executable, "-c", program, broker.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sent\n"
        if during in ("get", "flush", "send", "close", "with", "exit"):
            broker.wait_for_requests("Produce", 1, timeout=20)
        if during == "partitions_for":
            broker.wait(lambda broker: broker.request_count("Metadata") >= 2, timeout=20)
        process.terminate()
        broker.release()
        try:
            out, err = process.communicate(timeout=15)
        finally:
            process.kill()
    if during != "exit":  # then the end has begun, and has a status already
        assert (process.returncode, out) == (5, "closed\n"), err
    else:
        assert process.returncode in (2, 5, 0, 120, 1), err
        assert out == "closed\n"
    assert broker.record_count("t", 1) == 100
    assert broker.record_count("t", 0) >= 1
