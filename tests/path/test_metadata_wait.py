# SPDX-License-Identifier: Apache-2.0
"""Metadata in a producer's life: when it is asked for, about what, how long send() waits, and when it is forgotten."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest

from pykafka_fast.errors import InvalidTopicError, KafkaTimeoutError, TopicAuthorizationFailedError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.ways import WAYS, make_by

TIMEOUT_S = 10.0


def timed(call: Any) -> tuple[Any, float]:
    began = time.monotonic()
    result = call()
    return result, time.monotonic() - began


def test_one_question_per_topic(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"a": 1, "b": 1})
    producer = make(broker)
    assert (broker.requests, producer.bootstrap_connected()) == ([], False)
    for topic in ("a", "b"):
        before = broker.request_count("Metadata")
        for _ in range(100):
            producer.send(topic, b"v")
        producer.flush(TIMEOUT_S)
        assert broker.request_count("Metadata") == before + 1
    assert producer.bootstrap_connected()
    producer.close()
    assert not producer.bootstrap_connected()


@pytest.mark.parametrize("way", WAYS)
def test_a_topic_that_is_not_there(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker, max_block_ms=1000)
    for partition in (None, 0):
        future, took = timed(lambda partition=partition: producer.send("unknown", b"v", partition=partition))
        assert 0.95 < took < 10
        with pytest.raises(KafkaTimeoutError, match=r"topic 'unknown'.*UNKNOWN_TOPIC_OR_PARTITION"):
            future.get(0)
    with pytest.raises(KafkaTimeoutError, match="unknown"):
        producer.partitions_for("unknown")
    producer._max_block_s = 30.0
    assert producer.send("t", b"v").get(TIMEOUT_S).offset >= 0
    asked = broker.request_count("Metadata")
    assert asked < 40  # with pauses between


@pytest.mark.parametrize("way", WAYS)
def test_a_topic_created_meanwhile(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    timer = threading.Timer(0.2, broker.create_topic, ("late", 3))
    began = time.monotonic()
    timer.start()
    future = producer.send("late", b"v", partition=1)
    assert 0.1 < time.monotonic() - began < 8
    assert future.get(TIMEOUT_S).offset == 0
    timer.join()


def test_auto_creation(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(auto_create=2)
    assert make(broker).send("made", b"v").get(TIMEOUT_S).offset == 0
    assert broker.topics["made"] == 2
    future = make(broker, allow_auto_create_topics=False, max_block_ms=200).send("not-made", b"v")
    assert isinstance(future.exception, KafkaTimeoutError)
    assert "not-made" not in broker.topics


def test_no_time_to_wait(broker: EmbeddedBroker, make: Make) -> None:
    """max_block_ms=0 never blocks: unknown topics fail at once, and become known meanwhile."""
    producer = make(broker, max_block_ms=0)
    future, took = timed(lambda: producer.send("t", b"v"))
    assert took < 5
    assert isinstance(future.exception, KafkaTimeoutError)
    broker.wait_for_requests("Metadata", 1)
    deadline = time.monotonic() + TIMEOUT_S
    while (future := producer.send("t", b"v")).is_done and future.failed():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert future.get(TIMEOUT_S).offset == 0


@pytest.mark.parametrize("forever", [math.inf, 10**12])
def test_all_the_time_in_the_world(forever: float, broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, max_block_ms=forever)
    timer = threading.Timer(0.15, broker.create_topic, ("late", 1))
    timer.start()
    assert producer.send("late", b"v").get(TIMEOUT_S).offset == 0
    timer.join()


def test_partitions_for(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 4, "other": 1})
    producer = make(broker)
    assert producer.partitions_for("t") == {0, 1, 2, 3}
    asked = broker.request_count("Metadata")
    assert producer.partitions_for("t") == {0, 1, 2, 3}
    assert broker.request_count("Metadata") == asked
    broker.leaderless("other")
    assert producer.partitions_for("other") == {0}
    for topic in ("a b", ""):
        with pytest.raises(InvalidTopicError):
            producer.partitions_for(topic)
    for bad in (None, 5, b"t"):
        with pytest.raises(TypeError):
            producer.partitions_for(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [5, 3, 13, 19])  # 5: LEADER_NOT_AVAILABLE
def test_errors_that_pass(code: int, broker: EmbeddedBroker, make: Make) -> None:
    broker.fail("Metadata", code, topic="t", times=3)
    producer = make(broker, retry_backoff_ms=10)
    future, took = timed(lambda: producer.send("t", b"v"))
    assert future.get(TIMEOUT_S).offset == 0
    assert took < 3


def test_authorization_is_asked_again(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    broker.fail("Metadata", 29, topic="t", times=1)
    assert isinstance(producer.send("t", b"v").exception, TopicAuthorizationFailedError)
    assert producer.send("t", b"v").get(TIMEOUT_S).offset == 0


def test_cuts_and_delays_while_waiting(broker: EmbeddedBroker, make: Make) -> None:
    broker.cut(when="before_append", api="Metadata", times=2)
    broker.cut(when=7, api="Metadata", times=1)
    broker.wrong_correlation_id("Metadata")
    broker.delay("Metadata", 100, times=2)
    producer = make(broker, reconnect_backoff_ms=10, reconnect_backoff_max_ms=20, retry_backoff_ms=10)
    future, took = timed(lambda: producer.send("t", b"v"))
    assert future.get(TIMEOUT_S).offset == 0
    assert took < 5


def test_age(start_broker: StartBroker, make: Make) -> None:
    """A snapshot older than metadata_max_age_ms is refreshed although nobody asks; new partitions are found."""
    broker = start_broker(topics={"t": 2})
    producer = make(broker, metadata_max_age_ms=100)
    producer.partitions_for("t")
    broker.add_partitions("t", 5)
    began, asked = time.monotonic(), broker.request_count("Metadata")
    broker.wait(lambda b: b.request_count("Metadata") >= asked + 5)
    took = time.monotonic() - began
    assert 0.35 < took < 3
    assert producer.partitions_for("t") == set(range(5))
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["metadata-age"] < 2


def test_an_idle_topic_is_forgotten_a_busy_one_is_not(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"idle": 1, "busy": 1})
    producer = make(broker, metadata_max_age_ms=50, metadata_max_idle_ms=5000, linger_ms=0)
    producer._lifecycle.metadata._max_idle_ns = 3_000_000_000  # the option begins at five seconds
    for topic in ("idle", "busy"):
        producer.send(topic, b"v").get(TIMEOUT_S)
    metadata = producer._lifecycle.metadata
    deadline = time.monotonic() + TIMEOUT_S
    while "idle" in metadata.snapshot.topics() and time.monotonic() < deadline:
        producer.send("busy", b"v").get(TIMEOUT_S)
        assert "busy" in metadata.snapshot.topics()
    assert metadata.snapshot.topics() == {"busy"}
    for _ in range(3):  # and comes back when it is used
        assert producer.send("idle", b"again").get(TIMEOUT_S).offset >= 1
    assert metadata.snapshot.topics() == {"busy", "idle"}


def test_forgotten_between_two_sends_of_the_fast_path(broker: EmbeddedBroker, make: Make) -> None:
    """Every way out of the fast path into a wait keeps the record's arguments."""
    producer = make(broker)
    producer.partitions_for("t")
    topic = producer._lifecycle.accumulator.topic("t")
    sends: list[dict[str, Any]] = [
        {"value": b"v"}, {"value": b"v", "key": b"k"}, {"value": b"v", "partition": 3}, {"key": b"k"},
        {"value": bytearray(b"v"), "headers": [("h", b"1")], "timestamp_ms": 5},
    ]  # fmt: skip
    called: list[Any] = []
    for arguments in sends:
        topic.forget()
        threading.Timer(0.05, producer._lifecycle.metadata.request_update).start()
        broker_knows = threading.Timer(0.05, topic.set_route, ([1, 1, 1, 1],))
        broker_knows.start()
        producer.send("t", on_delivery=lambda *a: called.append(a), **arguments).get(TIMEOUT_S)
        broker_knows.join()
    records = broker.records("t")
    assert len(records) == len(called) == len(sends)
    assert {(r.key, r.value, r.headers) for r in records} == {
        (None, b"v", ()), (b"k", b"v", ()), (b"k", None, ()), (None, b"v", (("h", b"1"),))
    }  # fmt: skip


def test_a_deleted_topic_comes_back(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 1})
    # Idempotence would go on with its sequence, which brokers accept where they know none, and this one complains of.
    producer = make(broker, retry_backoff_ms=10, metadata_max_age_ms=100, enable_idempotence=False)
    assert producer.send("t", b"old").get(TIMEOUT_S).offset == 0
    broker.delete_topic("t")
    future = producer.send("t", b"new")
    time.sleep(0.05)
    broker.create_topic("t", 1)
    assert future.get(TIMEOUT_S).offset == 0
    assert [record.value for record in broker.records("t")] == [b"new"]


def test_sixteen_waiters_one_question(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    broker.hold("Metadata")
    futures: list[Any] = []
    threads = [threading.Thread(target=lambda: futures.append(producer.send("t", b"v"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    broker.wait_for_requests("Metadata", 1)
    time.sleep(0.05)
    assert futures == []
    broker.release()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert all(future.get(TIMEOUT_S).topic == "t" for future in futures)
    assert broker.record_count("t") == 16
    assert broker.request_count("Metadata") <= 3
