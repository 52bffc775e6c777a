# SPDX-License-Identifier: Apache-2.0
"""The wire thread's door: events, commands, and a peer of the test's at the other end of a socket pair."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka_fast._core.wire import Event, EventKind, ParkedBatch, Wire
from pykafka_fast.errors import (
    BatchRejectedError,
    ClientCode,
    ClosedForcefullyError,
    InvalidRecordError,
    KafkaError,
    NotEnoughReplicasError,
)
from pykafka_fast.protocol.api import ApiKey
from pykafka_fast.protocol.header import RequestHeader, encode_response
from pykafka_fast.protocol.message import ZERO_UUID
from pykafka_fast.protocol.produce import (
    NodeEndpoint,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    RecordError,
    TopicProduceResponse,
)
from tests.core.stage import Stage, accumulator

DEADLINE_S = 10.0
VERSION = 12
TOPIC_ID = bytes(range(16))


class Peer:
    """A broker's end of a connection."""

    def __init__(self, wire: Wire, node: int = 1, version: int = VERSION, correlation: int = 7) -> None:
        self._socket, ours = socket.socketpair()
        self._socket.settimeout(DEADLINE_S)
        ours.setblocking(False)
        wire.connect(node, ours.detach(), version, correlation)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def request(self) -> tuple[RequestHeader, ProduceRequest]:
        frame = self._read(struct.unpack(">i", self._read(4))[0])
        header, offset = RequestHeader.decode(frame)
        return header, ProduceRequest.decode(frame, header.version, offset)

    def answer(self, header: RequestHeader, *partitions: PartitionProduceResponse, endpoints: Any = ()) -> None:
        topic = TopicProduceResponse("t", partitions, TOPIC_ID)
        body = ProduceResponse((topic,), 0, tuple(endpoints)).encode(header.version)
        self.send(encode_response(ApiKey.PRODUCE, header.version, header.correlation_id, body))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()

    def is_closed_by_the_wire(self) -> bool:
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(linger_ms=0.0)
    made.wire.set_leaders(made.topic, [1] * 4, [0] * 4, TOPIC_ID)
    yield made
    made.end()


def take(wire: Wire, count: int) -> list[Event]:
    """So many events, sorted by kind."""
    seen: list[Event] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(seen) < count:
        assert select.select([wire.fileno()], [], [], max(0.0, deadline - time.monotonic()))[0], seen
        seen += wire.events()
    return sorted(seen, key=lambda event: event.kind)


def expect(wire: Wire, kind: EventKind) -> Event:
    """The next event, which must be of this kind."""
    deadline = time.monotonic() + DEADLINE_S
    while not (events := wire.events()):
        assert select.select([wire.fileno()], [], [], max(0.0, deadline - time.monotonic()))[0], f"no {kind!r}"
    assert [event.kind for event in events] == [kind]
    return events[0]


def parked(event: Event) -> ParkedBatch:
    assert event.batch is not None
    return event.batch


def in_flight(stage: Stage, *values: bytes, partition: int = 0) -> tuple[Peer, RequestHeader, list[Any]]:
    """Records on their way in one request, and the peer that has read it."""
    futures = [stage.append(value, partition=partition) for value in values]
    assert expect(stage.wire, EventKind.NEED_CONNECTION).node == 1
    peer = Peer(stage.wire)
    header, request = peer.request()
    assert [part.partition for topic in request.topics for part in topic.partitions] == [partition]
    return peer, header, futures


def refused(stage: Stage, peer: Peer, header: RequestHeader, code: int, **more: Any) -> Event:
    peer.answer(header, PartitionProduceResponse(0, code, **more))
    event = expect(stage.wire, EventKind.PARKED)
    assert event.code == code
    return event


