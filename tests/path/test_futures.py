# SPDX-License-Identifier: Apache-2.0
"""Futures: waiting, looking, callbacks, and that a batch somebody waits for does not linger."""

from __future__ import annotations

import gc
import logging
import math
import pickle
import sys
import threading
import time
import weakref
from fractions import Fraction
from typing import Any

import pytest
from kafka.future import Future

from pykafka_fast import RecordFuture, RecordMetadata
from pykafka_fast.errors import (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RetriableError,
    TopicAuthorizationFailedError,
)
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make

TIMEOUT_S = 10.0
LONG_MS = 30_000


def test_pending_then_delivered(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")
    future = producer.send("t", b"v", partition=2)
    assert (future.is_done, future.value, future.exception) == (False, None, None)
    assert (future.succeeded(), future.failed(), future.retriable()) == (False, False, False)
    assert repr(future) == "<RecordFuture t-2 pending>"
    assert future._produce_future.topic_partition == future.topic_partition == ("t", 2)
    with pytest.raises(KafkaTimeoutError, match=r"Timeout after waiting for 0\.05 secs"):
        future.get(0.05)
    with pytest.raises(KafkaTimeoutError):
        future.get(0)
    broker.release()
    metadata = future.get(TIMEOUT_S)
    assert (future.is_done, future.exception) == (True, None)
    assert (future.succeeded(), future.failed(), future.retriable()) == (True, False, False)
    assert future.value == metadata == future.get(0) == future.get()
    assert (metadata.topic, metadata.partition, metadata.offset) == ("t", 2, 0)
    assert repr(future) == "<RecordFuture t-2 done>"


def test_failed(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    broker.fail("Produce", 29, topic="t")
    future = producer.send("t", b"v", partition=2)
    for _ in range(2):
        with pytest.raises(TopicAuthorizationFailedError):
            future.get(TIMEOUT_S)
    assert (future.is_done, future.value) == (True, None)
    assert (future.succeeded(), future.failed(), future.retriable()) == (False, True, False)
    assert future.exception == future.exception
    assert repr(future) == "<RecordFuture t-2 failed>"


def test_retriable(broker: EmbeddedBroker, make: Make) -> None:
    future = make(broker, max_block_ms=20).send("unknown", b"v")
    assert isinstance(future.exception, RetriableError)
    assert future.retriable()
    assert future.topic_partition == ("unknown", -1)


def test_metadata_is_a_tuple_of_kafka_pythons_nine(broker: EmbeddedBroker, make: Make) -> None:
    metadata = make(broker).send("t", b"v", key=b"k", headers=[("h", None)], partition=0, timestamp_ms=7).get(TIMEOUT_S)
    assert tuple(metadata) == ("t", 0, ("t", 0), 0, 7, None, 1, 1, 1)
    assert metadata._fields[3:6] == ("offset", "timestamp", "checksum")
    assert metadata[3] == metadata.offset == 0
    assert metadata[-1] == metadata.serialized_header_size == 1
    assert len(metadata) == 9
    topic, *_, size = metadata
    assert (topic, size) == ("t", 1)
    assert metadata == tuple(metadata)
    assert hash(metadata) == hash(tuple(metadata))
    assert pickle.loads(pickle.dumps(metadata)) == metadata
    assert RecordMetadata("t", 0, None, 0, 7, None, 1, 1, 1) == metadata
    assert "offset=0" in repr(metadata)
    with pytest.raises(AttributeError):
        metadata.offset = 5  # type: ignore[misc]


def test_a_future_outlives_its_producer(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    futures = [producer.send("t", b"%d" % n, partition=0) for n in range(10)]
    failed = producer.send("a b", b"v")
    producer.close()
    del producer
    gc.collect()
    assert [future.get().offset for future in futures] == list(range(10))
    assert failed.failed()
    assert sys.getsizeof(futures[0]) <= 64


# ---- lingering -------------------------------------------------------------------------------------------------------


def test_a_waited_for_batch_does_not_linger(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=LONG_MS, delivery_timeout_ms=2 * LONG_MS)
    producer.partitions_for("t")
    began = time.monotonic()
    for n in range(5):
        futures = [producer.send("t", b"v", partition=0) for _ in range(10)]
        assert futures[3].get(TIMEOUT_S).offset == 10 * n + 3
        assert all(future.is_done for future in futures)
    other = producer.send("t", b"v", partition=1)
    assert producer.send("t", b"v", partition=0).get(TIMEOUT_S).offset == 50
    assert time.monotonic() - began < 15
    assert not other.is_done  # nobody waits for that one
    broker.hold("Produce")  # get(0) makes the record leave, and the answer could be there at once
    with pytest.raises(KafkaTimeoutError):
        producer.send("t", b"v", partition=2).get(0)
    broker.release()
    producer.flush(TIMEOUT_S)
    assert time.monotonic() - began < 15


def test_a_callback_does_not_hurry_it(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=LONG_MS, delivery_timeout_ms=2 * LONG_MS)
    future = producer.send("t", b"v", on_delivery=lambda *a: None)
    future.add_both(lambda outcome: None)
    producer.send("t", b"v", partition=(future.topic_partition.partition + 1) % 4).get(TIMEOUT_S)
    assert not future.is_done  # the wire has been round, and left it
    producer.flush(TIMEOUT_S)


# ---- many who wait ---------------------------------------------------------------------------------------------------


def test_get_from_many_threads(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")
    futures = [producer.send("t", b"v", partition=n % 4) for n in range(40)]
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append([futures[(n + i) % 40].get(TIMEOUT_S) for i in range(40)]))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    broker.wait(lambda broker: broker.record_count("t") == 40)  # written, and not answered
    assert results == []
    broker.release()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(results) == 20
    everything = {(metadata.partition, metadata.offset) for metadata in results[0]}
    assert everything == {(p, offset) for p in range(4) for offset in range(10)}
    assert all({(m.partition, m.offset) for m in result} == everything for result in results)


def test_one_time_out_does_not_disturb_the_others(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")
    future = producer.send("t", b"v")
    results: list[Any] = []

    def wait(timeout: float) -> None:
        try:
            results.append(future.get(timeout))
        except KafkaTimeoutError:
            results.append(timeout)

    threads = [threading.Thread(target=wait, args=(timeout,)) for timeout in (0.05, 0.1, TIMEOUT_S)]
    for thread in threads:
        thread.start()
    for thread in threads[:2]:
        thread.join(5)
    assert sorted(results) == [0.05, 0.1]
    broker.release()
    threads[2].join(TIMEOUT_S)
    assert results[2] == future.value


# ---- callbacks on futures --------------------------------------------------------------------------------------------


def test_listeners_of_a_pending_future(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")
    log: list[Any] = []
    future = producer.send("t", b"v", partition=0, on_delivery=lambda metadata, exception: log.append("on_delivery"))

    def note(*args: Any, **kwargs: Any) -> None:
        log.append((*args, kwargs, threading.current_thread().name))

    assert future.add_callback(note, "x", y=1) is future
    assert future.add_errback(note, "never") is future
    assert future.add_both(note, "both") is future
    future.add_callback(lambda metadata: log.append("last"))
    assert log == []
    broker.release()
    metadata = future.get(TIMEOUT_S)  # returns after the callbacks have run
    thread = producer.config["client_id"] + "-delivery"
    assert log == ["on_delivery", ("x", metadata, {"y": 1}, thread), ("both", metadata, {}, thread), "last"]


def test_listeners_of_a_done_future_run_at_once(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    delivered = producer.send("t", b"v")
    delivered.get(TIMEOUT_S)
    broker.fail("Produce", 29, topic="t")
    failed = producer.send("t", b"v")
    with pytest.raises(TopicAuthorizationFailedError):
        failed.get(TIMEOUT_S)
    refused = producer.send("a b", b"v")
    producer.close()  # also without the delivery thread
    for future in (delivered, failed, refused):
        log: list[Any] = []
        me = threading.current_thread()
        future.add_callback(lambda *a, to=log: to.append(("callback", *a, threading.current_thread())), "arg")
        future.add_errback(lambda *a, to=log: to.append(("errback", *a, threading.current_thread())), "arg")
        future.add_both(lambda *a, to=log: to.append(("both", *a, threading.current_thread())))
        outcome = future.value if future.succeeded() else future.exception
        kind = "callback" if future.succeeded() else "errback"
        assert log == [(kind, "arg", outcome, me), ("both", outcome, me)]


def test_a_listener_that_raises(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")
    future = producer.send("t", b"v")
    log: list[Any] = []
    with caplog.at_level(logging.ERROR):
        future.add_callback(lambda metadata: 1 / 0).add_callback(log.append)
        broker.release()
        metadata = future.get(TIMEOUT_S)
        future.add_callback(lambda metadata: 1 / 0)
    assert log == [metadata]
    assert caplog.text.count("Error processing callback") == 2
    for what in (None, 5):
        with pytest.raises(TypeError):
            future.add_callback(what)  # type: ignore[arg-type]


def test_a_listener_may_attach_another_and_send(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    log: list[Any] = []

    def first(metadata: Any) -> None:
        future.add_callback(lambda metadata: log.append("second"))
        log.append(producer.send("t", b"more", partition=1).get(TIMEOUT_S).partition)

    future = producer.send("t", b"v", partition=0)
    future.add_callback(first)
    future.get(TIMEOUT_S)
    producer.flush(TIMEOUT_S)
    assert sorted(log, key=str) == [1, "second"]


def test_chain_to_kafka_pythons_future(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, max_request_size=1000)
    good, bad = Future(), Future()
    future = producer.send("t", b"v").chain(good)
    assert isinstance(producer.send("t", bytes(1000)).chain(bad), RecordFuture)
    assert future.get(TIMEOUT_S) == good.value
    assert isinstance(bad.exception, MessageSizeTooLargeError)


def test_many_listeners_race_with_the_outcome(broker: EmbeddedBroker, make: Make) -> None:
    """Each runs exactly once, whether it came before or after the acknowledgement."""
    producer = make(broker, linger_ms=0)
    ran: list[int] = []
    count = 0
    for _ in range(200):
        future = producer.send("t", b"v")
        for _ in range(10):
            future.add_both(lambda outcome, n: ran.append(n), n=count)
            count += 1
    producer.flush(TIMEOUT_S)
    assert sorted(ran) == list(range(count))


@pytest.mark.parametrize("timeout", [1e10, 2**70, pytest.param(10**400, id="10**400"), float("inf")])
def test_a_very_long_wait_sleeps(broker: EmbeddedBroker, make: Make, timeout: float) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    broker.delay("Produce", 400)
    future = producer.send("t", b"v")
    began = time.thread_time()
    assert future.get(timeout).offset == 0
    assert time.thread_time() - began < 0.03


def test_a_timeout_of_a_wrong_type_says_what_is_right(broker: EmbeddedBroker, make: Make) -> None:
    future = make(broker).send("t", b"v")
    with pytest.raises(TypeError, match="number of seconds or None, not str"):
        future.get(timeout="1")  # type: ignore[arg-type]
    assert future.get(TIMEOUT_S).offset == 0


def test_a_senseless_timeout_is_refused_pending_or_done(broker: EmbeddedBroker, make: Make) -> None:
    future = make(broker, linger_ms=LONG_MS).send("t", b"v")
    with pytest.raises(ValueError, match="timeout="):
        future.get(math.nan)
    assert not future.is_done  # it was not even made to leave
    future.get(TIMEOUT_S)
    with pytest.raises(ValueError, match="timeout="):
        future.get(math.nan)


@pytest.mark.parametrize("timeout", [0, -1, -0.001, -math.inf, Fraction(-1, 3)])
def test_when_there_is_no_time_left(broker: EmbeddedBroker, make: Make, timeout: float) -> None:
    """As in future.get(deadline - time.time())."""
    broker.hold("Produce")
    producer = make(broker)
    future, many = producer.send("t", b"v", partition=0), producer.send_many("t", [b"v"], partition=0)
    for pending in (future, many):
        with pytest.raises(KafkaTimeoutError):
            pending.get(timeout)
    broker.release()
    producer.flush(TIMEOUT_S)
    assert (future.get(timeout).offset, many.get(timeout)[0].offset) == (0, 1)


def test_nothing_keeps_what_callbacks_hold(broker: EmbeddedBroker, make: Make) -> None:
    class Held:
        def call(self, *args: Any) -> None:
            pass

    producer = make(broker)
    held = [Held() for _ in range(3)]
    gone = [weakref.ref(it) for it in held]
    future = producer.send("t", b"v", on_delivery=held[0].call)
    future.add_callback(held[1].call).add_errback(held[2].call)
    future.get(TIMEOUT_S)
    producer.flush(TIMEOUT_S)
    gc.disable()
    try:
        held.clear()
        deadline = time.monotonic() + 5
        while any(it() is not None for it in gone) and time.monotonic() < deadline:
            time.sleep(0.01)  # the delivery thread is about to let go of the last one
        assert [it() for it in gone] == [None] * 3
    finally:
        gc.enable()
