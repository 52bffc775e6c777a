# SPDX-License-Identifier: Apache-2.0
"""send(): the same records, futures and callbacks whichever way the record takes."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import Headers, KafkaProducer, ProducerRecord, RecordFuture
from pykafka_fast.errors import IllegalStateError, KafkaTimeoutError, MessageSizeTooLargeError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.ways import WAYS, Second, make_by
from tools import readback
from tools.brokers.processes import wait_for

TIMEOUT_S = 10.0
NOW = 1_700_000_000_000
ReadBack = Callable[..., list[readback.Record]]

HEADERS: list[Any] = [("trace", b"1"), ("trace", b""), ("none", None), ("käse 世界", b"\x00\xff"), ("", b"empty key")]
# (arguments, key, value, headers in the log); partition 1 is named so that every way chooses the same one.
CASES: list[tuple[dict[str, Any], bytes | None, bytes | None, list[Any]]] = [
    ({"value": b"v"}, None, b"v", []),
    ({"value": b"", "key": b""}, b"", b"", []),
    ({"value": None, "key": b"tombstone"}, b"tombstone", None, []),
    ({"value": b"v", "key": b"k", "headers": []}, b"k", b"v", []),
    ({"value": b"v", "headers": HEADERS}, None, b"v", HEADERS),
    ({"value": b"v", "headers": [("n", b"x")] * 9}, None, b"v", [("n", b"x")] * 9),
    ({"value": b"v", "headers": Headers([("h", b"x")])}, None, b"v", [("h", b"x")]),
    ({"value": b"v", "headers": [("h", bytearray(b"x")), ("m", memoryview(b"yz"))]}, None, b"v",
     [("h", b"x"), ("m", b"yz")]),
    ({"value": bytearray(b"array"), "key": memoryview(b"view")}, b"view", b"array", []),
    ({"value": bytearray(), "key": memoryview(b"")}, b"", b"", []),
    ({"value": type("Sub", (bytes,), {})(b"subclass")}, None, b"subclass", []),
    ({"value": b"x" * 100_000, "key": b"k"}, b"k", b"x" * 100_000, []),
]  # fmt: skip


def size_of(headers: list[Any]) -> int:
    return sum(len(key.encode()) + len(value or b"") for key, value in headers) if headers else -1


@pytest.mark.parametrize("way", WAYS)
def test_contents(way: str, broker: EmbeddedBroker, make: Make, read_back: ReadBack) -> None:
    producer = make_by(way, make, broker)
    futures = [
        producer.send("t", partition=1, timestamp_ms=NOW + n, **arguments) for n, (arguments, *_) in enumerate(CASES)
    ]
    for n, (future, (_, key, value, headers)) in enumerate(zip(futures, CASES, strict=True)):
        metadata = future.get(TIMEOUT_S)
        assert tuple(metadata) == (
            "t", 1, ("t", 1), n, NOW + n, None, -1 if key is None else len(key), -1 if value is None else len(value),
            size_of(headers),
        )  # fmt: skip
    expected = [(1, n, key, value, headers, NOW + n) for n, (_, key, value, headers) in enumerate(CASES)]
    assert [tuple(record) for record in read_back(broker.address, "t")] == expected
    ours = broker.records("t", 1)
    assert [(r.partition, r.offset, r.key, r.value, list(r.headers), r.timestamp) for r in ours] == expected


@pytest.mark.parametrize("way", WAYS)
def test_positional_order_and_record_object(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    producer.send("t", b"v", b"k", [("h", b"1")], 1, NOW).get(TIMEOUT_S)
    producer.send(ProducerRecord("t", 1, [("h", b"1")], b"k", b"v", NOW)).get(TIMEOUT_S)
    producer.send(topic="t", value=b"v", key=b"k", headers=[("h", b"1")], partition=1, timestamp_ms=NOW).get(TIMEOUT_S)
    seen: list[Any] = []
    producer.send(ProducerRecord("t", 1, [("h", b"1")], b"k", b"v", NOW), on_delivery=lambda *a: seen.append(a)).get(10)
    records = broker.records("t")
    assert [(r.partition, r.key, r.value, r.headers, r.timestamp) for r in records] == [
        (1, b"k", b"v", (("h", b"1"),), NOW)
    ] * 4
    assert len(seen) == 1
    for more in ({"value": b"v"}, {"key": b"k"}, {"headers": []}, {"partition": 0}, {"timestamp_ms": 1}):
        with pytest.raises(TypeError, match="sent alone"):
            producer.send(ProducerRecord("t", value=b"v"), **more)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        producer.send("t", b"v", b"k", [], 1, NOW, print)  # type: ignore[misc]  # on_delivery is a keyword


@pytest.mark.parametrize("way", WAYS)
def test_order_per_partition(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    for n in range(3000):
        producer.send("t", b"%d" % n, partition=n % 4)
    producer.flush(TIMEOUT_S)
    for partition in range(4):
        values = [record.value for record in broker.records("t", partition)]
        assert values == [b"%d" % n for n in range(partition, 3000, 4)]


@pytest.mark.parametrize("way", WAYS)
def test_timestamps(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    before = time.time_ns() // 1_000_000
    future = producer.send("t", b"now", partition=1)
    after = time.time_ns() // 1_000_000
    metadata = future.get(TIMEOUT_S)
    assert before - 50 <= metadata.timestamp <= after + 50  # the clock may be the kernel's coarse one
    for wanted in (0, 1, 5, 3, NOW):  # in no order
        assert producer.send("t", b"x", partition=1, timestamp_ms=wanted).get(TIMEOUT_S).timestamp == wanted
    stamps = [record.timestamp for record in broker.records("t", 1)]
    assert stamps == [metadata.timestamp, 0, 1, 5, 3, NOW]


@pytest.mark.parametrize("way", WAYS)
def test_one_batch_of_timestamps_in_any_order(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker, linger_ms=60_000)
    producer.partitions_for("t")
    wanted = [NOW, NOW - 10_000_000, NOW + 7, 0, NOW]
    for stamp in wanted:
        producer.send("t", b"x", partition=1, timestamp_ms=stamp)
    producer.flush(TIMEOUT_S)
    assert len(broker.batches("t", 1)) == 1
    assert [record.timestamp for record in broker.records("t", 1)] == wanted


@pytest.mark.parametrize("way", WAYS)
def test_broker_time(way: str, start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(log_append_time=True)
    producer = make_by(way, make, broker)
    metadata = producer.send("t", b"x", partition=1, timestamp_ms=7).get(TIMEOUT_S)
    assert metadata.timestamp == broker.records("t", 1)[0].timestamp > 7


@pytest.mark.parametrize("way", WAYS)
def test_headers_are_frozen_after_the_partition_is_chosen(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    record = ProducerRecord("t", 1, [("a", b"1")], value=b"v")
    record.headers.append(("b", b"2"))
    future = producer.send(record)
    with pytest.raises(IllegalStateError):
        record.headers.append(("c", b"3"))
    future.get(TIMEOUT_S)
    producer.send(record).get(TIMEOUT_S)  # the same record can be sent again
    mine = [("a", b"1")]
    producer.send("t", b"v", headers=mine, partition=1).get(TIMEOUT_S)
    mine.append(("b", b"2"))  # the caller's list stays the caller's
    assert [record.headers for record in broker.records("t", 1)] == [(("a", b"1"), ("b", b"2"))] * 2 + [(("a", b"1"),)]


# ---- on_delivery ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_on_delivery(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    seen: list[tuple[int, Any, Any, str]] = []
    futures = []
    for n in range(200):
        def note(metadata: Any, exception: Any, n: int = n) -> None:
            seen.append((n, metadata, exception, threading.current_thread().name))
        futures.append(producer.send("t", b"%d" % n, partition=n % 4, on_delivery=note))
    for future in futures:
        future.get(TIMEOUT_S)
        # get() returns after the record's callback has run.
    assert sorted(n for n, *_ in seen) == list(range(200))
    for partition in range(4):
        mine = [(n, metadata.offset) for n, metadata, *_ in seen if metadata.partition == partition]
        assert mine == [(n, n // 4) for n in range(partition, 200, 4)]  # in the order of send()
    for n, metadata, exception, thread in seen:
        assert exception is None
        assert metadata == futures[n].get(0)
        assert thread == producer.config["client_id"] + "-delivery"


@pytest.mark.parametrize("way", WAYS)
def test_on_delivery_of_a_failure(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    broker.fail("Produce", 10, topic="t")  # MESSAGE_TOO_LARGE, one record: cannot be split
    seen: list[Any] = []
    future = producer.send("t", b"v", b"k", partition=1, on_delivery=lambda *args: seen.append(args))
    with pytest.raises(MessageSizeTooLargeError):
        future.get(TIMEOUT_S)
    ((metadata, exception),) = seen
    assert isinstance(exception, MessageSizeTooLargeError)
    assert (metadata.topic, metadata.partition, metadata.offset, metadata.timestamp) == ("t", 1, -1, -1)


@pytest.mark.parametrize("way", WAYS)
def test_on_delivery_without_an_append(way: str, broker: EmbeddedBroker, make: Make) -> None:
    """What fails in send() itself calls back at once, on the caller's thread, before send() returns."""
    producer = make_by(way, make, broker, max_request_size=1000)
    for warm in (False, True):
        for partition in (None, 1):
            seen: list[Any] = []
            future = producer.send("t", b"x" * 1000, partition=partition,
                                   on_delivery=lambda *a, to=seen: to.append((*a, threading.current_thread())))
            assert future.is_done
            assert future.failed()
            ((metadata, exception, thread),) = seen
            assert thread is threading.current_thread()
            assert isinstance(exception, MessageSizeTooLargeError)
            wanted = partition if partition is not None or way != "partitioner" else 1
            if way != "transactions":  # the hook has been told of a partition by then
                assert metadata.partition == (-1 if wanted is None else wanted)
            assert (metadata.topic, metadata.offset, metadata.timestamp) == ("t", -1, -1)
            assert tuple(metadata)[6:] == (-1, -1, -1)
            assert future.topic_partition == (metadata.topic, metadata.partition)
        assert warm or producer.send("t", b"fine").get(TIMEOUT_S).offset >= 0


