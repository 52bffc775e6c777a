# SPDX-License-Identifier: Apache-2.0
"""Topics of a real broker: their limits, and how they come, grow and go while records are sent."""

import logging
import re
import threading
import time
from collections.abc import Callable

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import InvalidTopicError, KafkaTimeoutError, MessageSizeTooLargeError
from tests.ledger import Ledger, check
from tools.brokers.kafka import KafkaCluster
from tools.brokers.processes import wait_for
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
NewTopic = Callable[..., str]
ReadBack = Callable[[str, str], list[Record]]


def test_modern_requests(
    kafka: KafkaCluster,
    new_topic: NewTopic,
    new_producer: NewProducer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYKAFKA_FAST_WIRE_DUMP", "1")
    caplog.set_level(logging.DEBUG, "pykafka_fast")
    new_producer(kafka.bootstrap).send(new_topic(kafka), b"v").get(timeout=20)
    sent = dict(re.findall(r" > (\w+) v(\d+) ", caplog.text))
    assert sent == {"ApiVersions": "4", "Metadata": "13", "InitProducerId": "5"}
    assert re.findall(r"records go there as Produce v(\d+)", caplog.text) == ["13"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_topic_with_a_small_limit_gets_its_batches_split(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    topic = new_topic(kafka, 2, config={"max.message.bytes": "4000"})
    producer = new_producer(kafka.bootstrap, linger_ms=20)
    ledger = Ledger(producer, topic)
    for number in range(3_000):
        ledger.send(partition=number % 2, padding=number % 300)
    producer.flush(timeout=30)
    assert not ledger.failures()
    check(read_back(kafka.bootstrap, topic), ledger)
    assert producer.metrics()["producer-metrics"]["batch-split-total"] >= 1  # type: ignore[index]


def test_one_record_above_the_limit_fails_alone(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    topic = new_topic(kafka, config={"max.message.bytes": "4000"})
    producer = new_producer(kafka.bootstrap, linger_ms=100)
    ledger = Ledger(producer, topic)
    for _ in range(20):
        ledger.send(padding=50)
    large = ledger.send(padding=5_000)
    for _ in range(20):
        ledger.send(padding=50)
    producer.flush(timeout=30)
    assert isinstance(large.exception, MessageSizeTooLargeError)
    assert len(ledger.failures()) == 1
    check(read_back(kafka.bootstrap, topic), ledger)


def test_made_by_the_first_send(kafka: KafkaCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    producer = new_producer(kafka.bootstrap)
    ledgers = [Ledger(producer, f"made-by-the-first-send-{number}") for number in range(3)]
    for ledger in ledgers:
        for _ in range(100):
            ledger.send()
    producer.flush(timeout=30)
    for number, ledger in enumerate(ledgers):
        assert not ledger.failures()
        check(read_back(kafka.bootstrap, f"made-by-the-first-send-{number}"), ledger)


def test_not_made_if_not_allowed(kafka: KafkaCluster, new_producer: NewProducer) -> None:
    producer = new_producer(kafka.bootstrap, allow_auto_create_topics=False, max_block_ms=500)
    with pytest.raises(KafkaTimeoutError, match="not-to-be-made"):
        producer.send("not-to-be-made", b"v").get(timeout=0)
    assert kafka.leader("not-to-be-made", 0) == -1


def test_made_while_send_waits(kafka: KafkaCluster, new_producer: NewProducer) -> None:
    producer = new_producer(kafka.bootstrap, allow_auto_create_topics=False, max_block_ms=20_000)
    offsets: list[int] = []
    sender = threading.Thread(target=lambda: offsets.append(producer.send("made-later", b"v").get(20).offset))
    sender.start()
    try:
        kafka.create_topic("made-later")
    finally:
        sender.join(timeout=30)
    assert offsets == [0]


@pytest.mark.parametrize("name", ["", ".", "..", "with space", "a/b", "x" * 250])
def test_invalid_name(kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, name: str) -> None:
    producer = new_producer(kafka.bootstrap)
    started = time.monotonic()
    with pytest.raises((InvalidTopicError, ValueError)):
        producer.send(name, b"v").get(timeout=0)
    assert time.monotonic() - started < 5
    producer.send(new_topic(kafka), b"v").get(timeout=20)


def test_partitions_added_while_sending(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    topic = new_topic(kafka, 2)
    producer = new_producer(kafka.bootstrap, metadata_max_age_ms=300)
    ledger = Ledger(producer, topic)
    for number in range(2_000):
        ledger.send(partition=number % 2)
    kafka.add_partitions(topic, 5)
    # Beyond what is known: send() waits for a refresh.
    assert ledger.send(partition=4).get(timeout=20).partition == 4
    assert producer.partitions_for(topic) == {0, 1, 2, 3, 4}

    def reached() -> bool:
        for _ in range(50):
            ledger.send(padding=1000)  # so that a choice does not last long
            producer.flush(timeout=20)
        return {future.get(0).partition for _, future in ledger.entries} == {0, 1, 2, 3, 4}

    wait_for(reached, "records without a key in every partition", 30)
    check(read_back(kafka.bootstrap, topic), ledger)


def test_a_partition_that_never_comes(kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer) -> None:
    topic = new_topic(kafka, 2)
    producer = new_producer(kafka.bootstrap, max_block_ms=500)
    with pytest.raises(KafkaTimeoutError, match="2"):
        producer.send(topic, b"v", partition=2).get(timeout=0)
    producer.send(topic, b"v", partition=1).get(timeout=20)


def test_deleted_and_made_again(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """The new topic has another id, and its leader has never heard of our sequences."""
    topic = new_topic(kafka, 3)
    producer = new_producer(kafka.bootstrap)
    before = Ledger(producer, topic, "before")
    for number in range(1_000):
        before.send(partition=number % 3)
    producer.flush(timeout=30)
    assert not before.failures()
    kafka.delete_topic(topic)
    kafka.create_topic(topic, 3)
    after = Ledger(producer, topic, "after")
    for number in range(1_000):
        after.send(partition=number % 3)
    producer.flush(timeout=30)
    assert not after.failures()
    check(read_back(kafka.bootstrap, topic), after)


def test_deleted_while_sending_and_made_again(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """What is acknowledged after the topic is back is there, once and in order; nothing hangs."""
    topic = new_topic(kafka, 1)
    producer = new_producer(kafka.bootstrap, retry_backoff_max_ms=200, allow_auto_create_topics=False)
    ledger, stop = Ledger(producer, topic, "first"), threading.Event()

    def send_on() -> None:
        while not stop.is_set():
            ledger.send(padding=100).get(timeout=30)

    sender = threading.Thread(target=send_on)
    sender.start()
    try:
        wait_for(lambda: len(ledger.entries) > 100, "records", 20)
        kafka.delete_topic(topic)
        kafka.create_topic(topic, 1)
        count = len(ledger.entries)
        wait_for(lambda: len(ledger.entries) > count + 100, "records in the new topic", 30)
    finally:
        stop.set()
        sender.join(timeout=30)
    assert not sender.is_alive()
    assert not ledger.failures()
    read = read_back(kafka.bootstrap, topic)
    # The last that went to the old topic and the first of the new one are neighbours.
    kept = Ledger(producer, topic)
    kept.entries = ledger.entries[-len(read) :]
    check(read, kept)
