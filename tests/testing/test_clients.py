# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote produce to the broker and read back from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import confluent_kafka
import kafka
import pytest

from pykafka_fast.testing import EmbeddedBroker

TIMEOUT_S = 20.0
COUNT = 500
PARTITIONS = 3
Row = tuple[int, "bytes | None", "bytes | None", tuple[tuple[str, "bytes | None"], ...]]


@pytest.fixture
def cluster() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(topics={"events": PARTITIONS}, brokers=2) as running:
        yield running


def rows() -> list[Row]:
    """(partition, key, value, headers)"""
    out: list[Row] = []
    for index in range(COUNT):
        key = None if index % 5 == 0 else b"key %d" % (index % 20)
        value = None if index % 50 == 1 else b"value %d " % index + b"x" * (index % 300)
        headers: tuple[tuple[str, bytes | None], ...] = (("n", b"%d" % index), ("empty", b"")) if index % 3 == 0 else ()
        out.append((index % PARTITIONS, key, value, headers))
    return out


def produce_kafka_python(broker: EmbeddedBroker, data: list[Row], **options: Any) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=broker.addresses, **options)
    futures = [
        producer.send("events", partition=partition, key=key, value=value, headers=list(headers))
        for partition, key, value, headers in data
    ]
    for future in futures:
        future.get(TIMEOUT_S)
    producer.close(timeout=TIMEOUT_S)


def produce_confluent(broker: EmbeddedBroker, data: list[Row], **options: Any) -> None:
    failures: list[Any] = []
    settings = {"bootstrap.servers": broker.address, "linger.ms": 2, "log_level": 0}
    settings |= {name.replace("_", "."): value for name, value in options.items()}
    producer = confluent_kafka.Producer(settings)
    for partition, key, value, headers in data:
        producer.produce(
            "events",
            value,
            key,
            partition,
            on_delivery=lambda error, _message: failures.append(error) if error else None,
            headers=list(headers),
        )
    assert producer.flush(TIMEOUT_S) == 0
    assert failures == []


def read_kafka_python(broker: EmbeddedBroker, count: int) -> list[Row]:
    consumer = kafka.KafkaConsumer(bootstrap_servers=broker.addresses, group_id=None, enable_auto_commit=False)
    partitions = [kafka.TopicPartition("events", index) for index in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    found: list[Row] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(found) < count and time.monotonic() < deadline:
        for messages in consumer.poll(timeout_ms=200).values():
            found += [(m.partition, m.key, m.value, tuple(m.headers)) for m in messages]
    assert consumer.end_offsets(partitions) == {
        part: broker.record_count("events", part.partition) for part in partitions
    }
    consumer.close()
    return found


def read_confluent(broker: EmbeddedBroker, count: int) -> list[Row]:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "log_level": 0,
        }
    )
    beginning = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition("events", index, beginning) for index in range(PARTITIONS)])
    found: list[Row] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(found) < count and time.monotonic() < deadline:
        for message in consumer.consume(count, 0.2):
            assert message.error() is None
            headers = tuple((name, data) for name, data in message.headers() or [])
            found.append((message.partition(), message.key(), message.value(), headers))
    consumer.close()
    return found


PRODUCERS: dict[str, Callable[[EmbeddedBroker, list[Row]], None]] = {
    "kafka-python": lambda broker, data: produce_kafka_python(broker, data),
    "kafka-python, not idempotent": lambda broker, data: produce_kafka_python(
        broker, data, enable_idempotence=False, acks=1
    ),
    "kafka-python, gzip": lambda broker, data: produce_kafka_python(broker, data, compression_type="gzip"),
    "confluent": lambda broker, data: produce_confluent(broker, data),
    "confluent, idempotent": lambda broker, data: produce_confluent(broker, data, enable_idempotence=True),
    "confluent, gzip": lambda broker, data: produce_confluent(broker, data, compression_type="gzip"),
}
for _codec in ("snappy", "lz4", "zstd"):
    PRODUCERS |= {
        f"kafka-python, {_codec}": partial(produce_kafka_python, compression_type=_codec),
        f"confluent, {_codec}": partial(produce_confluent, compression_type=_codec),
    }
READERS = {"kafka-python": read_kafka_python, "confluent": read_confluent}


def by_partition(data: list[Row]) -> dict[int, list[Row]]:
    return {index: [row for row in data if row[0] == index] for index in range(PARTITIONS)}


