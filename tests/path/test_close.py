# SPDX-License-Identifier: Apache-2.0
"""close(): in every situation it ends in time, says what became of the records, and leaves nothing behind."""

from __future__ import annotations

import gc
import logging
import math
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import ClosedForcefullyError, IllegalStateError, KafkaError, ProducerClosedError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, check_balance, threads_of
from tools.brokers.processes import free_port, wait_for


def top_frame(thread: threading.Thread) -> str:
    """Name of the Python function in which the thread is."""
    assert thread.ident is not None
    frame = sys._current_frames().get(thread.ident)
    return frame.f_code.co_name if frame else ""


def timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def test_never_used(make: Make) -> None:
    producer = make(f"127.0.0.1:{free_port()}")
    assert threads_of(producer) == []
    assert timed(producer.close) < 5
    assert timed(producer.close) < 5
    with pytest.raises(ProducerClosedError):
        producer.send("t", b"x")


def test_idle(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.send("t", b"x", on_delivery=lambda *_: None).get(timeout=10)
    assert timed(producer.close) < 5
    assert threads_of(producer) == []
    for call in (lambda: producer.send("t", b"x"), lambda: producer.partitions_for("t")):
        with pytest.raises(IllegalStateError, match="closed"):
            call()
    assert producer.metrics() == {}
    assert not producer.bootstrap_connected()
    producer.flush(timeout=1)


@pytest.mark.parametrize("timeout", [None, 10, 10.0, threading.TIMEOUT_MAX])
def test_delivers_what_lingers(broker: EmbeddedBroker, make: Make, timeout: float | None) -> None:
    producer = make(broker, linger_ms=60_000)
    futures = [producer.send("t", b"x") for _ in range(100)]
    assert timed(lambda: producer.close(timeout)) < 5
    assert all(future.succeeded() for future in futures)
    assert broker.record_count("t") == 100


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, math.inf, threading.TIMEOUT_MAX * 2,
                                     pytest.param(10**400, id="10**400"), "1", [], 1j])
def test_refuses_a_senseless_timeout_and_stays_open(broker: EmbeddedBroker, make: Make, timeout: Any) -> None:
    producer = make(broker)
    with pytest.raises(ValueError if isinstance(timeout, (int, float)) else TypeError, match="number of seconds"):
        producer.close(timeout)
    producer.send("t", b"x").get(timeout=10)