def test_a_record_goes_out_and_its_answer_comes_back(stage: Stage) -> None:
    peer, header, (future,) = in_flight(stage, b"v")
    assert (header.api, header.version, header.correlation_id, header.client_id) == (0, VERSION, 7, "stage")
    assert not future.is_done
    peer.answer(header, PartitionProduceResponse(0, 0, 42))
    assert future.get(timeout=DEADLINE_S).offset == 42
    counters = stage.wire.counters()
    assert (counters["requests"], counters["responses"], counters["records_sent"]) == (1, 1, 1)
    assert stage.wire.node_counters()[1]["requests"] == 1


def test_correlation_ids_go_on_from_the_one_given(stage: Stage) -> None:
    peer, header, _ = in_flight(stage, b"v")
    for expected in (8, 9):
        peer.answer(header, PartitionProduceResponse(0, 0, 0))
        stage.append(b"w", partition=0)
        header, _ = peer.request()
        assert header.correlation_id == expected
    peer.answer(header, PartitionProduceResponse(0, 0, 0))


def test_answers_in_single_bytes(stage: Stage) -> None:
    peer, header, (future,) = in_flight(stage, b"v")
    body = ProduceResponse((TopicProduceResponse("t", (PartitionProduceResponse(0, 0, 3),)),)).encode(VERSION)
    for byte in encode_response(ApiKey.PRODUCE, VERSION, header.correlation_id, body):
        peer.send(bytes([byte]))
    assert future.get(timeout=DEADLINE_S).offset == 3


def test_what_is_parked_tells_about_itself(stage: Stage) -> None:
    peer, header, _ = in_flight(stage, b"a", b"b", b"c")
    event = refused(stage, peer, header, 19, error_message="too few")
    batch = parked(event)
    assert (event.text, event.topic, event.partition, event.in_doubt) == ("too few", "t", 0, False)
    assert (batch.topic, batch.partition, batch.count, batch.attempts, batch.sequence) == ("t", 0, 3, 0, -1)
    assert 61 < batch.size < 120
    assert event.first
    assert not batch.is_split
    assert 0 <= batch.age_ms < 10_000
    assert "3 records" in repr(batch)
    stage.wire.fail(batch, 19)


def test_requeue_sends_it_again_after_the_delay(stage: Stage) -> None:
    peer, header, (future,) = in_flight(stage, b"v")
    batch = parked(refused(stage, peer, header, 19))
    began = time.monotonic()
    stage.wire.requeue(batch, delay_ms=100)
    header, _ = peer.request()
    assert 0.09 < time.monotonic() - began < 5
    batch = parked(refused(stage, peer, header, 19))
    assert batch.attempts == 1
    stage.wire.requeue(batch)
    header, _ = peer.request()
    peer.answer(header, PartitionProduceResponse(0, 0, 5))
    assert future.get(timeout=DEADLINE_S).offset == 5


def test_a_parked_batch_mutes_its_partition_only(stage: Stage) -> None:
    peer, header, (future,) = in_flight(stage, b"v")
    batch = parked(refused(stage, peer, header, 19))
    behind = stage.append(b"w", partition=0)
    stage.append(b"x", partition=1)
    header, request = peer.request()
    assert [part.partition for topic in request.topics for part in topic.partitions] == [1]
    peer.answer(header, PartitionProduceResponse(1, 0, 0))
    stage.wire.requeue(batch)
    header, _ = peer.request()
    peer.answer(header, PartitionProduceResponse(0, 0, 0))
    assert future.get(timeout=DEADLINE_S).offset == 0
    header, _ = peer.request()
    peer.answer(header, PartitionProduceResponse(0, 0, 1))
    assert behind.get(timeout=DEADLINE_S).offset == 1


def test_fail(stage: Stage) -> None:
    peer, header, (future,) = in_flight(stage, b"v")
    stage.wire.fail(parked(refused(stage, peer, header, 19)), 19, "as said", in_doubt=True)
    with pytest.raises(NotEnoughReplicasError, match="as said") as caught:
        future.get(timeout=DEADLINE_S)
    assert caught.value.in_doubt


