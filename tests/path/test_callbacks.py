# SPDX-License-Identifier: Apache-2.0
"""Callbacks: in append order per partition, on their own thread, never in the way of the wire."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import BufferExhaustedError, InvalidRecordError, KafkaTimeoutError, MessageSizeTooLargeError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tools.brokers.processes import wait_for


def test_in_append_order_per_partition_also_over_retries(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, batch_size=300, retry_backoff_ms=5)
    broker.fail("Produce", 19, partition=1, times=5)
    broker.fail("Produce", 6, partition=2, times=3)
    seen: list[tuple[int, int]] = []
    for i in range(4000):
        producer.send("t", b"%d" % i, partition=i % 4, on_delivery=lambda m, e, i=i: seen.append((m.partition, i)))
        if i % 100 == 0:
            time.sleep(0.001)
    producer.flush(timeout=20)
    assert len(seen) == 4000
    for partition in range(4):
        mine = [number for where, number in seen if where == partition]
        assert mine == list(range(partition, 4000, 4))


def test_get_metadata_and_no_error(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    seen: list[Any] = []
    future = producer.send(
        "t", b"x", key=b"k", on_delivery=lambda *args: seen.append((args, threading.current_thread())))
    metadata = future.get(timeout=10)
    (args, thread) = seen[0]
    assert args == (metadata, None)
    assert thread.name == f"{producer.config['client_id']}-delivery"


def test_of_a_record_that_fails_get_metadata_without_offset(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    broker.fail("Produce", 87)
    seen: list[Any] = []
    future = producer.send("t", b"x", partition=2, on_delivery=lambda *args: seen.append(args))
    with pytest.raises(InvalidRecordError):
        future.get(timeout=10)
    ((metadata, error),) = seen
    assert (metadata.topic, metadata.partition, metadata.offset) == ("t", 2, -1)
    assert isinstance(error, InvalidRecordError)


def test_of_a_record_refused_by_send_run_on_the_callers_thread(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, max_request_size=1000)
    producer.send("t", b"x").get(timeout=10)
    seen: list[Any] = []
    future = producer.send(
        "t", bytes(2000), partition=1, on_delivery=lambda *args: seen.append((*args, threading.current_thread())))
    ((metadata, error, thread),) = seen
    assert (metadata.topic, metadata.partition, metadata.offset) == ("t", 1, -1)
    assert isinstance(error, MessageSizeTooLargeError)
    assert thread is threading.current_thread()
    assert future.failed()


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_one_that_raises_is_logged_and_stops_nothing(
    broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    producer = make(broker)
    seen: list[int] = []

    def bad(*_: Any) -> None:
        raise error

    futures = []
    with caplog.at_level(logging.ERROR, "pykafka_fast"):
        for i in range(10):
            futures.append(producer.send("t", b"x", partition=0, on_delivery=bad))
            producer.send("t", b"x", partition=0, on_delivery=lambda *_, i=i: seen.append(i))
        producer.flush(timeout=10)
    assert seen == list(range(10))
    assert all(future.succeeded() for future in futures)

    def raised() -> int:
        return sum(record.exc_info is not None and record.exc_info[0] is type(error) for record in caplog.records)

    wait_for(lambda: raised() == 10, "ten lines", 10)
    producer.send("t", b"x").get(timeout=10)


def test_a_slow_one_does_not_delay_the_wire(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    go_on = threading.Event()
    blocked = threading.Event()
    producer.send("t", b"x", partition=0, on_delivery=lambda *_: (blocked.set(), go_on.wait(20)))
    assert blocked.wait(10)
    try:
        began = time.monotonic()
        futures = [producer.send("t", b"x", partition=i % 4) for i in range(1000)]
        assert futures[-1].get(timeout=5).offset >= 0  # without a callback of its own
        with_callback = producer.send("t", b"x", partition=1, on_delivery=lambda *_: None)
        broker.wait(lambda broker: broker.record_count("t") == 1002, timeout=5)
        assert time.monotonic() - began < 5
        deadline = time.monotonic() + 5
        while not with_callback.is_done and time.monotonic() < deadline:
            time.sleep(0.001)
        assert with_callback.is_done
        with pytest.raises(KafkaTimeoutError):
            with_callback.get(timeout=0.1)  # its callback has not run
    finally:
        go_on.set()
    assert with_callback.get(timeout=5).offset >= 0


def test_get_returns_after_them(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    for _ in range(50):
        ran: list[int] = []
        future = producer.send("t", b"x", on_delivery=lambda *_, ran=ran: ran.append(1))
        future.add_callback(lambda metadata, ran=ran: ran.append(2))
        future.get(timeout=10)
        assert ran == [1, 2]


@pytest.mark.parametrize("limit", [1_000_000, 2_000], ids=["whole", "split"])
@pytest.mark.parametrize("many", [False, True])
def test_get_waits_for_its_own_also_after_a_split(
    many: bool, limit: int, start_broker: StartBroker, make: Make
) -> None:
    broker = start_broker(topics={"t": 1, "u": 1}, max_message_bytes=limit)
    producer = make(broker, linger_ms=60_000)
    entered, gate = threading.Event(), threading.Event()
    producer.send("u", b"slow", on_delivery=lambda *_: (entered.set(), gate.wait(30)))
    flushing = threading.Thread(target=producer.flush)
    flushing.start()
    assert entered.wait(30)  # from now on the delivery thread is busy
    told: list[object] = []
    if many:
        future: Any = producer.send_many("t", [bytes(100)] * 100)
    else:
        future = [producer.send("t", bytes(100)) for _ in range(100)][-1]
    future.add_callback(told.append)
    wait_for(lambda: broker.record_count("t") == 100 and future.is_done, "the broker", 30)
    with pytest.raises(KafkaTimeoutError):
        future.get(0.2)
    assert not told
    gate.set()
    future.get(30)
    assert len(told) == 1
    flushing.join(30)


def test_send_in_one(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    done = threading.Event()
    chain: list[int] = []

    def step(metadata: Any, error: Any) -> None:
        chain.append(metadata.offset)
        if len(chain) < 50:
            producer.send("t", b"x", partition=0, on_delivery=step)
        else:
            done.set()

    producer.send("t", b"x", partition=0, on_delivery=step)
    assert done.wait(20)
    assert chain == list(range(50))


def test_get_in_one(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    seen: list[Any] = []
    future = producer.send(
        "t", b"x", partition=0,
        on_delivery=lambda *_: seen.append(producer.send("t", b"y", partition=1).get(timeout=10).offset))
    future.get(timeout=10)
    assert seen == [0]


def test_the_budget_makes_send_wait_but_not_the_delivery_thread(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, max_block_ms=300)
    go_on, filled = threading.Event(), threading.Event()
    from_callback: list[Any] = []

    def first(*_: Any) -> None:
        filled.wait(30)
        from_callback.append(producer.send("t", b"x", on_delivery=lambda *_: None))
        go_on.wait(10)

    producer.send("t", b"x", on_delivery=first)
    accumulator = producer._lifecycle.accumulator
    while accumulator.pending_callbacks() < 262_144:
        producer.send("t", b"x", on_delivery=lambda *_: None)
    began = time.monotonic()
    refused = producer.send("t", b"x", on_delivery=lambda *_: None)
    assert 0.25 < time.monotonic() - began < 5
    assert isinstance(refused.exception, BufferExhaustedError)
    assert "callback" in str(refused.exception)
    assert producer.send("t", b"x").get(timeout=5).offset >= 0  # without one there is no need to wait
    filled.set()
    deadline = time.monotonic() + 5
    while not from_callback and time.monotonic() < deadline:
        time.sleep(0.01)
    go_on.set()
    assert [type(future.exception) for future in from_callback] == [type(None)]
    producer.flush(timeout=20)
    assert accumulator.pending_callbacks() == 0
    assert producer.send("t", b"x", on_delivery=lambda *_: None).get(timeout=10).offset >= 0


def test_of_interceptors_come_first(broker: EmbeddedBroker, make: Make) -> None:
    seen: list[Any] = []

    class Watching:
        def on_send(self, record: Any) -> Any:
            return record

        def on_acknowledgement(self, metadata: Any, exception: Any) -> None:
            seen.append(("interceptor", metadata.offset, exception))

    producer = make(broker, interceptors=[Watching()])
    future = producer.send("t", b"x", partition=0, on_delivery=lambda m, e: seen.append(("callback", m.offset, e)))
    future.get(timeout=10)
    producer.send("t", b"x", partition=0).get(timeout=10)
    assert seen == [("interceptor", 0, None), ("callback", 0, None), ("interceptor", 1, None)]


def test_attached_late_and_after_the_end(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    future = producer.send("t", b"x")
    future.get(timeout=10)
    seen: list[Any] = []
    assert future.add_callback(seen.append) is future
    assert future.add_errback(seen.append) is future
    future.add_both(lambda *args: seen.append(args), "extra")
    assert seen == [future.value, ("extra", future.value)]
    producer.close()
    future.add_callback(seen.append)
    assert len(seen) == 3


def test_attached_while_the_batch_completes(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    for _ in range(300):
        ran = threading.Event()
        future = producer.send("t", b"x")
        for _ in range(3):
            future.add_callback(lambda _, ran=ran: ran.set())
        assert ran.wait(5)


def test_delivered_references_are_let_go(broker: EmbeddedBroker) -> None:
    import gc
    import weakref

    class Callback:
        def __call__(self, metadata: Any, error: Any) -> None:
            pass

    with KafkaProducer(bootstrap_servers=broker.address) as producer:
        callback = Callback()
        gone = weakref.ref(callback)
        future = producer.send("t", b"x", on_delivery=callback)
        future.get(timeout=10)
        del callback
        gc.collect()
        deadline = time.monotonic() + 2
        while gone() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert gone() is None
        assert future.succeeded()


def test_metadata_that_a_callback_keeps_stays_what_it_was(broker: EmbeddedBroker, make: Make) -> None:
    """Also between callbacks that keep none, and when one that failed let its metadata into a traceback."""
    producer = make(broker)
    kept: list[tuple[int, Any]] = []

    def keep(number: int) -> Any:
        def on_delivery(metadata: Any, error: BaseException | None) -> None:
            if number % 7 == 0:
                raise RuntimeError(metadata)
            if number % 3 == 0:
                kept.append((number, metadata))

        return on_delivery

    for number in range(2_000):
        value = b"x" * (number % 50)
        producer.send("t", value, key=b"k", partition=1, timestamp_ms=number, on_delivery=keep(number))
    producer.flush(timeout=20)
    assert [number for number, _ in kept] == [number for number in range(2_000) if number % 3 == 0 and number % 7]
    for number, it in kept:
        assert (it.offset, it.timestamp, it.serialized_value_size) == (number, number, number % 50)


class BrokenHandler(logging.Handler):
    """A log handler that raises instead of keeping its troubles to itself."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("the log is broken")


