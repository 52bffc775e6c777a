# SPDX-License-Identifier: Apache-2.0
"""Every kind of record to a real broker, and back out of other clients' consumers and of Kafka's own tools."""

import re
from collections.abc import Callable

import kafka as kafka_python
import pytest

from pykafka_fast import KafkaProducer, RecordMetadata
from pykafka_fast.types import HeaderList
from tests.ledger import Ledger, check
from tools.brokers.kafka import KafkaCluster
from tools.brokers.processes import wait_for
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
NewTopic = Callable[..., str]
ReadBack = Callable[[str, str], list[Record]]
Sent = tuple[bytes | None, bytes | None, HeaderList, int]

START_MS = 1_600_000_000_000
KINDS: dict[str, tuple[bytes | None, bytes | None, HeaderList]] = {
    "plain": (b"key", b"value", []),
    "null key": (None, b"value", []),
    "null value": (b"key", None, []),
    "nothing but a header": (b"", None, [("h", b"v")]),
    "empty key and value": (b"", b"", []),
    "unicode": ("ключ".encode(), "värde 値 🙂".encode(), [("заголовок 🙂", "значение".encode())]),
    "headers": (b"key", b"value", [("a", b"1"), ("b", None), ("c", b""), ("a", b"2"), ("", b"no name")]),
    "many headers": (None, b"v", [(f"h{i}", b"%d" % i) for i in range(300)]),
    "every byte": (bytes(range(256)), bytes(range(256)) * 5, [("all", bytes(range(256)))]),
    "one that needs a varint of three bytes": (b"k" * 9_000, b"v" * 20_000, []),
    "nearly the largest": (b"big", b"x" * (1_048_576 - 200), []),
}


def sent_records() -> list[Sent]:
    """Every kind, with timestamps that also go back."""
    return [(*kind, START_MS + (number * 7919) % 1000) for number, kind in enumerate(KINDS.values())]


def send_all(producer: KafkaProducer, topic: str) -> list[RecordMetadata]:
    futures = [
        producer.send(topic, value, key=key, headers=headers, partition=0, timestamp_ms=timestamp)
        for key, value, headers, timestamp in sent_records()
    ]
    producer.flush(timeout=30)
    return [future.get(timeout=0) for future in futures]


@pytest.fixture
def filled(kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer) -> str:
    """A topic with one record of every kind."""
    topic = new_topic(kafka)
    metadata = send_all(new_producer(kafka.bootstrap), topic)
    assert [(it.partition, it.offset) for it in metadata] == [(0, number) for number in range(len(KINDS))]
    for (key, value, _, timestamp), it in zip(sent_records(), metadata, strict=True):
        sizes = (-1 if key is None else len(key), -1 if value is None else len(value))
        assert (it.serialized_key_size, it.serialized_value_size) == sizes
        assert it.timestamp == timestamp
    return topic


def test_read_by_confluent_kafka(kafka: KafkaCluster, filled: str, read_back: ReadBack) -> None:
    read = [(it.key, it.value, it.headers, it.timestamp_ms) for it in read_back(kafka.bootstrap, filled)]
    assert read == sent_records()


def test_read_by_kafka_python(kafka: KafkaCluster, filled: str) -> None:
    consumer = kafka_python.KafkaConsumer(bootstrap_servers=kafka.bootstrap, consumer_timeout_ms=20_000)
    try:
        partition = kafka_python.TopicPartition(filled, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        read = []
        for message in consumer:
            read.append((message.key, message.value, list(message.headers), message.timestamp))
            if len(read) == len(KINDS):
                break
    finally:
        consumer.close()
    assert read == sent_records()


def test_read_by_the_console_consumer(kafka: KafkaCluster, filled: str) -> None:
    shown = [f"print.{what}=true" for what in ("partition", "offset", "timestamp", "headers", "key")]
    said = kafka.run_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", kafka.bootstrap, "--topic", filled,
        "--partition", "0", "--offset", "earliest", "--max-messages", "7", "--timeout-ms", "30000",
        *[word for pair in (("--property", it) for it in shown) for word in pair],
    )  # fmt: skip
    lines = [line.split("\t") for line in said.splitlines() if line.startswith("CreateTime:")]
    assert len(lines) == 7
    for number, (line, (key, value, headers, timestamp)) in enumerate(zip(lines, sent_records(), strict=False)):
        header_text = ",".join(f"{name}:{'null' if it is None else bytes(it).decode()}" for name, it in headers)
        wanted = [f"CreateTime:{timestamp}", "Partition:0", f"Offset:{number}", header_text or "NO_HEADERS"]
        assert line == [*wanted, *("null" if it is None else it.decode() for it in (key, value))]