def test_fail_with_guilty_records(stage: Stage) -> None:
    peer, header, futures = in_flight(stage, b"a", b"b", b"c")
    errors = (RecordError(0, "first"), RecordError(2, None))
    event = refused(stage, peer, header, 87, record_errors=errors, error_message="all")
    assert event.record_errors == [(0, "first"), (2, None)]
    stage.wire.fail(parked(event), 87, "all", False, event.record_errors)
    kinds = []
    for future in futures:
        with pytest.raises((InvalidRecordError, BatchRejectedError)) as caught:
            future.get(timeout=DEADLINE_S)
        kinds.append((caught.type, str(caught.value.args[0])))
    assert kinds == [(InvalidRecordError, "first"), (BatchRejectedError, "all"), (InvalidRecordError, "all")]


def test_complete(stage: Stage) -> None:
    peer, header, futures = in_flight(stage, b"a", b"b")
    stage.wire.complete(parked(refused(stage, peer, header, 46)), 10)
    assert [future.get(timeout=DEADLINE_S).offset for future in futures] == [10, 11]


def test_split(stage: Stage) -> None:
    peer, header, futures = in_flight(stage, *[bytes(100)] * 10)
    batch = parked(refused(stage, peer, header, 10))
    stage.wire.split(batch, batch.size // 2, 10, "too large")
    offset = 0
    while offset < 10:
        header, request = peer.request()
        count = struct.unpack_from(">i", request.topics[0].partitions[0].records or b"", 57)[0]
        assert count < 10
        peer.answer(header, PartitionProduceResponse(0, 0, offset))
        offset += count
    assert [future.get(timeout=DEADLINE_S).offset for future in futures] == list(range(10))


def test_a_batch_is_settled_once(stage: Stage) -> None:
    peer, header, _ = in_flight(stage, b"v")
    batch = parked(refused(stage, peer, header, 19))
    assert not batch.settled
    stage.wire.fail(batch, 19)
    assert batch.settled
    for again in (lambda: stage.wire.fail(batch, 19), lambda: stage.wire.requeue(batch),
                  lambda: stage.wire.complete(batch), lambda: stage.wire.split(batch, 100, 10)):  # fmt: skip
        with pytest.raises(ValueError, match="settled already"):
            again()


def test_a_leader_named_in_the_answer(stage: Stage) -> None:
    peer, header, _ = in_flight(stage, b"v")
    endpoint = NodeEndpoint(9, "host", 1234)
    peer.answer(header, PartitionProduceResponse(0, 6, current_leader=(9, 5)), endpoints=[endpoint])
    event, node = take(stage.wire, 2)
    assert (node.kind, node.node, node.text, node.code) == (EventKind.NODE, 9, "host", 1234)
    assert (event.leader, event.leader_epoch) == (9, 5)
    stage.wire.set_leader(stage.topic, 0, 9, 5)
    stage.wire.requeue(parked(event))
    assert expect(stage.wire, EventKind.NEED_CONNECTION).node == 9
    other = Peer(stage.wire, node=9)
    header, _ = other.request()
    other.answer(header, PartitionProduceResponse(0, 0, 0))


@pytest.mark.parametrize(
    "reply",
    [
        b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", struct.pack(">ii", 4, 99), struct.pack(">i", 3) + b"abc",
        struct.pack(">iib", 5, 7, 0), struct.pack(">iibb", 6, 7, 0, 127),
        encode_response(ApiKey.PRODUCE, VERSION, 7, ProduceResponse().encode(VERSION)),
        encode_response(ApiKey.PRODUCE, VERSION, 7, ProduceResponse(
            (TopicProduceResponse("t", (PartitionProduceResponse(3, 0, 0),)),)).encode(VERSION)),
        encode_response(ApiKey.PRODUCE, VERSION, 7, ProduceResponse(
            (TopicProduceResponse("t", (PartitionProduceResponse(0), PartitionProduceResponse(0))),)).encode(VERSION)),
    ],
    ids=["huge", "negative", "correlation", "short", "no body", "count", "missing", "another partition", "twice"],
)  # fmt: skip
def test_answers_that_are_none_end_the_connection(stage: Stage, reply: bytes) -> None:
    peer, _, (future,) = in_flight(stage, b"v")
    peer.send(reply)
    lost, event = take(stage.wire, 2)
    assert (lost.kind, lost.node, event.kind) == (EventKind.CONNECTION_LOST, 1, EventKind.PARKED)
    assert lost.text
    assert peer.is_closed_by_the_wire()
    assert event.in_doubt
    stage.wire.fail(parked(event), 13, in_doubt=True)
    with pytest.raises(KafkaError):
        future.get(timeout=DEADLINE_S)


def test_a_connection_that_ends_parks_what_it_carried(stage: Stage) -> None:
    peer, _, _ = in_flight(stage, b"v")
    peer.close()
    lost, event = take(stage.wire, 2)
    assert (lost.kind, lost.node) == (EventKind.CONNECTION_LOST, 1)
    assert (event.code, event.in_doubt) == (13, True)
    stage.wire.requeue(parked(event), in_doubt=True)
    assert expect(stage.wire, EventKind.NEED_CONNECTION).node == 1
    stage.wire.forget_connection(1)
    assert expect(stage.wire, EventKind.NEED_CONNECTION).node == 1
    header, _ = Peer(stage.wire).request()
    assert header.correlation_id == 7


def test_a_partition_without_a_leader() -> None:
    stage = Stage(linger_ms=0.0)
    stage.append(b"v", partition=2)
    event = expect(stage.wire, EventKind.UNKNOWN_LEADER)
    assert (event.topic, event.partition) == ("t", 2)
    stage.wire.set_leaders(stage.topic, [-1] * 4, [-1] * 4, ZERO_UUID)
    assert expect(stage.wire, EventKind.UNKNOWN_LEADER).partition == 2
    stage.wire.set_leaders(stage.topic, [5] * 4, [0] * 4, TOPIC_ID)
    assert expect(stage.wire, EventKind.NEED_CONNECTION).node == 5
    stage.end()


def test_drained_when_nothing_is_left(stage: Stage) -> None:
    peer, header, (future,) = in_flight(stage, b"v")
    stage.wire.close()
    time.sleep(0.05)
    assert stage.wire.events() == []
    peer.answer(header, PartitionProduceResponse(0, 0, 0))
    expect(stage.wire, EventKind.DRAINED)
    assert future.succeeded()
    assert stage.wire.live_count() == 0


def test_abort_fails_everything(stage: Stage) -> None:
    peer, header, futures = in_flight(stage, b"v")
    batch = parked(refused(stage, peer, header, 19))
    futures += [stage.append(b"w", partition=0), stage.append(b"x", partition=1)]
    stage.wire.abort(ClientCode.CLOSED_FORCEFULLY, "over")
    for future in futures:
        with pytest.raises(ClosedForcefullyError, match="over"):
            future.get(timeout=DEADLINE_S)
    stage.wire.requeue(batch)  # too late, and without harm


def test_arguments_are_checked(stage: Stage) -> None:
    with pytest.raises(ValueError, match="255"):
        Wire(accumulator(), client_id="x" * 256, acks=-1, idempotent=False, max_in_flight=5, request_timeout_ms=1,
             idle_timeout_ms=1, patience_ms=1, receive_max=1)  # fmt: skip
    for leaders, epochs, topic_id in (([1] * 5, [0] * 5, TOPIC_ID), ([1], [], TOPIC_ID), ([1], [0], b"")):
        with pytest.raises(ValueError, match="one leader and one epoch"):
            stage.wire.set_leaders(stage.topic, leaders, epochs, topic_id)
    for partition in (-1, 4):
        with pytest.raises(ValueError, match="no partition"):
            stage.wire.set_leader(stage.topic, partition, 1, 1)


def test_stopped_twice_and_never_started() -> None:
    stage = Stage()
    stage.end()
    stage.wire.stop()
    Wire(accumulator(), client_id="x", acks=-1, idempotent=False, max_in_flight=5, request_timeout_ms=1,
         idle_timeout_ms=-1, patience_ms=1, receive_max=1).stop()  # fmt: skip
