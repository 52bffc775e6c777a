# SPDX-License-Identifier: Apache-2.0
"""One batch: how it ends, what a split keeps, when it expires, and when a leader is a new one."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pykafka_fast._core.codec import CODECS
from pykafka_fast._core.wire import EventKind
from pykafka_fast.errors import (
    BatchRejectedError,
    ClientCode,
    ClosedForcefullyError,
    InvalidRecordError,
    KafkaTimeoutError,
    NotEnoughReplicasError,
)
from pykafka_fast.protocol.produce import PartitionProduceResponse, RecordError
from pykafka_fast.testing import EmbeddedBroker
from tests.checklist.conftest import Make
from tests.core.stage import Stage
from tests.core.test_wire import TOPIC_ID, Peer, expect, in_flight, parked, refused
from tests.reference.record_batch import decode_batch
from tests.unit.conftest import make_world
from tests.unit.sending import FakeBatch, FakeEvent, World, topic
from tests.unit.sending import parked as parked_event

__all__ = ["make_world"]

WAIT_S = 20.0
FORMATS = [("gzip", None), ("snappy", None), ("lz4", None), ("zstd", None),
           ("gzip", "0.10.2"), ("snappy", "0.10.2"), ("lz4", "0.10.2")]  # fmt: skip


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(linger_ms=0.0)
    made.wire.set_leaders(made.topic, [1] * 4, [0] * 4, TOPIC_ID)
    yield made
    made.end()


def delivered(stage: Stage, called: list[Any], count: int) -> None:
    """Run callbacks until there were so many."""
    deadline = time.monotonic() + WAIT_S
    while len(called) < count:
        stage.deliveries.deliver(0.01)
        assert time.monotonic() < deadline


def test_pb01_an_aborted_batch(stage: Stage) -> None:
    """All futures and callbacks of an aborted batch get the error it was aborted with, each callback once.

    Java's batch passes no metadata, and its producer makes up for that; ours always has metadata, without an offset.
    """
    called: list[Any] = []
    futures = [
        stage.append(b"%d" % n, partition=0, on_delivery=lambda *a: called.append(a), notify=True) for n in range(3)
    ]
    stage.wire.abort(ClientCode.CLOSED_FORCEFULLY, "as the test wants")
    delivered(stage, called, 3)
    for future in futures:
        with pytest.raises(ClosedForcefullyError, match="as the test wants"):
            future.get(WAIT_S)
    stage.end()
    assert [type(error) for _, error in called] == [ClosedForcefullyError] * 3
    assert [(metadata.topic, metadata.partition, metadata.offset) for metadata, _ in called] == [("t", 0, -1)] * 3


@pytest.mark.parametrize("late", ["acknowledged", "failed"])
def test_pb02_what_comes_after_an_abort(late: str, stage: Stage) -> None:
    """Once aborted, a batch that is completed or failed stays what it was, and nobody is called again."""
    called: list[Any] = []
    future = stage.append(b"v", partition=0, on_delivery=lambda *a: called.append(a), notify=True)
    expect(stage.wire, EventKind.NEED_CONNECTION)
    peer = Peer(stage.wire)
    header, _ = peer.request()
    batch = parked(refused(stage, peer, header, 19))
    stage.wire.abort(ClientCode.CLOSED_FORCEFULLY, "over")
    delivered(stage, called, 1)
    assert isinstance(settled(future), ClosedForcefullyError)
    if late == "acknowledged":
        stage.wire.complete(batch, 5)
    else:
        stage.wire.fail(batch, 19)
    stage.end()
    assert [type(error) for _, error in called] == [ClosedForcefullyError]
    assert isinstance(future.exception, ClosedForcefullyError)


def settled(future: Any) -> BaseException:
    with pytest.raises(Exception) as caught:
        future.get(WAIT_S)
    return caught.value


def test_pb03_aborting_twice(stage: Stage) -> None:
    """A second abort finds nothing to do: the first error stays.

    In Java it is a mistake that raises; here any thread may ask for it at any time, so that it is harmless instead.
    """
    future = stage.append(b"v", partition=0)
    stage.wire.abort(ClientCode.CLOSED_FORCEFULLY, "first")
    first = settled(future)
    stage.wire.abort(ClientCode.CLOSED_FORCEFULLY, "second")
    assert "first" in str(first)
    assert str(settled(future)) == str(first)


def test_pb04_completing_twice(stage: Stage) -> None:
    """A batch is settled once: another time is refused, and offset and timestamp stay those of the first."""
    peer, header, (future,) = in_flight(stage, b"v")
    batch = parked(refused(stage, peer, header, 46))
    stage.wire.complete(batch, 10)
    metadata = future.get(WAIT_S)
    for again in (lambda: stage.wire.complete(batch, 20), lambda: stage.wire.fail(batch, 19)):
        with pytest.raises(ValueError, match="settled already"):
            again()
    assert (future.get(0).offset, future.get(0).timestamp) == (10, metadata.timestamp)


def pieces(stage: Stage, peer: Peer, count: int) -> list[bytes]:
    """Acknowledge what is sent until so many records were; the batches as they came."""
    seen: list[bytes] = []
    records = 0
    while records < count:
        header, request = peer.request()
        (partition,) = request.topics[0].partitions
        seen.append(bytes(partition.records or b""))
        peer.answer(header, PartitionProduceResponse(0, 0, records))
        records += struct.unpack_from(">i", seen[-1], 57)[0]
    return seen


def test_pb05_a_split_keeps_headers(stage: Stage) -> None:
    """Every record of a split batch keeps its headers, key, value and timestamp."""
    records = [
        (b"k%d" % n, b"v%d" % n * 50, [("n", b"%d" % n), ("none", None), ("n", b"again")], 1_000 + n)
        for n in range(10)
    ]
    futures = [stage.append(value, key, headers, 0, timestamp) for key, value, headers, timestamp in records]
    expect(stage.wire, EventKind.NEED_CONNECTION)
    peer = Peer(stage.wire)
    header, _ = peer.request()
    batch = parked(refused(stage, peer, header, 10))
    stage.wire.split(batch, batch.size // 3, 10)
    batches = [decode_batch(data) for data in pieces(stage, peer, 10)]
    assert len(batches) > 2
    assert [future.get(WAIT_S).offset for future in futures] == list(range(10))
    kept = [(r.key, r.value, list(r.headers), r.timestamp) for batch in batches for r in batch.records]
    assert kept == records


def test_pb06_pieces_of_a_split_are_batches_like_any_other(stage: Stage) -> None:
    """Every piece has the format of the whole, no codec, base offset 0, and offsets that count from 0."""
    peer, header, futures = in_flight(stage, *[bytes(100)] * 10)
    batch = parked(refused(stage, peer, header, 10))
    stage.wire.split(batch, batch.size // 2, 10)
    for data in pieces(stage, peer, 10):
        base_offset, magic, attributes = struct.unpack_from(">q8xbxxxxh", data)
        assert (base_offset, magic, attributes) == (0, 2, 0)
        count = struct.unpack_from(">i", data, 57)[0]
        assert struct.unpack_from(">i", data, 23)[0] == count - 1
        assert len(decode_batch(data).records) == count < 10
    assert all(future.get(WAIT_S) for future in futures)


def test_pb06_pieces_in_the_format_of_old_brokers(broker: EmbeddedBroker, make: Make) -> None:
    """A broker that knows message sets alone gets pieces in that format too: nothing is lost, doubled or reordered.

    Java cannot split an uncompressed message set; ours are made anew of the batch for each request.
    """
    broker.play_release("0.10.2")
    broker.configure_topic("t", max_message_bytes=2000)
    producer = make(broker, linger_ms=60_000)
    futures = [producer.send("t", b"%03d" % n + bytes(400), partition=0, timestamp_ms=10**12 + n) for n in range(40)]
    producer.flush(WAIT_S)
    assert [future.get(0).offset for future in futures] == list(range(40))
    kept = [((it.value or b"")[:3], it.timestamp) for it in broker.records("t", 0)]
    assert kept == [(b"%03d" % n, 10**12 + n) for n in range(40)]
    sent = broker.requests_of("Produce")
    assert {request.version for request in sent} == {2}
    assert sum(not request.records for request in sent) > 0


@pytest.mark.parametrize(("codec", "release"), FORMATS)
def test_pb06_pieces_keep_the_codec(codec: str, release: str | None, broker: EmbeddedBroker, make: Make) -> None:
    """Every piece is compressed like the whole, in every format that knows the codec: nothing is lost or reordered."""
    if release:
        broker.play_release(release)
    broker.configure_topic("t", max_message_bytes=4000)
    values = [b"%03d" % n + random.Random(n).randbytes(300) + bytes(300) for n in range(40)]
    producer = make(broker, linger_ms=60_000, batch_size=30_000, compression_type=codec)
    futures = [producer.send("t", value, partition=0) for value in values]
    producer.flush(WAIT_S)
    assert [future.get(0).offset for future in futures] == list(range(40))
    assert [it.value for it in broker.records("t", 0)] == values
    batches = broker.batches("t", 0)
    assert {batch.header.codec for batch in batches} == {CODECS[codec]}
    assert all(batch.header.record_count > 1 for batch in batches)
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["batch-split-total"] > 0


@pytest.mark.parametrize("shift_s", [-1e9, 1800])
@pytest.mark.parametrize("retried", [False, True])
def test_pb07_expires_at_creation_and_time_out(
    shift_s: float, retried: bool, broker: EmbeddedBroker, make: Make
) -> None:
    """A batch expires delivery_timeout_ms after it was made, in the queue or after a retry, whatever the records say.

    A clock that goes back behind its making, as in Java, does not exist: time is monotonic here.
    """
    producer = make(broker, delivery_timeout_ms=500, request_timeout_ms=200, linger_ms=0)
    producer.send("t", b"v", partition=0).get(WAIT_S)
    if retried:
        broker.fail("Produce", NotEnoughReplicasError, times=None)
    else:
        broker.leaderless("t")
    began = time.monotonic()
    future = producer.send("t", b"v", partition=0, timestamp_ms=int((time.time() + shift_s) * 1000))
    with pytest.raises(KafkaTimeoutError):
        future.get(WAIT_S)
    assert 0.495 <= time.monotonic() - began < 10
    if retried:
        assert broker.request_count("Produce") > 2


def test_pb08_a_closed_batch_takes_nothing(stage: Stage) -> None:
    """Once a batch was taken to be sent it takes no more records: the next one begins another."""
    peer, header, (first,) = in_flight(stage, b"first")
    second = stage.append(b"second", partition=0)
    peer.answer(header, PartitionProduceResponse(0, 0, 0))
    header, request = peer.request()
    (records,) = [part.records for part in request.topics[0].partitions]
    assert [r.value for r in decode_batch(bytes(records or b"")).records] == [b"second"]
    peer.answer(header, PartitionProduceResponse(0, 0, 1))
    assert (first.get(WAIT_S).offset, second.get(WAIT_S).offset) == (0, 1)


def test_pb09_errors_by_record(stage: Stage) -> None:
    """Records the broker names get their own errors, the others of the batch one that says it was not them."""
    peer, header, futures = in_flight(stage, *[b"%d" % n for n in range(5)])
    errors = (RecordError(1, "one"), RecordError(4, "four"))
    event = refused(stage, peer, header, InvalidRecordError.errno or 0, record_errors=errors, error_message="batch")
    stage.wire.fail(parked(event), event.code, event.text, False, event.record_errors)
    outcome = [(type(error), str(error.args[0])) for error in map(settled, futures)]
    others = (BatchRejectedError, "batch")
    assert outcome == [others, (InvalidRecordError, "one"), others, others, (InvalidRecordError, "four")]


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Knows the topic: leader 1, epoch 5."""
    made = make_world()
    made.boot(topic("t", (1, 2), epoch=5))
    made.take()
    return made