def test_what_the_broker_wrote(kafka: KafkaCluster, filled: str) -> None:
    """The log itself, read by Kafka's DumpLogSegments: format 2, good checksums, a producer id, no gap in sequences."""
    files = ",".join(map(str, kafka.segments(1, filled)))
    said = kafka.run_tool("kafka.tools.DumpLogSegments", "--deep-iteration", "--files", files)
    batches = [dict(re.findall(r"(\w+): (\S+)", line)) for line in said.splitlines() if line.startswith("baseOffset")]
    assert sum(int(batch["count"]) for batch in batches) == len(KINDS)
    expected = 0
    for batch in batches:
        assert (batch["magic"], batch["isvalid"], batch["compresscodec"]) == ("2", "true", "none")
        assert (batch["isTransactional"], batch["isControl"]) == ("false", "false")
        assert int(batch["producerId"]) >= 0
        assert int(batch["producerEpoch"]) == 0
        assert int(batch["baseSequence"]) == expected
        expected = int(batch["lastSequence"]) + 1
    assert len({batch["producerId"] for batch in batches}) == 1


@pytest.mark.parametrize(("acks", "idempotent"), [(0, False), (1, False), ("all", False), ("all", True)])
def test_acks(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack, acks: int | str,
    idempotent: bool,
) -> None:  # fmt: skip
    topic = new_topic(kafka, 3)
    producer = new_producer(kafka.bootstrap, acks=acks, enable_idempotence=idempotent)
    ledger = Ledger(producer, topic)
    for number in range(20_000):
        ledger.send(key=b"%d" % (number % 50), padding=50)
    producer.flush(timeout=30)
    if acks == 0:
        wait_for(lambda: len(read_back(kafka.bootstrap, topic)) == 20_000, "all records", 20)
    assert not ledger.failures()
    assert all((future.get(0).offset < 0) == (acks == 0) for _, future in ledger.entries)
    check(read_back(kafka.bootstrap, topic), ledger)


def test_acks_0_closed_at_once(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """What was handed to the connection before close() arrives."""
    topic = new_topic(kafka, 1)
    producer = new_producer(kafka.bootstrap, acks=0, enable_idempotence=False)
    ledger = Ledger(producer, topic)
    for _ in range(5_000):
        ledger.send(padding=200)
    producer.close(timeout=20)
    wait_for(lambda: len(read_back(kafka.bootstrap, topic)) == 5_000, "all records", 20)
    check(read_back(kafka.bootstrap, topic), ledger)


def test_the_brokers_clock(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """In a topic with LogAppendTime the future tells the broker's time."""
    topic = new_topic(kafka, config={"message.timestamp.type": "LogAppendTime"})
    future = new_producer(kafka.bootstrap).send(topic, b"v", timestamp_ms=START_MS)
    told = future.get(timeout=20).timestamp
    assert told > START_MS
    assert [record.timestamp_ms for record in read_back(kafka.bootstrap, topic)] == [told]


def test_many_partitions_and_threads_of_sizes(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    topic = new_topic(kafka, 40)
    producer = new_producer(kafka.bootstrap)
    ledger = Ledger(producer, topic)
    for number in range(20_000):
        ledger.send(partition=number % 40, padding=number * 37 % 900)
    producer.flush(timeout=30)
    assert not ledger.failures()
    check(read_back(kafka.bootstrap, topic), ledger)
    figures = producer.metrics()["producer-metrics"]  # type: ignore[index]
    assert figures["records-per-request-avg"] > 100