def test_when_the_log_raises_too_the_others_still_run(
    broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = make(broker, linger_ms=60_000)
    raised: list[Any] = []
    monkeypatch.setattr("threading.excepthook", lambda told: raised.append(told.exc_value))
    monkeypatch.setattr("sys.unraisablehook", lambda told: raised.append(told.exc_value))  # of the last, on this thread
    log, broken = logging.getLogger("pykafka_fast.delivery"), BrokenHandler()
    seen: list[int] = []

    def callback(metadata: Any, error: Any) -> None:
        seen.append(metadata.offset)
        raise ValueError("the callback's own")

    log.addHandler(broken)
    try:
        for _ in range(3):
            future = producer.send("t", b"x", partition=0, on_delivery=callback)
        future.add_callback(lambda metadata: callback(metadata, None))
        producer.flush(timeout=20)
        future.add_callback(lambda metadata: callback(metadata, None))
        wait_for(lambda: len(raised) == 5, "five lines", 20)
    finally:
        log.removeHandler(broken)
    assert seen == [0, 1, 2, 2, 2]
    assert [str(error) for error in raised] == ["the log is broken"] * 5


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("many", [False, True])
def test_one_that_runs_at_once_ends_its_caller(
    many: bool, error: BaseException, broker: EmbeddedBroker, make: Make
) -> None:
    """sys.exit() and Ctrl-C in add_callback() are the caller's, not the log's."""
    producer = make(broker)
    future: Any = producer.send_many("t", [b"a", b"b"]) if many else producer.send("t", b"x")
    future.get(timeout=10)
    producer.flush(timeout=10)

    def bad(_: Any) -> None:
        raise error

    for add in (future.add_callback, future.add_both):
        with pytest.raises(type(error)) as raised:
            add(bad)
        assert raised.value is error
    called: list[Any] = []
    future.add_callback(called.append)
    assert len(called) == 1
