# SPDX-License-Identifier: Apache-2.0
"""Topics that change under a producer: they grow, go and come back, have no leader yet, or are not for us."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast.errors import KafkaTimeoutError, TopicAuthorizationFailedError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.test_retry import outcomes
from tools.brokers.processes import wait_for

TIMEOUT_S = 20.0
QUICK: dict[str, Any] = {"linger_ms": 0, "retry_backoff_ms": 5, "retry_backoff_max_ms": 50}


def send_until(producer: Any, condition: Callable[[], object], topic: str = "t") -> list[Any]:
    """Records without a key, one batch each, until something is so."""
    futures: list[Any] = []
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        futures.append(producer.send(topic, b"%06d" % len(futures)))
        producer.flush(TIMEOUT_S)
    return futures


def test_partitions_added_while_sending(start_broker: StartBroker, make: Make) -> None:
    """They are found at the next refresh and used; nothing is lost, and what has a key may move."""
    broker = start_broker(topics={"t": 1})
    producer = make(broker, **QUICK, metadata_max_age_ms=100)
    futures = send_until(producer, lambda: broker.record_count("t") >= 50)
    broker.add_partitions("t", 4)
    futures += send_until(producer, lambda: all(broker.record_count("t", partition) for partition in range(4)))
    assert outcomes(futures) == [None] * len(futures)
    assert producer.partitions_for("t") == {0, 1, 2, 3}
    assert {future.get(0).partition for future in futures} == {0, 1, 2, 3}
    assert broker.record_count("t") == len(futures)


def test_a_partition_that_is_only_just_there(start_broker: StartBroker, make: Make) -> None:
    """Named by the caller before metadata knows it: send() waits for a refresh, however young the snapshot is."""
    broker = start_broker(topics={"t": 1})
    producer = make(broker, **QUICK)
    assert producer.partitions_for("t") == {0}
    broker.add_partitions("t", 3)
    assert producer.send("t", b"v", partition=2).get(TIMEOUT_S).partition == 2


@pytest.mark.parametrize("many", [False, True])
def test_names_that_never_were_leave_nothing(many: bool, start_broker: StartBroker, make: Make) -> None:
    """Whoever sends may make them up without end."""
    producer = make(start_broker(topics={"t": 1}), max_block_ms=0, allow_auto_create_topics=False)
    wait_for(lambda: not producer.send("t", b"v").failed(), "metadata", TIMEOUT_S)  # nothing waits with max_block_ms=0
    for n in range(1000):
        if many:
            with pytest.raises(KafkaTimeoutError):
                producer.send_many(f"none-{n}", [b"v"])
        else:
            assert isinstance(producer.send(f"none-{n}", b"v").exception, KafkaTimeoutError)
    assert producer._lifecycle.accumulator.topics() == ["t"]
    metrics = producer.metrics()
    assert [group for group in metrics if "none" in group] == []
    assert metrics["producer-metrics"]["record-error-total"] >= 1000


@pytest.mark.parametrize("code", [19, 3])
def test_order_in_a_topic_that_was_created_again(code: int, start_broker: StartBroker, make: Make) -> None:
    """It takes any sequence for the producer's first one: what comes behind a refused batch must not be with it yet."""
    broker = start_broker(topics={"t": 1}, strangers=True)
    producer = make(broker, linger_ms=0, batch_size=0, metadata_max_age_ms=100, retry_backoff_ms=20)
    for n in range(5):
        producer.send("t", b"%d" % n).get(TIMEOUT_S)
    broker.delete_topic("t")
    broker.create_topic("t", 1)
    asked = broker.request_count("Metadata")
    broker.wait_for_requests("Metadata", asked + 3)
    broker.delay("Produce", 50)
    broker.fail("Produce", code, times=1)
    futures = [producer.send("t", b"%d" % n) for n in range(5, 10)]  # a batch each
    assert outcomes(futures) == [None] * 5
    assert [record.value for record in broker.records("t", 0)] == [b"%d" % n for n in range(5, 10)]


@pytest.mark.parametrize("idempotent", [True, False])
def test_deleted_and_created_again(idempotent: bool, start_broker: StartBroker, make: Make) -> None:
    """The new topic has another id and another number of partitions; its leader knows nothing of us."""
    broker = start_broker(topics={"t": 4}, strangers=True)
    producer = make(broker, **QUICK, enable_idempotence=idempotent,
                    max_in_flight_requests_per_connection=5 if idempotent else 1)
    assert outcomes([producer.send("t", b"old", partition=i % 4) for i in range(40)]) == [None] * 40
    old_id = broker.topic_id("t")
    broker.delete_topic("t")
    futures = [producer.send("t", b"%02d" % i, partition=i % 2) for i in range(20)]
    asked = broker.request_count("Metadata")
    broker.wait_for_requests("Metadata", asked + 2)
    assert not any(future.is_done for future in futures)
    broker.create_topic("t", 2)
    assert broker.topic_id("t") != old_id
    assert outcomes(futures) == [None] * 20
    for partition in range(2):
        assert [record.value for record in broker.records("t", partition)] == [
            b"%02d" % i for i in range(20) if i % 2 == partition
        ]
    assert {producer.send("t", b"later").get(TIMEOUT_S).partition for _ in range(20)} <= {0, 1}