def test_at_the_deadline_the_rest_fails(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.hold("Produce")
    futures = [producer.send("t", b"x", partition=i) for i in range(4)]
    broker.wait(lambda broker: broker.record_count("t") == 5)
    later = [producer.send("t", b"x", partition=0) for i in range(6)]
    with caplog.at_level(logging.WARNING, "pykafka_fast"):
        assert 0.25 < timed(lambda: producer.close(timeout=0.3)) < 5
    for future in futures + later:
        with pytest.raises(ClosedForcefullyError, match="closed forcefully"):
            future.get(timeout=0)
    # What was in a request may have been written, and here it was.
    assert [future.exception.in_doubt for future in futures] == [True] * 4
    assert broker.record_count("t") == 5 + sum(future.exception.in_doubt for future in later)
    assert "10 records (10 of 't')" in caplog.text
    check_balance(producer)


def test_0_drops_at_once(broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = make(broker, linger_ms=60_000)

    def tell_lost() -> None:  # another thread may have the interpreter at this point for long
        with pytest.raises(TimeoutError):
            broker.wait_for_requests("Produce", 1, timeout=0.2)

    monkeypatch.setattr(producer._lifecycle, "_tell_lost", tell_lost)
    outcomes: list[Any] = []
    futures = [producer.send("t", b"x", on_delivery=lambda _, error: outcomes.append(error)) for _ in range(100)]
    assert timed(lambda: producer.close(timeout=0)) < 5
    assert [type(future.exception) for future in futures] == [ClosedForcefullyError] * 100
    assert not any(future.exception.in_doubt for future in futures)
    wait_for(lambda: len(outcomes) == 100, "outcomes", 5)
    assert {type(error) for error in outcomes} == {ClosedForcefullyError}
    assert broker.record_count("t") == 0


def test_nobody_there_while_a_send_waits(make: Make) -> None:
    producer = make(f"127.0.0.1:{free_port()}", max_block_ms=60_000)
    raised: list[BaseException] = []

    def send() -> None:
        try:
            producer.send("t", b"x")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    while not threads_of(producer):
        time.sleep(0.01)
    while top_frame(thread) != "acquire":  # what the metadata will release
        time.sleep(0.001)
    assert timed(producer.close) < 5
    thread.join(10)
    assert [type(error) for error in raised] == [ProducerClosedError]


def test_wakes_who_waits_for_memory(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=32_768, linger_ms=0, max_block_ms=60_000)
    producer.send("t", b"x").get(timeout=10)
    broker.hold("Produce")
    raised: list[BaseException] = []

    def send() -> None:
        try:
            while True:
                producer.send("t", bytes(8000))
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    while producer._lifecycle.accumulator.pool_stats()["waiting"] < 3:
        time.sleep(0.01)
    assert timed(lambda: producer.close(timeout=0)) < 5
    for thread in threads:
        thread.join(10)
    assert [type(error) for error in raised] == [ProducerClosedError] * 3


def test_wakes_who_waits_for_the_callback_budget(broker: EmbeddedBroker, make: Make) -> None:
    go_on = threading.Event()
    producer = make(broker, linger_ms=0, max_block_ms=60_000)
    producer.send("t", b"x", on_delivery=lambda *_: go_on.wait(10))
    raised: list[BaseException] = []

    def send() -> None:
        try:
            while True:
                producer.send("t", b"x", on_delivery=lambda *_: None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    limit = 262_144
    while producer._lifecycle.accumulator.pending_callbacks() < limit:
        assert thread.is_alive(), raised
        time.sleep(0.01)
    assert timed(lambda: producer.close(timeout=0)) < 5
    thread.join(10)
    go_on.set()
    assert [type(error) for error in raised] == [ProducerClosedError]


def test_waits_for_slow_callbacks_as_long_as_it_may(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    ran = []
    for _ in range(10):
        producer.send("t", b"x", on_delivery=lambda *_: (time.sleep(0.05), ran.append(1)))
    producer.close()
    assert len(ran) == 10


def test_does_not_wait_longer_for_a_callback_that_hangs(broker: EmbeddedBroker, make: Make) -> None:
    go_on, called = threading.Event(), threading.Barrier(2)
    producer = make(broker)
    future = producer.send("t", b"x", on_delivery=lambda *_: (called.wait(20), go_on.wait(10)))
    called.wait(20)
    assert timed(lambda: producer.close(timeout=0.5)) < 5
    assert future.succeeded()
    go_on.set()
    wait_for(lambda: not threads_of(producer), "the end of its threads", 5)


def test_two_threads_at_once(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000)
    futures = [producer.send("t", b"x") for _ in range(100)]
    ends: list[bool] = []
    threads = [
        threading.Thread(target=lambda: (producer.close(), ends.append(all(f.succeeded() for f in futures))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert ends == [True] * 4


@pytest.mark.parametrize("timeout", [0, 0.2])
def test_a_second_thread_that_will_not_wait(broker: EmbeddedBroker, make: Make, timeout: float) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"x").get(timeout=10)
    broker.hold("Produce")
    future = producer.send("t", b"x")
    patient = threading.Thread(target=producer.close)
    patient.start()
    while not producer._lifecycle._closing:
        time.sleep(0.001)
    assert timed(lambda: producer.close(timeout=timeout)) < 5
    assert isinstance(future.exception, ClosedForcefullyError)
    patient.join(20)
    assert not patient.is_alive()


def test_in_a_callback(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(broker, linger_ms=0)
    took: list[float] = []
    outcomes: list[Any] = []
    first = producer.send("t", b"x", partition=0, on_delivery=lambda *_: took.append(timed(producer.close)))
    first.get(timeout=10)
    assert took
    assert took[0] < 5
    assert "in a callback" in caplog.text
    with pytest.raises(ProducerClosedError):
        producer.send("t", b"x", on_delivery=lambda *_: outcomes.append(1))
    assert timed(producer.close) < 5


def test_in_a_callback_while_another_thread_closes(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    called, closing = threading.Event(), threading.Event()

    def callback(*_: Any) -> None:
        called.set()
        assert closing.wait(20)
        producer.close()

    producer.send("t", b"x", on_delivery=callback)
    assert called.wait(20)
    broker.hold("Produce")
    future = producer.send("t", b"x")
    thread = threading.Thread(target=producer.close)
    thread.start()
    while not producer._lifecycle._closing:
        time.sleep(0.001)
    closing.set()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(future.exception, ClosedForcefullyError)


def test_in_an_interceptor(broker: EmbeddedBroker, make: Make) -> None:
    class Closing:
        def on_send(self, record: Any) -> Any:
            producer.close(timeout=1)
            return record

    producer = make(broker, interceptors=[Closing()])
    with pytest.raises(ProducerClosedError):
        producer.send("t", b"x")


def test_context_manager(broker: EmbeddedBroker) -> None:
    with KafkaProducer(bootstrap_servers=broker.address, linger_ms=60_000) as producer:
        future = producer.send("t", b"x")
    assert future.succeeded()
    check_balance(producer)
    futures = []

    def fails() -> None:
        with KafkaProducer(bootstrap_servers=broker.address, linger_ms=60_000) as producer:
            futures.append(producer.send("t", b"x"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert futures[0].succeeded()


def send_until_refused(producer: KafkaProducer, futures: list[Any], ends: list[BaseException]) -> None:
    mine = []
    try:
        while True:
            mine.append(producer.send("t", b"x"))
    except BaseException as error:
        futures.extend(mine)
        ends.append(error)


@pytest.mark.parametrize("timeout", [None, 0])
def test_while_other_threads_send(broker: EmbeddedBroker, make: Make, timeout: float | None) -> None:
    producer = make(broker, linger_ms=1)
    futures: list[Any] = []
    ends: list[BaseException] = []
    threads = [threading.Thread(target=send_until_refused, args=(producer, futures, ends)) for _ in range(4)]
    for thread in threads:
        thread.start()
    broker.wait(lambda broker: broker.record_count("t") > 1000, timeout=20)
    producer.close(timeout)
    for thread in threads:
        thread.join(5)
    assert [type(error) for error in ends] == [ProducerClosedError] * 4
    assert all(future.is_done for future in futures)
    failed = {type(future.exception) for future in futures if future.failed()}
    assert failed <= (set() if timeout is None else {ClosedForcefullyError})
    check_balance(producer)


def test_during_the_retries_of_a_batch(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, retry_backoff_ms=50)
    broker.fail("Produce", 19, times=4)
    future = producer.send("t", b"x")
    producer.close(timeout=10)
    assert future.succeeded()


def test_forced_while_a_batch_is_backing_off(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, retry_backoff_ms=60_000, retry_backoff_max_ms=60_000)
    broker.fail("Produce", 19, times=None)
    future = producer.send("t", b"x")
    broker.wait_for_requests("Produce", 1)
    assert timed(lambda: producer.close(timeout=0.3)) < 5
    with pytest.raises(ClosedForcefullyError):
        future.get(timeout=0)


def test_no_broker_left(start_broker: Any, make: Make) -> None:
    broker = start_broker()
    producer = make(broker, delivery_timeout_ms=1500, request_timeout_ms=1000, linger_ms=0)
    producer.send("t", b"x").get(timeout=10)
    broker.close()
    future = producer.send("t", b"x")
    assert timed(producer.close) < 8
    assert isinstance(future.exception, KafkaError)


def test_plugins_are_closed_once(broker: EmbeddedBroker) -> None:
    closed = []

    class Plugin:
        def close(self) -> None:
            closed.append(self)

        def serialize(self, topic: str, headers: Any, data: Any) -> bytes:
            return bytes(data)

        def on_send(self, record: Any) -> Any:
            return record

    serializer, interceptor = Plugin(), Plugin()
    producer = KafkaProducer(
        bootstrap_servers=broker.address, value_serializer=serializer, interceptors=[interceptor])
    producer.send("t", b"x").get(timeout=10)
    producer.close()
    producer.close()
    assert sorted(map(id, closed)) == sorted([id(serializer), id(interceptor)])


def test_collected_without_close(broker: EmbeddedBroker) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=60_000)
    name = producer.config["client_id"]
    future = producer.send("t", b"x", on_delivery=lambda *_: None)
    gone = weakref.ref(producer)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        del producer
        gc.collect()
    assert any("unclosed producer" in str(warning.message) and name in str(warning.message) for warning in warned)
    assert gone() is None
    assert future.get(timeout=10).offset == 0
    wait_for(lambda: not any(t.name.startswith(name) for t in threading.enumerate()), "the end of its threads", 5)


def test_collected_without_use_says_nothing(broker: EmbeddedBroker) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del producer
        gc.collect()


def test_a_cycle_through_a_pending_callback_is_collected_with_its_producer(broker: EmbeddedBroker) -> None:
    """producer -> nothing; record -> callback -> object -> producer: once it has run, nothing holds any of them."""

    class Service:
        def __init__(self) -> None:
            self.producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=60_000)
            self.futures = [self.producer.send("t", b"x", on_delivery=self.on_delivery) for _ in range(10)]
            self.futures[0].add_callback(self.on_delivery).add_errback(self.on_delivery)

        def on_delivery(self, *_: Any) -> None:
            pass

    service = Service()
    gone = weakref.ref(service), weakref.ref(service.producer)
    name = service.producer.config["client_id"]
    service.producer.flush(20)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        del service
        deadline = time.monotonic() + 20
        while any(it() for it in gone) and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)  # the delivery thread may still hold the last callback
    assert [it() for it in gone] == [None, None]
    assert any("unclosed producer" in str(warning.message) for warning in warned)
    while any(thread.name.startswith(name) for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cycles_through_callbacks_are_collected(broker: EmbeddedBroker) -> None:
    class Service:
        def __init__(self) -> None:
            self.producer = KafkaProducer(bootstrap_servers=broker.address)
            self.last = self.producer.send("t", b"x", on_delivery=self.on_delivery)

        def on_delivery(self, *_: Any) -> None:
            pass

    service = Service()
    service.last.get(timeout=10)
    service.last.add_callback(service.on_delivery)
    service.producer.close()
    gone = weakref.ref(service)
    del service
    gc.collect()
    assert gone() is None