@pytest.mark.parametrize("way", WAYS)
def test_a_callback_that_raises(way: str, broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make_by(way, make, broker, max_request_size=10_000)

    def bad(metadata: Any, exception: Any) -> None:
        raise SystemExit("from the callback") if exception is None else ZeroDivisionError("from the callback")

    with caplog.at_level(logging.ERROR):
        assert producer.send("t", b"1", on_delivery=bad).get(TIMEOUT_S).offset == 0
        assert producer.send("t", b"x" * 20_000, on_delivery=bad).failed()
        assert producer.send("t", b"2", partition=2, on_delivery=bad).get(TIMEOUT_S).offset >= 0
    wait_for(lambda: caplog.text.count("Error processing callback") == 3, "three lines", TIMEOUT_S)
    assert caplog.text.count("from the callback") >= 3


@pytest.mark.parametrize("way", WAYS)
def test_acks_0_has_no_offset(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker, acks=0, enable_idempotence=False)
    metadata = producer.send("t", b"v", partition=1, timestamp_ms=5).get(TIMEOUT_S)
    assert (metadata.partition, metadata.offset, metadata.timestamp) == (1, -1, 5)
    broker.wait(lambda b: b.record_count("t") == 1)


# ---- the hook, the class, and the fast path ------------------------------------------------------------------------


def test_send_can_be_patched_and_overridden(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    original = KafkaProducer.send

    def traced(self: KafkaProducer, *args: Any, **kwargs: Any) -> RecordFuture:
        calls.append((args, kwargs))
        return original(self, *args, **kwargs)

    class Shouting(KafkaProducer):
        def send(self, topic: str, value: Any = None, *args: Any, **kwargs: Any) -> RecordFuture:  # type: ignore[override]
            return super().send(topic, value.upper(), *args, **kwargs)

    monkeypatch.setattr(KafkaProducer, "send", traced)
    with Shouting(bootstrap_servers=broker.address) as producer:
        future = producer.send("t", b"loud", partition=2)
        assert future._produce_future.topic_partition[1] == 2  # what tracers read at once
        future.get(TIMEOUT_S)
    assert calls == [(("t", b"LOUD"), {"partition": 2})]
    assert [record.value for record in broker.records("t")] == [b"LOUD"]


def test_signature() -> None:
    names = list(inspect.signature(KafkaProducer.send).parameters)
    assert names[1:] == ["topic", "value", "key", "headers", "partition", "timestamp_ms", "on_delivery"]


def test_the_fast_path_is_fast(broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first record of a topic, and what the fast path refuses, comes by the Python path."""
    producer = make(broker)
    came: list[Any] = []
    steps = KafkaProducer._do_send
    monkeypatch.setattr(KafkaProducer, "_do_send",
                        lambda self, *args, **named: came.append(args[0]) or steps(self, *args, **named))
    producer.send("t", b"first").get(TIMEOUT_S)
    for arguments, *_ in CASES:
        producer.send("t", partition=1, timestamp_ms=NOW, **arguments).get(TIMEOUT_S)
    assert [record.value for record in came] == [b"first"]


@pytest.mark.parametrize("twin_of", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_belongs_to_its_process_says_so(broker: EmbeddedBroker, make: Make, twin_of: Callable[..., Any]) -> None:
    producer = make(broker)
    with pytest.raises(TypeError, match=r"KafkaProducer cannot be .* make the producer in the process"):
        twin_of(producer)
    with pytest.raises(TypeError, match=r"RecordFuture cannot be .* what its get\(\) returns"):
        twin_of(producer.send("t", b"v"))
    rows = producer.send_many("t", [b"v"] * 3)
    with pytest.raises(TypeError, match=r"RangeFuture cannot be .* list\(future.get\(\)\)"):
        twin_of(rows)
    assert len(twin_of(list(rows.get(TIMEOUT_S)))) >= 3


def test_a_partitioner_is_asked_once(broker: EmbeddedBroker, make: Make) -> None:
    asked: list[Any] = []

    class Counting(Second):
        def partition(self, topic: str, key: Any, *args: Any) -> int:
            asked.append(key)
            return super().partition(topic, key, *args)

    producer = make(broker, partitioner=Counting(), max_request_size=1000)
    assert producer.send("t", b"v", key=b"1").get(TIMEOUT_S).partition == 1
    assert producer.send("t", b"v" * 1000, key=b"2").failed()
    assert producer.send("t", b"v", key=b"3", partition=2).get(TIMEOUT_S).partition == 2
    assert asked == [b"1", b"2"]


def test_a_full_pool_asks_nobody_twice(broker: EmbeddedBroker, make: Make) -> None:
    """Interceptors, serializers and partitioners run once although the append waits for memory."""
    ran: list[str] = []

    class Interceptor:
        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            ran.append("interceptor")
            return record

    def serializer(data: Any) -> Any:
        ran.append("serializer")
        return data

    producer = make(broker, interceptors=[Interceptor()], value_serializer=serializer, max_block_ms=10_000,
                    partitioner=lambda key, every, some: ran.append("partitioner") or 1, buffer_memory=1 << 17,
                    batch_size=1 << 14)
    producer.send("t", b"x").get(TIMEOUT_S)
    broker.hold("Produce")
    filler = [producer.send("t", b"x" * 30_000) for _ in range(3)]
    ran.clear()

    def release() -> None:
        stats = producer._lifecycle.accumulator.pool_stats
        wait_for(lambda: stats()["waiting"] > 0, "send() to wait", TIMEOUT_S)
        broker.release()

    releaser = threading.Thread(target=release)
    releaser.start()
    late = producer.send("t", b"y" * 60_000)
    releaser.join()
    assert ran == ["interceptor", "serializer", "partitioner"]
    for future in [*filler, late]:
        future.get(TIMEOUT_S)


@pytest.mark.parametrize("way", WAYS)
def test_exhausted_memory(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker, buffer_memory=1 << 17, delivery_timeout_ms=40_000)
    producer.send("t", b"x", partition=1).get(TIMEOUT_S)
    producer._max_block_s = 0.15
    broker.hold("Produce")
    seen: list[Any] = []
    futures = [producer.send("t", b"x" * 30_000, partition=1, on_delivery=lambda *a: seen.append(a)) for _ in range(6)]
    refused = [future for future in futures if future.is_done]
    assert refused
    for future in refused:
        with pytest.raises(KafkaTimeoutError, match="buffer_memory=131072") as raised:
            future.get(0)
        assert type(raised.value).__name__ == "BufferExhaustedError"
    broker.release()
    producer._max_block_s = 30.0
    kept = [future.get(TIMEOUT_S) for future in futures if future not in refused]
    assert len(seen) == 6
    assert broker.record_count("t") == 1 + len(kept)
    assert producer.send("t", b"later", partition=1).get(TIMEOUT_S).offset == 1 + len(kept)
