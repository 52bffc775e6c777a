# SPDX-License-Identifier: Apache-2.0
"""Building a batch: what its bytes say, when it is full, and what cannot be built.

Bytes are read with the reference decoder in tests/reference, which shares nothing with the code that wrote them.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka_fast._core import record
from pykafka_fast._core.producer_base import CLOSED
from pykafka_fast._core.wire import EventKind
from pykafka_fast.errors import ProducerClosedError
from pykafka_fast.protocol.header import RequestHeader
from pykafka_fast.protocol.produce import PartitionProduceResponse
from pykafka_fast.testing import EmbeddedBroker
from tests.checklist.conftest import Make, StartBroker
from tests.core.stage import Stage
from tests.core.test_wire import TOPIC_ID, Peer, parked, refused
from tests.reference.record_batch import decode_batch

WAIT_S = 20.0
HEADER = 61


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Knows no leader yet, so that batches grow until release() names one."""
    made = Stage(linger_ms=0.0)
    yield made
    made.end()


def release(stage: Stage) -> tuple[Peer, RequestHeader, bytes]:
    """Name the leader; the peer that has read the request, its header, and the one batch in it."""
    stage.wire.set_leaders(stage.topic, [1] * 4, [0] * 4, TOPIC_ID)
    kinds: list[EventKind] = []
    deadline = time.monotonic() + WAIT_S
    while EventKind.NEED_CONNECTION not in kinds:
        kinds += [event.kind for event in stage.wire.events()]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    peer = Peer(stage.wire)
    header, request = peer.request()
    ((part,),) = [topic.partitions for topic in request.topics]
    return peer, header, bytes(part.records or b"")


def test_mb02_nothing_is_not_sent(broker: EmbeddedBroker, make: Make) -> None:
    """Without records there is no batch: neither flush() nor close() sends anything, known topic or not."""
    producer = make(broker)
    producer.flush(WAIT_S)
    producer.partitions_for("t")
    producer.flush(WAIT_S)
    producer.close()
    assert broker.request_count("Produce") == 0
    assert broker.batches("t") == []


def test_mb04_id_epoch_and_sequence_come_together(start_broker: StartBroker, make: Make) -> None:
    """A batch has a producer id, an epoch and a sequence, or none of them."""
    broker = start_broker(topics={"with": 2, "without": 2})
    make(broker).send("with", b"v").get(WAIT_S)
    make(broker, enable_idempotence=False).send("without", b"v").get(WAIT_S)
    (with_id,), (without,) = broker.batches("with"), broker.batches("without")
    assert with_id.header.producer_id >= 0
    assert (with_id.header.producer_epoch, with_id.header.base_sequence) == (0, 0)
    header = without.header
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (-1, -1, -1)


def test_mb05_the_ratio_without_compression(broker: EmbeddedBroker, make: Make) -> None:
    """Uncompressed batches are as large as their records: the ratio reported is exactly 1."""
    producer = make(broker)
    for _ in range(5):
        producer.send("t", b"a" * 1000).get(WAIT_S)
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["compression-rate-avg"] == 1.0
    assert metrics["producer-topic-metrics.t"]["compression-rate"] == 1.0


@pytest.mark.parametrize("count", [1, 2, 50])
def test_mb06_the_size_is_exact(count: int, stage: Stage) -> None:
    """A batch's size grows with each record by exactly what that takes, and is that of the bytes sent."""
    values = [bytes(n * 37 % 300) for n in range(count)]
    futures = [stage.append(value, b"k", partition=0, timestamp_ms=1_000 * n) for n, value in enumerate(values)]
    peer, header, data = release(stage)
    batch = parked(refused(stage, peer, header, 19))
    assert batch.count == count
    sizes = [record.size(b"k", value, (), 1_000 * n, n) for n, value in enumerate(values)]
    assert batch.size == len(data) == HEADER + sum(sizes)
    stage.wire.complete(batch, 0)
    assert [future.get(WAIT_S).offset for future in futures] == list(range(count))