def delay(world: World, event: FakeEvent) -> int:
    """Milliseconds for which the batch has to wait before it is sent again."""
    world.tell(event)
    ((options,),) = [call[2:] for call in world.take() if call[0] == "requeue"]
    return int(options["delay_ms"])


def test_pb10_the_first_leader_is_no_change(broker: EmbeddedBroker, make: Make) -> None:
    """That a batch gets its first leader is no reason to skip the back-off of its first retry."""
    broker.leaderless("t")
    producer = make(broker, retry_backoff_ms=400, retry_backoff_max_ms=400, linger_ms=0)
    future = producer.send("t", b"v", partition=0)
    asked = broker.request_count("Metadata")
    broker.wait_for_requests("Metadata", asked + 1, WAIT_S)
    broker.fail("Produce", NotEnoughReplicasError, times=1)
    broker.move_leader("t", 0, 1)
    assert future.get(WAIT_S).offset == 0
    first, second = broker.requests_of("Produce")
    assert second.time - first.time >= 0.395


def test_pb11_a_newer_leader_counts_once(world: World) -> None:
    """A newer leader epoch skips the back-off of that one attempt; the same, an older or an unknown one does not."""
    batch = FakeBatch(attempts=1)
    for leader, epoch in ((2, 4), (1, 5), (2, -1), (-1, 6), (-1, -1)):
        assert delay(world, parked_event(6, batch, leader=leader, leader_epoch=epoch)) == 100, (leader, epoch)
    assert delay(world, parked_event(6, batch, leader=2, leader_epoch=6)) == 0
    again = FakeBatch(attempts=2)
    assert delay(world, parked_event(6, again, leader=2, leader_epoch=6)) == 100
    assert delay(world, parked_event(6, again, leader=1, leader_epoch=7)) == 0