def test_deleted_while_sending_and_created_again(start_broker: StartBroker, make: Make) -> None:
    """Whatever is acknowledged once the new topic is there is in it, once and in order."""
    broker = start_broker(topics={"t": 1}, strangers=True)
    producer = make(broker, **QUICK)
    sent: list[Any] = []
    stop = threading.Event()

    def send_on() -> None:
        while not stop.is_set():
            sent.append(producer.send("t", b"%06d" % len(sent)))
            sent[-1].get(TIMEOUT_S)

    sender = threading.Thread(target=send_on)
    sender.start()
    try:
        broker.wait(lambda it: it.record_count("t") >= 20, TIMEOUT_S)
        broker.delete_topic("t")
        asked = broker.request_count("Metadata")
        broker.wait_for_requests("Metadata", asked + 1)
        broker.create_topic("t", 1)
        broker.wait(lambda it: it.record_count("t") >= 20, TIMEOUT_S)
    finally:
        stop.set()
        sender.join(TIMEOUT_S)
    values = [record.value for record in broker.records("t")]
    assert values == [b"%06d" % number for number in range(len(sent) - len(values), len(sent))]


def test_unknown_for_a_while_after_creation(broker: EmbeddedBroker, make: Make) -> None:
    """Not every broker has heard of a new topic at once: neither the one that is asked nor the one that leads it."""
    for api in ("Metadata", "Produce"):
        broker.fail(api, 3, topic="t", times=4)
    producer = make(broker, **QUICK)
    assert outcomes([producer.send("t", b"%d" % i, partition=0) for i in range(20)]) == [None] * 20
    assert [record.value for record in broker.records("t", 0)] == [b"%d" % i for i in range(20)]


def test_no_leader_yet(broker: EmbeddedBroker, make: Make) -> None:
    """send() knows the partitions and does not wait for their leaders; the records do."""
    broker.leaderless("t")
    producer = make(broker, **QUICK)
    futures = [producer.send("t", b"v", partition=i % 4) for i in range(40)]
    asked = broker.request_count("Metadata")
    broker.wait_for_requests("Metadata", asked + 3)
    assert not any(future.is_done for future in futures)
    for partition in range(4):
        broker.move_leader("t", partition, 1)
    assert outcomes(futures) == [None] * 40


def test_records_for_partitions_with_a_leader_do_not_wait_for_the_others(broker: EmbeddedBroker, make: Make) -> None:
    broker.leaderless("t", 2)
    producer = make(broker, **QUICK)
    waiting = producer.send("t", b"v", partition=2)
    assert outcomes([producer.send("t", b"v") for _ in range(200)]) == [None] * 200
    assert broker.record_count("t", 2) == 0
    assert not waiting.is_done
    broker.move_leader("t", 2, 1)
    assert waiting.get(TIMEOUT_S).partition == 2


class TestAuthorization:
    """Waiting would not help, so nobody waits, and the error says which topic it is."""

    def test_in_metadata(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(topics={"salaries": 1, "t": 1})
        broker.fail("Metadata", 29, topic="salaries", times=None)
        producer = make(broker, **QUICK, max_block_ms=60_000)
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(TopicAuthorizationFailedError, match="salaries"):
                producer.send("salaries", b"v").get(0)
            assert time.monotonic() - began < 5
        with pytest.raises(TopicAuthorizationFailedError, match="salaries"):
            producer.partitions_for("salaries")
        assert producer.send("t", b"v").get(TIMEOUT_S).offset == 0

    @pytest.mark.parametrize("idempotent", [True, False])
    def test_in_produce(self, idempotent: bool, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(topics={"salaries": 1, "t": 1})
        producer = make(broker, **QUICK, enable_idempotence=idempotent)
        broker.fail("Produce", 29, topic="salaries", times=None)
        for _ in range(3):
            with pytest.raises(TopicAuthorizationFailedError, match="salaries") as failure:
                producer.send("salaries", b"v").get(TIMEOUT_S)
            assert not failure.value.in_doubt
        assert producer.send("t", b"v").get(TIMEOUT_S).offset == 0
        broker.clear()
        assert producer.send("salaries", b"v").get(TIMEOUT_S).offset == 0
        assert len(broker.records("salaries")) == 1

    def test_taken_away_from_a_topic_that_is_known(self, broker: EmbeddedBroker, make: Make) -> None:
        """Metadata that refuses a topic that worked a moment ago fails the next send, not the producer."""
        producer = make(broker, **QUICK, metadata_max_age_ms=50)
        producer.send("t", b"v").get(TIMEOUT_S)
        rule = broker.fail("Metadata", 29, topic="t", times=None)
        deadline = time.monotonic() + TIMEOUT_S
        while (error := producer.send("t", b"v").exception) is None:
            assert time.monotonic() < deadline
        assert isinstance(error, TopicAuthorizationFailedError)
        rule.cancel()
        while isinstance(producer.send("t", b"v").exception, TopicAuthorizationFailedError):
            assert time.monotonic() < deadline
        assert producer.send("t", b"v").get(TIMEOUT_S)


def test_never_there(broker: EmbeddedBroker, make: Make) -> None:
    """The time-out says which topic, and what the cluster says about it."""
    producer = make(broker, **QUICK, max_block_ms=2000)
    with pytest.raises(KafkaTimeoutError, match=r"'nowhere'.*UNKNOWN_TOPIC_OR_PARTITION"):
        producer.send("nowhere", b"v").get(0)