@pytest.mark.parametrize("release", ["0.10.2", None])
def test_mb07_timestamps(release: str | None, broker: EmbeddedBroker, make: Make) -> None:
    """A batch's base timestamp is its first record's, its maximum that of all; they are the producer's own."""
    if release:
        broker.play_release(release)
    now = int(time.time() * 1000)
    stamps = [now, now - 5_000, now + 7_000, now - 90_000, now + 6_999]
    producer = make(broker, linger_ms=60_000)
    futures = [producer.send("t", b"v", partition=0, timestamp_ms=stamp) for stamp in stamps]
    producer.flush(WAIT_S)
    (batch,) = broker.batches("t", 0)
    assert (batch.header.base_timestamp, batch.header.max_timestamp) == (now, now + 7_000)
    assert not batch.header.is_log_append_time
    assert [it.timestamp for it in broker.records("t", 0)] == stamps
    assert [future.get(0).timestamp for future in futures] == stamps


def test_mb08_the_smallest_limit_admits_one_record(broker: EmbeddedBroker, make: Make) -> None:
    """Whatever the limit of a batch, one record fits; then it is full."""
    producer = make(broker, batch_size=1, batch_max_size=1, linger_ms=60_000)
    futures = [producer.send("t", b"%d" % n, partition=0) for n in range(10)]
    assert [future.get(WAIT_S).offset for future in futures] == list(range(10))
    assert [batch.header.record_count for batch in broker.batches("t", 0)] == [1] * 10


def test_mb09_beyond_the_limit(broker: EmbeddedBroker, make: Make) -> None:
    """A record larger than the limit of a batch is written, in a batch that takes no other."""
    producer = make(broker, batch_size=4096, batch_max_size=4096, linger_ms=60_000)
    sizes = [10, 10, 9000, 10, 10]
    for size in sizes:
        producer.send("t", bytes(size), partition=0)
    producer.flush(WAIT_S)
    assert [batch.header.record_count for batch in broker.batches("t", 0)] == [2, 1, 2]
    assert [len(it.value or b"") for it in broker.records("t", 0)] == sizes


def test_mb10_offsets_increase_by_one(stage: Stage) -> None:
    """Offsets within a batch are given by the builder: 0, 1, 2 and so on; nobody can pass any other."""
    futures = [stage.append(b"%d" % n, partition=0) for n in range(300)]
    peer, header, data = release(stage)
    peer.answer(header, PartitionProduceResponse(0, 0, 7))
    assert [offset for _, offset, _, _, _ in record.decode(data[HEADER:])] == list(range(300))
    assert struct.unpack_from(">i", data, 23)[0] == 299
    assert len(decode_batch(data).records) == 300
    assert [future.get(WAIT_S).offset for future in futures] == list(range(7, 307))


def test_mb12_an_aborted_batch_is_gone(stage: Stage) -> None:
    """After an abort nothing can be appended, and the memory of what was begun is free again."""
    futures = [stage.append(bytes(1000), partition=partition) for partition in (0, 0, 1)]
    assert stage.accumulator.pool_stats()["slabs_acquired"] == 2
    stage.accumulator.close()
    stage.wire.abort(-1005, "over")
    for future in futures:
        with pytest.raises(Exception, match="over"):
            future.get(WAIT_S)
    deadline = time.monotonic() + WAIT_S
    while stage.accumulator.pool_stats()["slabs_acquired"]:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert stage.append(b"v", partition=0) == CLOSED


def test_mb13_appending_after_close_says_why(broker: EmbeddedBroker, make: Make) -> None:
    """A record sent after close() is refused, and the message says that the producer is closed."""
    producer: Any = make(broker, linger_ms=60_000)
    kept = producer.send("t", b"before")
    producer.close()
    with pytest.raises(ProducerClosedError, match="the producer is closed"):
        producer.send("t", b"after")
    assert kept.get(0).offset == 0
    assert [it.value for it in broker.records("t")] == [b"before"]