@pytest.mark.parametrize("producer", PRODUCERS)
@pytest.mark.parametrize("reader", READERS)
def test_round_trip(cluster: EmbeddedBroker, producer: str, reader: str) -> None:
    data = rows()
    PRODUCERS[producer](cluster, data)
    stored = [(r.partition, r.key, r.value, r.headers) for r in cluster.records("events")]
    assert by_partition(stored) == by_partition(data)
    assert by_partition(READERS[reader](cluster, COUNT)) == by_partition(data)
    assert cluster.violations == []


@pytest.mark.parametrize(("oldest", "newest"), [(3, 3), (3, 8), (3, 9), (3, 12)])
def test_older_produce_versions(cluster: EmbeddedBroker, oldest: int, newest: int) -> None:
    cluster.set_api_version("Produce", oldest, newest)
    produce_kafka_python(cluster, rows()[:50])
    produce_confluent(cluster, rows()[:50], enable_idempotence=True)
    assert cluster.record_count("events") == 100
    assert max(request.version for request in cluster.requests_of("Produce")) <= newest
    assert cluster.violations == []


def test_idempotent_retries(cluster: EmbeddedBroker) -> None:
    cluster.fail("Produce", 7, after_append=True)
    cluster.fail("Produce", 6, times=2)
    produce_confluent(cluster, rows()[:60], enable_idempotence=True, retry_backoff_ms=10)
    stored = [(r.partition, r.key, r.value, r.headers) for r in cluster.records("events")]
    assert by_partition(stored) == by_partition(rows()[:60])
    assert cluster.violations == []


def test_a_lost_answer_makes_no_duplicate(cluster: EmbeddedBroker) -> None:
    cluster.cut(when="after_append", api="Produce")
    produce_confluent(cluster, rows()[:60], enable_idempotence=True, retry_backoff_ms=10)
    assert cluster.record_count("events") == 60
    assert cluster.violations == []


def test_a_leader_moves_under_a_producer(cluster: EmbeddedBroker) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=cluster.addresses, retry_backoff_ms=20)
    for step in range(6):
        cluster.move_leader("events", 0, 1 + step % 2)
        assert producer.send("events", b"%d" % step, partition=0).get(TIMEOUT_S).offset == step
    producer.close(timeout=TIMEOUT_S)
    assert [r.value for r in cluster.records("events", 0)] == [b"%d" % step for step in range(6)]
    assert cluster.violations == []


def test_reading_waits_for_records(cluster: EmbeddedBroker) -> None:
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=cluster.addresses, group_id=None, fetch_max_wait_ms=5000, consumer_timeout_ms=10000
    )
    partition = kafka.TopicPartition("events", 1)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    found: list[tuple[bytes, float]] = []
    reader = threading.Thread(target=lambda: found.append((next(consumer).value, time.monotonic())))
    reader.start()
    cluster.wait_for_requests("Fetch", 1)
    start = time.monotonic()
    produce_kafka_python(cluster, [(1, None, b"late", ())])
    reader.join(TIMEOUT_S)
    ((value, when),) = found
    assert value == b"late"
    assert when - start < 4
    assert len(cluster.requests_of("Fetch")) <= 2
    consumer.close()


def test_seeking_by_time_and_offset(cluster: EmbeddedBroker) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=cluster.addresses)
    for index in range(10):
        producer.send("events", b"%d" % index, partition=0, timestamp_ms=1_700_000_000_000 + index * 10)
    producer.close(timeout=TIMEOUT_S)
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=cluster.addresses, group_id=None, consumer_timeout_ms=TIMEOUT_S * 1000
    )
    partition = kafka.TopicPartition("events", 0)
    consumer.assign([partition])
    found = consumer.offsets_for_times({partition: 1_700_000_000_045})[partition]
    assert (found.offset, found.timestamp) == (5, 1_700_000_000_050)
    assert consumer.offsets_for_times({partition: 1_800_000_000_000})[partition] is None
    consumer.seek(partition, 7)
    assert next(consumer).value == b"7"
    cluster.delete_records("events", 0, 4)
    assert consumer.beginning_offsets([partition]) == {partition: 4}
    consumer.seek_to_beginning(partition)
    assert next(consumer).offset == 4
    consumer.close()


def test_topics_are_created_on_demand() -> None:
    with EmbeddedBroker(auto_create=2) as broker:
        producer = kafka.KafkaProducer(bootstrap_servers=broker.address)
        producer.send("fresh", b"x").get(TIMEOUT_S)
        producer.close(timeout=TIMEOUT_S)
        assert broker.topics == {"fresh": 2}
        assert broker.record_count("fresh") == 1
