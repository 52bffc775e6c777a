# SPDX-License-Identifier: Apache-2.0
"""Compressed batches to librdkafka's mock cluster, through its faults, read back by confluent-kafka's consumer."""

import random
from collections.abc import Callable

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.types import HeaderList
from tests.ledger import Ledger, check
from tools.brokers.mock import PRODUCE, MockCluster
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
ReadBack = Callable[[str, str], list[Record]]

CODECS = ["gzip", "snappy", "lz4", "zstd"]
NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS = 6, 7, 19


def figure(producer: KafkaProducer, name: str) -> float:
    return float(producer.metrics()["producer-metrics"][name])  # type: ignore[index]


@pytest.mark.parametrize(
    ("codec", "level"),
    [
        ("gzip", None), ("gzip", 1), ("gzip", 9), ("snappy", None), ("lz4", None), ("lz4", 12), ("zstd", None),
        ("zstd", -7), ("zstd", 22),
    ],
)  # fmt: skip
def test_every_kind_of_record(
    mock: MockCluster, new_producer: NewProducer, read_back: ReadBack, codec: str, level: int | None
) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap, compression_type=codec, compression_level=level, compression_threads=3)
    rng = random.Random(1)
    sent = []
    for number in range(2_000):
        key = (None, b"", b"key %d" % (number % 9))[number % 3]
        value = (b"", b"v" * 50, rng.randbytes(100), b"%d " % number * 300, None)[number % 5 if key else number % 4]
        headers: HeaderList = [(f"h{i}", (None, b"", b"header")[i % 3]) for i in range(number % 4)]
        sent.append((key, value, headers, 1_700_000_000_000 + number))
    sent.append((b"big", b"%d " % level * 300_000 if level else bytes(900_000), [], 1_700_000_000_000))
    for key, value, headers, timestamp in sent:
        producer.send("t", value, key=key, headers=headers, timestamp_ms=timestamp)
    producer.flush(timeout=60)
    assert [(it.key, it.value, it.headers, it.timestamp_ms) for it in read_back(mock.bootstrap, "t")] == sent
    assert figure(producer, "compression-rate-avg") < 0.5


@pytest.mark.parametrize("codec", CODECS)
def test_through_faults(mock3: MockCluster, new_producer: NewProducer, read_back: ReadBack, codec: str) -> None:
    """Refusals, a leader that moves, a broker that goes and comes: each record once and in order.

    One request at a time: the mock takes a batch whose sequence is not the next.
    """
    mock3.create_topic("t", 6)
    producer = new_producer(mock3.bootstrap, compression_type=codec, compression_threads=2, linger_ms=1,
                            retry_backoff_ms=10, max_in_flight_requests_per_connection=1)  # fmt: skip
    ledger = Ledger(producer, "t")
    for turn in range(6):
        if turn == 1:
            mock3.push_request_errors(PRODUCE, *[NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS] * 2)
        elif turn == 2:
            mock3.set_leader("t", 0, 2)
        elif turn == 3:
            mock3.set_down(3)
        elif turn == 4:
            mock3.set_up(3)
        for number in range(3_000):
            ledger.send(partition=number % 6, padding=number % 500)
        if turn != 3:
            producer.flush(timeout=60)
    assert ledger.failures() == []
    check(read_back(mock3.bootstrap, "t"), ledger)
    assert figure(producer, "batch-retry-total") > 0
    assert figure(producer, "compression-rate-avg") < 0.8


@pytest.mark.parametrize("codec", CODECS)
def test_many_partitions(mock3: MockCluster, new_producer: NewProducer, read_back: ReadBack, codec: str) -> None:
    mock3.create_topic("t", 50)
    producer = new_producer(mock3.bootstrap, compression_type=codec, compression_threads=4)
    ledger = Ledger(producer, "t")
    for number in range(30_000):
        ledger.send(partition=number * 7 % 50, padding=number * 37 % 900)
    producer.flush(timeout=60)
    assert ledger.failures() == []
    check(read_back(mock3.bootstrap, "t"), ledger)
