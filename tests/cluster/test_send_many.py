# SPDX-License-Identifier: Apache-2.0
"""send_many() to a real broker, with every codec and through a small pool: each record once, in order, as sent."""

from collections.abc import Callable

import pyarrow
import pytest

from pykafka_fast import KafkaProducer
from tools.brokers.kafka import KafkaCluster
from tools.readback import Record

ROWS = 60_000
PARTITIONS = 3
VALUES = [None if i % 97 == 0 else b"value %d " % i + b"x" * (i % 50) for i in range(ROWS)]
KEYS = [b"key %d" % (i * 31 % 5_000) for i in range(ROWS)]
WHEN = [1_700_000_000_000 + i for i in range(ROWS)]


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("column", [list, pyarrow.array])
def test_each_record_once_and_in_order(
    codec: str,
    column: Callable[[list[bytes | None]], object],
    kafka: KafkaCluster,
    new_topic: Callable[..., str],
    new_producer: Callable[..., KafkaProducer],
    read_back: Callable[[str, str], list[Record]],
) -> None:
    topic = new_topic(kafka, PARTITIONS)
    producer = new_producer(kafka.bootstrap, buffer_memory=1 << 20, compression_type=codec)
    future = producer.send_many(topic, column(VALUES), column(KEYS), [("h", b"1")], timestamps_ms=WHEN)
    metadata = future.get(60)
    logs: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}
    for record in read_back(kafka.bootstrap, topic):
        logs[record.partition].append(record)
    assert sum(map(len, logs.values())) == ROWS
    last = dict.fromkeys(logs, -1)
    for row, it in enumerate(metadata):
        record = logs[it.partition][it.offset]
        assert (record.key, record.value, record.headers) == (KEYS[row], VALUES[row], [("h", b"1")])
        assert record.timestamp_ms == WHEN[row] == it.timestamp
        assert it.offset > last[it.partition]
        last[it.partition] = it.offset
