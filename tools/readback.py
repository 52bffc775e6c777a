# SPDX-License-Identifier: Apache-2.0
"""What a topic holds, read by confluent-kafka's consumer: a decoder nobody here wrote."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

CHUNK = 10_000


class Record(NamedTuple):
    """One record as the consumer saw it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_ms: int


def read_topic(bootstrap: str, topic: str, timeout: float = 30.0, **config: Any) -> list[Record]:
    """Every record of every partition, by partition and offset, up to the ends found when the call began."""
    records = [_record(message) for message in iter_topic(bootstrap, topic, timeout, **config)]
    return sorted(records, key=lambda record: (record.partition, record.offset))


def iter_topic(bootstrap: str, topic: str, timeout: float = 30.0, **config: Any) -> Iterator[Message]:
    """The same as confluent-kafka's messages, as they arrive: in offset order within a partition.

    Raises:
        TimeoutError: nothing came for `timeout` seconds.
        KafkaException: the broker answered an error.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "pykafka-fast-readback",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            # A batch whose CRC is wrong is an error, not a record.
            "check.crcs": True,
            "log_level": 3,
            **config,
        }
    )
    try:
        yield from _read_to_ends(consumer, topic, timeout)
    finally:
        consumer.close()


def _read_to_ends(consumer: Consumer, topic: str, timeout: float) -> Iterator[Message]:
    partitions = consumer.list_topics(topic, timeout).topics[topic].partitions
    ends = {}
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout)
        if high > low:
            ends[partition] = (low, high)
    consumer.assign([TopicPartition(topic, partition, low) for partition, (low, _) in ends.items()])
    missing = {partition: high for partition, (_, high) in ends.items()}
    deadline = time.monotonic() + timeout
    while missing:
        for message in consumer.consume(CHUNK, 0.1):
            if message.error() is not None:
                raise KafkaException(message.error())
            deadline = time.monotonic() + timeout
            partition, offset = _position(message)
            if offset < ends[partition][1]:
                yield message
            if offset + 1 >= ends[partition][1]:
                missing.pop(partition, None)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic}: no more records within {timeout:g} s, ends not reached: {missing}")


def _position(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def _record(message: Message) -> Record:
    headers: Any = message.headers()
    return Record(*_position(message), message.key(), message.value(), headers or [], message.timestamp()[1])
