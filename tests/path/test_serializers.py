# SPDX-License-Identifier: Apache-2.0
"""Serializers at work inside send()."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from kafka.serializer import Serializer as KafkaPythonSerializer

import pykafka_fast
from pykafka_fast import JsonSerializer, KafkaProducer, ProducerRecord, Serializer, StringSerializer
from pykafka_fast.errors import IllegalStateError, ProducerClosedError, SerializationError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, check_balance
from tools import readback

TIMEOUT_S = 10.0
ReadBack = Callable[..., list[readback.Record]]


def test_what_they_write_is_what_others_read(broker: EmbeddedBroker, make: Make, read_back: ReadBack) -> None:
    text, ident = "héllo 世界😀", uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    producer = make(broker, key_serializer=pykafka_fast.UUIDSerializer(), value_serializer=StringSerializer())
    for _ in range(2):
        producer.send("t", text, key=ident, partition=0).get(TIMEOUT_S)
    read = [(record.key, record.value) for record in read_back(broker.address, "t")]
    assert read == [(str(ident).encode(), text.encode())] * 2


@pytest.mark.parametrize(("serializer", "data", "expected"), [
    (pykafka_fast.ShortSerializer(), -2, b"\xff\xfe"),
    (pykafka_fast.IntegerSerializer(), 1 << 30, b"\x40\0\0\0"),
    (pykafka_fast.LongSerializer(), -1, b"\xff" * 8),
    (pykafka_fast.FloatSerializer(), 1.5, b"\x3f\xc0\0\0"),
    (pykafka_fast.DoubleSerializer(), 1.5, b"\x3f\xf8" + b"\0" * 6),
    (pykafka_fast.BooleanSerializer(), True, b"\x01"),
    (pykafka_fast.BytesSerializer(), bytearray(b"x"), b"x"),
    (JsonSerializer(), {"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode()),
    (str.encode, "text", b"text"),
    (lambda data: memoryview(bytes(data)), [1, 2], b"\x01\x02"),
])  # fmt: skip
def test_ready_made_ones_and_callables(
    serializer: Any, data: Any, expected: bytes, broker: EmbeddedBroker, make: Make,
) -> None:
    producer = make(broker, key_serializer=serializer, value_serializer=serializer)
    metadata = producer.send("t", data, key=data).get(TIMEOUT_S)
    assert (metadata.serialized_key_size, metadata.serialized_value_size) == (len(expected), len(expected))
    assert [(record.key, record.value) for record in broker.records("t")] == [(expected, expected)]


class Noting(Serializer):
    """Notes its calls, adds a header, and can be closed."""

    def __init__(self, name: str, calls: list[Any]) -> None:
        self.name, self.calls, self.closed = name, calls, 0

    def serialize(self, topic: str, headers: Any, data: Any) -> bytes | None:
        self.calls.append((self.name, topic, data))
        headers.append((self.name, b"1"))
        return None if data is None else str(data).encode()

    def close(self) -> None:
        self.closed += 1


def test_key_first_then_value_and_headers_in_that_order(broker: EmbeddedBroker, make: Make) -> None:
    calls: list[Any] = []
    key, value = Noting("key", calls), Noting("value", calls)
    producer = make(broker, key_serializer=key, value_serializer=value)
    mine = [("mine", b"0")]
    producer.send("t", 1, key=2, headers=mine).get(TIMEOUT_S)
    producer.send("t", None, key=3).get(TIMEOUT_S)
    assert calls == [("key", "t", 2), ("value", "t", 1), ("key", "t", 3), ("value", "t", None)]
    assert mine == [("mine", b"0")]  # the caller's list is not the record's
    assert {(r.key, r.value, r.headers) for r in broker.records("t")} == {
        (b"2", b"1", (("mine", b"0"), ("key", b"1"), ("value", b"1"))),
        (b"3", None, (("key", b"1"), ("value", b"1"))),
    }
    producer.close()
    producer.close()
    assert (key.closed, value.closed) == (1, 1)


def test_a_record_sent_twice_cannot_get_more_headers(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, value_serializer=Noting("value", []))
    record = ProducerRecord("t", value=1)
    producer.send(record).get(TIMEOUT_S)
    with pytest.raises(SerializationError) as raised:
        producer.send(record)
    assert isinstance(raised.value.__cause__, IllegalStateError)
    producer.send(record.replace(headers=[])).get(TIMEOUT_S)
    assert broker.record_count("t") == 2


def fail(data: Any) -> bytes:
    raise ZeroDivisionError(f"no {data}")


def interrupt(data: Any) -> bytes:
    raise KeyboardInterrupt


@pytest.mark.parametrize("field", ["key", "value"])
def test_a_failure_is_raised_and_names_topic_field_and_type(field: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, **{f"{field}_serializer": lambda data: b"fine" if data == b"good" else fail(data)})
    called: list[Any] = []
    for _ in range(2):
        with pytest.raises(SerializationError, match=rf"{field} \(int\).*'t'.*ZeroDivisionError: no 5") as raised:
            producer.send("t", **({"value": b"v"} | {field: 5}), on_delivery=called.append)
        error = raised.value
        assert (error.topic, error.field, error.data_type) == ("t", field, "int")
        assert isinstance(error.__cause__, ZeroDivisionError)
        assert producer.send("t", **({"value": b"v"} | {field: b"good"})).get(TIMEOUT_S).offset >= 0
    assert called == []
    assert broker.record_count("t") == 2
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["record-error-total"] == 2  # it is one of Kafka's errors
    check_balance(producer)


def test_an_interrupt_is_passed_on(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, value_serializer=interrupt)
    with pytest.raises(KeyboardInterrupt):
        producer.send("t", 1)


@pytest.mark.parametrize("result", ["text", 5, object()])
def test_a_result_that_is_not_bytes(result: Any, broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, value_serializer=lambda data: result)
    with pytest.raises(TypeError, match="value"):
        producer.send("t", 1)
    check_balance(producer)


def test_none_from_both_is_refused_none_into_bytes_is_not(broker: EmbeddedBroker, make: Make) -> None:
    nothing = make(broker, value_serializer=lambda data: None)
    with pytest.raises(ValueError, match="key or value"):
        nothing.send("t", b"something")
    something = make(broker, value_serializer=lambda data: b"nothing" if data is None else data)
    something.send("t").get(TIMEOUT_S)
    assert [record.value for record in broker.records("t")] == [b"nothing"]


def test_metadata_precedes_serialization(broker: EmbeddedBroker, make: Make) -> None:
    """Who cannot send does not pay for serializing."""
    calls: list[Any] = []
    producer = make(broker, value_serializer=Noting("value", calls), max_block_ms=100)
    assert producer.send("unknown", 1).failed()
    assert producer.send("bad name", 1).failed()
    assert calls == []


def test_the_partitioner_sees_both_forms(broker: EmbeddedBroker, make: Make) -> None:
    seen: list[Any] = []

    class Partitioner:
        def partition(self, *args: Any) -> int:
            seen.append(args[:5])
            return 0

    producer = make(broker, key_serializer=str.encode, value_serializer=JsonSerializer(), partitioner=Partitioner())
    producer.send("t", [1], key="k").get(TIMEOUT_S)
    assert seen == [("t", "k", b"k", [1], b"[1]")]


def test_kafka_pythons_shapes(broker: EmbeddedBroker, make: Make) -> None:
    class Theirs(KafkaPythonSerializer):  # type: ignore[misc]
        def serialize(self, topic: str, headers: Any, data: Any) -> bytes:
            return repr(data).encode()

    class Older:
        def serialize(self, topic: str, data: Any) -> bytes:
            return f"{topic}:{data}".encode()

    producer = make(broker, key_serializer=Older(), value_serializer=Theirs())
    producer.send("t", 1, key=2).get(TIMEOUT_S)
    assert [(record.key, record.value) for record in broker.records("t")] == [(b"t:2", b"1")]


def test_key_serializer_alone(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, key_serializer=StringSerializer())
    producer.send("t", b"raw", key="k").get(TIMEOUT_S)
    with pytest.raises(TypeError, match="value_serializer missing"):
        producer.send("t", "text", key="k")
    assert isinstance(producer, KafkaProducer)


def test_a_function_is_called_once_whatever_the_append_has_to_wait_for(broker: EmbeddedBroker, make: Make) -> None:
    """For the topic's metadata, for memory, for room in a batch; key before value."""
    calls: list[Any] = []

    def note(data: Any) -> bytes:
        calls.append(data)
        return bytes(data)

    producer = make(broker, key_serializer=note, value_serializer=note, buffer_memory=1 << 16, linger_ms=0)
    futures = [producer.send("t", 3_000 + number, key=number) for number in range(100)]
    assert all(future.get(TIMEOUT_S) for future in futures)
    assert calls == [data for number in range(100) for data in (number, 3_000 + number)]
    assert sorted(len(record.value or b"") for record in broker.records("t")) == list(range(3_000, 3_100))


@pytest.mark.parametrize("field", ["key", "value"])
def test_a_function_that_raises_says_of_what(field: str, broker: EmbeddedBroker, make: Make) -> None:
    """Before the topic is known and after, in the same words; nothing is sent."""
    producer = make(broker, key_serializer=str.encode, value_serializer=str.encode)
    data: dict[str, Any] = {"value": "v", "key": "k", field: 7}
    said = []
    for _ in range(2):
        with pytest.raises(SerializationError, match=f"the {field} \\(int\\) of a record for topic 't'") as caught:
            producer.send("t", data["value"], key=data["key"])
        assert isinstance(caught.value.__cause__, TypeError)
        said.append(str(caught.value))
        producer.send("t", "good", key="good").get(TIMEOUT_S)
    assert said[0] == said[1]
    assert broker.record_count("t") == 2


def test_a_function_may_close_the_producer(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, value_serializer=lambda data: producer.close() if data == "close" else data.encode())
    producer.send("t", "first").get(TIMEOUT_S)
    with pytest.raises(ProducerClosedError):
        producer.send("t", "close", key=b"k")
    with pytest.raises(ProducerClosedError):
        producer.send("t", "late")
    assert [record.value for record in broker.records("t")] == [b"first"]
