# SPDX-License-Identifier: Apache-2.0
"""What send() is given wrongly: raised or in the future, nothing appended, no memory held, the next send fine."""

from __future__ import annotations

import ctypes
import enum
import threading
import time
from typing import Any, NamedTuple

import numpy
import pytest

from pykafka_fast import KafkaProducer, ProducerRecord
from pykafka_fast._core.record import upper_bound
from pykafka_fast.errors import BrokerResponseError, InvalidTopicError, KafkaTimeoutError, MessageSizeTooLargeError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker, check_balance
from tests.path.ways import WAYS, make_by

TIMEOUT_S = 10.0

RAISED: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"value": "text"}, TypeError),
    ({"value": 5}, TypeError),
    ({"value": [b"v"]}, TypeError),
    ({"value": numpy.str_("text")}, TypeError),
    ({"value": b"v", "key": numpy.str_("text")}, TypeError),
    ({"value": numpy.int64(5)}, TypeError),
    ({"value": numpy.array([5, 6])}, TypeError),
    ({"value": numpy.array([object()])}, TypeError),
    ({"value": memoryview(numpy.array([object()]))}, TypeError),
    ({"value": ctypes.py_object(5)}, TypeError),
    ({"value": numpy.datetime64("2020-01-01")}, TypeError),
    ({"value": numpy.timedelta64(5, "s")}, TypeError),
    ({"value": numpy.bool_(True)}, TypeError),
    ({"value": numpy.int8(5)}, TypeError),
    ({"value": numpy.uint8(5)}, TypeError),
    ({"value": numpy.array(5, "u1")}, TypeError),
    ({"value": numpy.array([True])}, TypeError),
    ({"value": numpy.array([(1, 2)], "u1,u1")[0]}, TypeError),
    ({"value": b"v", "key": numpy.datetime64("2020-01-01")}, TypeError),
    ({"value": b"v", "key": numpy.uint8(5)}, TypeError),
    ({"value": b"v", "key": "text"}, TypeError),
    ({"value": b"v", "key": 1.5}, TypeError),
    ({"value": None, "key": None}, ValueError),
    ({"value": memoryview(b"abcdef")[::2]}, TypeError),
    ({"value": b"v", "key": memoryview(b"abcdef")[::-1]}, TypeError),
    ({"value": b"v", "headers": (("a", b"b"),)}, TypeError),
    ({"value": b"v", "headers": {"a": b"b"}}, TypeError),
    ({"value": b"v", "headers": "ab"}, TypeError),
    ({"value": b"v", "headers": [("a", "b")]}, TypeError),
    ({"value": b"v", "headers": [("a", 1)]}, TypeError),
    ({"value": b"v", "headers": [(b"a", b"b")]}, TypeError),
    ({"value": b"v", "headers": [(None, b"b")]}, TypeError),
    ({"value": b"v", "headers": [("a", b"b"), ("a",)]}, TypeError),
    ({"value": b"v", "headers": [("a", b"b", b"c")]}, TypeError),
    ({"value": b"v", "headers": [["a", b"b"]]}, TypeError),
    ({"value": b"v", "headers": [None]}, TypeError),
    ({"value": b"v", "headers": [("\ud800", b"b")]}, ValueError),
    ({"value": b"v", "partition": -1}, ValueError),
    ({"value": b"v", "partition": 1 << 31}, ValueError),
    ({"value": b"v", "partition": 1 << 70}, ValueError),
    ({"value": b"v", "partition": "1"}, TypeError),
    ({"value": b"v", "partition": 1.0}, TypeError),
    ({"value": b"v", "partition": True}, TypeError),
    ({"value": b"v", "timestamp_ms": -1}, ValueError),
    ({"value": b"v", "timestamp_ms": 1 << 63}, ValueError),
    ({"value": b"v", "timestamp_ms": 1.5}, TypeError),
    ({"value": b"v", "timestamp_ms": "1"}, TypeError),
    ({"value": b"v", "timestamp_ms": False}, TypeError),
    ({"value": b"v", "on_delivery": 5}, TypeError),
    ({"topic": None, "value": b"v"}, TypeError),
    ({"topic": b"t", "value": b"v"}, TypeError),
    ({"topic": 5, "value": b"v"}, TypeError),
    ({"topic": ["t"], "value": b"v"}, TypeError),
]
BAD_TOPICS = ["", ".", "..", "a b", "a/b", "ä", "x" * 250, "t\n", "t\0", "\ud800"]


def nothing_appended(broker: EmbeddedBroker, producer: KafkaProducer, sent: int) -> None:
    assert producer.send("t", b"fine", partition=1).get(TIMEOUT_S).partition == 1
    assert broker.record_count("t") == sent + 1
    check_balance(producer)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("way", WAYS)
def test_raised(way: str, warm: bool, broker: EmbeddedBroker, make: Make) -> None:
    for n, (arguments, error) in enumerate(RAISED):
        if n == 0 or not warm:
            producer = make_by(way, make, broker)
        if n == 0 and warm:
            producer.partitions_for("t")
        with pytest.raises(error) as raised:
            producer.send(**({"topic": "t"} | arguments))
        assert str(raised.value), arguments
        if not warm:
            producer.close()
    nothing_appended(broker, make_by(way, make, broker), 0)
    if warm:
        nothing_appended(broker, producer, 1)


@pytest.mark.parametrize("way", WAYS)
def test_topic_names(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    for topic in BAD_TOPICS * 2:
        seen: list[Any] = []
        future = producer.send(topic, b"v", on_delivery=lambda *a, to=seen: to.append(a))
        with pytest.raises(InvalidTopicError, match="249"):
            future.get(0)
        ((metadata, exception),) = seen
        assert isinstance(exception, InvalidTopicError)
        shown = {"t\0": "t\\0", "\ud800": "\\ud800"}.get(topic, topic)
        assert (metadata.topic, metadata.partition, metadata.offset) == (shown, -1, -1)
    assert broker.request_count("Metadata") == 0  # nobody was asked about them
    for topic in ("x" * 249, "a.b_c-D9", "..."):
        broker.create_topic(topic, 2)
        assert producer.send(topic, b"v").get(TIMEOUT_S).topic == topic
    nothing_appended(broker, producer, 0)


def test_a_topic_of_a_subclass_of_str(broker: EmbeddedBroker, make: Make) -> None:
    class Topics(str, enum.Enum):
        T = "t"

        def __str__(self) -> str:
            return "something else"

    producer = make(broker)
    for _ in range(2):
        metadata = producer.send(Topics.T, b"v").get(TIMEOUT_S)
        assert metadata.topic == "t"
        assert type(metadata.topic) is str
    assert producer.partitions_for(Topics.T) == {0, 1, 2, 3}


def test_headers_may_be_named_tuples(broker: EmbeddedBroker, make: Make) -> None:
    class Pair(NamedTuple):
        key: str
        value: bytes

    producer = make(broker)
    for _ in range(2):
        producer.send("t", b"v", headers=[Pair("a", b"b")]).get(TIMEOUT_S)
    assert [record.headers for record in broker.records("t")] == [(("a", b"b"),)] * 2


# ---- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("limit", [1000, 100_000, 1_048_576])
def test_exactly_the_largest_size(way: str, limit: int, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker, max_request_size=limit)
    headers = [("h", b"x"), ("n", None)]
    size = limit - upper_bound(b"key", b"", headers)
    while upper_bound(b"key", bytes(size), headers) > limit:  # the value's length takes bytes too
        size -= 1
    assert upper_bound(b"key", bytes(size), headers) == limit
    for _ in range(2):
        said = rf"\({size + 4} bytes of key and value\).*max_request_size={limit}"
        with pytest.raises(MessageSizeTooLargeError, match=said):
            producer.send("t", b"v" * (size + 1), key=b"key", headers=headers, partition=1).get(0)
        assert producer.send("t", b"v" * size, key=b"key", headers=headers, partition=1).get(TIMEOUT_S).offset >= 0
    assert [record.value for record in broker.records("t")] == [b"v" * size] * 2
    nothing_appended(broker, producer, 2)


@pytest.mark.parametrize("way", WAYS)
def test_larger_than_the_memory(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker, buffer_memory=1 << 18, max_request_size=1 << 24)
    for _ in range(2):
        with pytest.raises(MessageSizeTooLargeError, match="buffer_memory=262144"):
            producer.send("t", bytes(1 << 18), partition=1).get(0)
    assert producer.send("t", bytes(200_000), partition=1).get(TIMEOUT_S).serialized_value_size == 200_000
    nothing_appended(broker, producer, 1)


@pytest.mark.parametrize("way", WAYS)
def test_many_headers_and_a_large_key(way: str, start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(max_message_bytes=8 << 20)
    producer = make_by(way, make, broker, max_request_size=4 << 20)
    headers = [(f"header-{n}", b"%d" % n if n % 3 else None) for n in range(10_000)]
    key = bytes(range(256)) * 4096
    for _ in range(2):
        metadata = producer.send("t", b"v", headers=headers, partition=1).get(TIMEOUT_S)
        assert metadata.serialized_header_size == sum(len(k) + len(v or b"") for k, v in headers)
        assert producer.send("t", b"v", key=key, partition=1).get(TIMEOUT_S).serialized_key_size == 1 << 20
    many, large = broker.records("t", 1)[:2]
    assert list(many.headers) == headers
    assert large.key == key
    assert [record.value for record in broker.records("t", 1)] == [b"v"] * 4


def test_more_headers_than_a_message_may_have(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    for _ in range(2):
        assert isinstance(producer.send("t", b"v", headers=[("k" * 100, b"")] * 20_000).exception,
                          MessageSizeTooLargeError)
    nothing_appended(broker, producer, 0)


# ---- buffers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1000, 300_000])
def test_a_buffer_that_changes_meanwhile(way: str, size: int, broker: EmbeddedBroker, make: Make) -> None:
    """Its content is copied once: the size is right, and what the CRC covers is what arrives."""
    producer = make_by(way, make, broker)
    data = bytearray(size)
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            n = (n + 1) % 256
            data[:] = bytes([n]) * size

    changer = threading.Thread(target=change)
    changer.start()
    try:
        futures = [producer.send("t", memoryview(data) if n % 2 else data, partition=1) for n in range(30)]
        assert [future.get(TIMEOUT_S).serialized_value_size for future in futures] == [size] * 30
    finally:
        stop.set()
        changer.join()
    assert [len(record.value or b"") for record in broker.records("t", 1)] == [size] * 30
    data.append(1)  # no view was left open


@pytest.mark.parametrize("way", WAYS)
def test_a_buffer_may_be_used_again_at_once(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker, linger_ms=100)
    producer.partitions_for("t")
    data, key = bytearray(b"0000"), bytearray(b"k0000")
    for n in range(100):
        data[:] = key[1:] = b"%04d" % n
        producer.send("t", data, key=key, partition=1)
    data.clear()
    producer.flush(TIMEOUT_S)
    assert [(record.key, record.value) for record in broker.records("t", 1)] == [
        (b"k%04d" % n, b"%04d" % n) for n in range(100)
    ]


def test_headers_list_that_changes_meanwhile(broker: EmbeddedBroker, make: Make) -> None:
    """Large records are copied without the GIL; the list's entries must live on although the list lets them go."""
    producer = make(broker, max_request_size=4 << 20)
    broker.configure_topic("t", max_message_bytes=8 << 20)
    producer.partitions_for("t")
    headers: list[Any] = [(f"key-{n}", b"value-%d" % n) for n in range(500)]
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            headers[:] = [(f"key-{n}", b"value-%d" % n) for n in range(500)]

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(60):
            producer.send("t", bytes(100_000), headers=headers, partition=1).get(TIMEOUT_S)
    finally:
        stop.set()
        changer.join()
    expected = tuple((f"key-{n}", b"value-%d" % n) for n in range(500))
    assert all(record.headers == expected for record in broker.records("t", 1))


# ---- partitions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_partition_out_of_range(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    producer.partitions_for("t")
    producer._max_block_s = 0.3
    for _ in range(2):
        seen: list[Any] = []
        began = time.monotonic()
        future = producer.send("t", b"v", partition=4, on_delivery=lambda *a, to=seen: to.append(a))
        assert 0.25 < time.monotonic() - began < 3
        with pytest.raises(KafkaTimeoutError, match=r"partition 4 of topic 't' \(4 partitions\)"):
            future.get(0)
        assert seen[0][0].partition == 4
    nothing_appended(broker, producer, 0)


@pytest.mark.parametrize("way", WAYS)
def test_partition_added_meanwhile(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker, max_block_ms=10_000)
    producer.send("t", b"v", partition=0).get(TIMEOUT_S)
    timer = threading.Timer(0.2, broker.add_partitions, ("t", 6))
    began = time.monotonic()
    timer.start()
    metadata = producer.send("t", b"v", partition=5).get(TIMEOUT_S)
    timer.join()
    assert (metadata.partition, metadata.offset) == (5, 0)
    assert 0.15 < time.monotonic() - began < 5
    assert producer.partitions_for("t") == set(range(6))


def test_the_record_object_checks_too() -> None:
    for arguments, error in [
        ({"partition": -1}, ValueError), ({"partition": 1 << 31}, ValueError), ({"partition": "1"}, TypeError),
        ({"timestamp": -1}, ValueError), ({"timestamp": 1 << 63}, ValueError), ({"timestamp": 0.5}, TypeError),
        ({"headers": [("a", "b")]}, TypeError),
    ]:  # fmt: skip
        with pytest.raises(error):
            ProducerRecord("t", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", [29, 17])  # TOPIC_AUTHORIZATION_FAILED, INVALID_TOPIC_EXCEPTION
def test_refused_by_the_cluster(way: str, code: int, broker: EmbeddedBroker, make: Make) -> None:
    """Waiting would not help, so send() does not wait."""
    producer = make_by(way, make, broker, max_block_ms=20_000)
    rule = broker.fail("Metadata", code, topic="t", times=None)
    began = time.monotonic()
    future = producer.send("t", b"v", partition=1)
    assert time.monotonic() - began < 5
    error = future.exception
    assert isinstance(error, BrokerResponseError)
    assert error.errno == code
    with pytest.raises(type(error)):
        producer.partitions_for("t")
    rule.cancel()
    if code == 29:
        nothing_appended(broker, producer, 0)


@pytest.mark.parametrize("way", WAYS)
def test_numbers_and_buffers_of_numpy(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    sent = producer.send("t", numpy.frombuffer(b"value", "u1"), key=numpy.bytes_(b"key"), partition=numpy.int64(1),
                         timestamp_ms=numpy.int32(5))
    metadata = sent.get(timeout=numpy.float32(TIMEOUT_S))
    assert (metadata.partition, metadata.timestamp) == (1, 5)
    (record,) = broker.records("t", 1)
    assert (record.key, record.value) == (b"key", b"value")
    with pytest.raises(TypeError):
        producer.send("t", b"v", partition=numpy.float64(1))  # type: ignore[arg-type]
    producer.flush(numpy.int64(10))
    producer.close(numpy.int64(10))


@pytest.mark.parametrize("way", WAYS)
def test_bytes_of_numpy(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    sent: list[Any] = [numpy.array([b"void"], "V4")[0], numpy.array([b"v"], "V1")[0], numpy.array([-1, 1], "i1"),
                       numpy.array([[1], [2]], "u1"), numpy.array([5], "u1"), numpy.frombuffer(b"ab", "S1")]
    for value in sent:
        producer.send("t", value, partition=1)
    producer.send_many("t", sent, partition=1)
    producer.send_many("t", numpy.array([[1, 2], [3, 4]], "u1"), partition=1).get(TIMEOUT_S)
    expected = [b"void", b"v", b"\xff\1", b"\1\2", b"\5", b"ab"]
    assert [record.value for record in broker.records("t", 1)] == [*expected, *expected, b"\1\2", b"\3\4"]


class Buffer(ctypes.Structure):
    """Py_buffer."""

    _fields_ = (("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("len", ctypes.c_ssize_t),
                ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
                ("format", ctypes.c_char_p), ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p),
                ("suboffsets", ctypes.c_void_p), ("internal", ctypes.c_void_p))  # fmt: skip


def test_a_refused_buffer_is_closed_whatever_its_format(broker: EmbeddedBroker, make: Make) -> None:
    item, shape = ctypes.create_string_buffer(8), ctypes.c_ssize_t(1)
    described = Buffer(buf=ctypes.addressof(item), len=8, itemsize=8, readonly=1, ndim=1, format=b"\xffP",
                       shape=ctypes.addressof(shape))
    ctypes.pythonapi.PyMemoryView_FromBuffer.restype = ctypes.py_object
    view = ctypes.pythonapi.PyMemoryView_FromBuffer(ctypes.byref(described))
    producer = make(broker)
    for send in (producer.send, lambda topic, value: producer.send_many(topic, [value])):
        with pytest.raises(TypeError, match=r"items of format .*P', which are no bytes"):
            send("t", view)
    view.release()  # BufferError, were it still open
