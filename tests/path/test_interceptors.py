# SPDX-License-Identifier: Apache-2.0
"""Interceptors at work: what they see, in which order, and that what goes wrong in one stays there."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from pykafka_fast import KafkaProducer, ProducerInterceptor, ProducerRecord
from pykafka_fast.errors import (
    InvalidTopicError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosedError,
    SerializationError,
)
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, threads_of
from tools.brokers.processes import wait_for

TIMEOUT_S = 10.0


class Noting(ProducerInterceptor):
    """Notes every call, with the thread it came on."""

    def __init__(self, log: list[Any], name: str = "") -> None:
        self.log, self.name = log, name

    def note(self, what: str, *args: Any) -> None:
        self.log.append((self.name + what, *args))

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        self.note("send", record.topic, record.value)
        return record

    def on_acknowledgement(self, metadata: Any, exception: BaseException | None) -> None:
        self.note("ack", metadata.topic, metadata.partition, metadata.offset, exception)

    def on_send_error(self, record: Any, topic_partition: Any, exception: BaseException) -> None:
        self.note("error", record.value, tuple(topic_partition), type(exception))

    def close(self) -> None:
        self.note("close")


def test_the_life_of_a_record(broker: EmbeddedBroker, make: Make) -> None:
    log: list[Any] = []
    producer = make(broker, interceptors=[Noting(log, "1"), Noting(log, "2")])
    future = producer.send("t", b"v", partition=3, on_delivery=lambda *a: log.append("callback"))
    assert log[:2] == [("1send", "t", b"v"), ("2send", "t", b"v")]
    future.get(TIMEOUT_S)
    assert log[2:] == [("1ack", "t", 3, 0, None), ("2ack", "t", 3, 0, None), "callback"]
    del log[:]
    producer.close()
    producer.close()
    assert log == [("1close",), ("2close",)]


def test_acknowledgement_without_a_callback_and_on_the_delivery_thread(broker: EmbeddedBroker, make: Make) -> None:
    threads: list[str] = []

    class Interceptor:
        def on_acknowledgement(self, metadata: Any, exception: Any) -> None:
            threads.append(threading.current_thread().name)

    producer = make(broker, interceptors=[Interceptor()])
    futures = [producer.send("t", b"v") for _ in range(100)]
    producer.flush(TIMEOUT_S)
    assert all(future.succeeded() for future in futures)
    assert threads == [producer.config["client_id"] + "-delivery"] * 100


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_one_that_raises_on_acknowledgement_keeps_nobody_from_being_told(
    broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    log: list[Any] = []

    class Bad:
        def on_acknowledgement(self, metadata: Any, exception: Any) -> None:
            raise error

    producer = make(broker, interceptors=[Bad(), Noting(log)])
    with caplog.at_level(logging.ERROR, "pykafka_fast"):
        producer.send("t", b"v", partition=3, on_delivery=lambda *a: log.append("callback")).get(TIMEOUT_S)
    assert log[1:] == [("ack", "t", 3, 0, None), "callback"]
    wait_for(lambda: "Bad" in caplog.text, "a line", TIMEOUT_S)


def test_a_failed_delivery(broker: EmbeddedBroker, make: Make) -> None:
    log: list[Any] = []
    producer = make(broker, interceptors=[Noting(log)])
    broker.fail("Produce", 10, topic="t")
    with pytest.raises(MessageSizeTooLargeError):
        producer.send("t", b"v", partition=2).get(TIMEOUT_S)
    _, (what, topic, partition, offset, exception) = log
    assert (what, topic, partition, offset) == ("ack", "t", 2, -1)  # and no "error": send() itself did not fail
    assert isinstance(exception, MessageSizeTooLargeError)


def replace(change: Any) -> Any:
    class Interceptor:
        def on_send(self, record: ProducerRecord) -> Any:
            return change(record)

    return Interceptor()


def test_each_may_replace_the_record(broker: EmbeddedBroker, make: Make) -> None:
    broker.create_topic("other", 1)
    producer = make(broker, value_serializer=str.encode, interceptors=[
        replace(lambda record: record.replace(value=record.value + "-a")),
        replace(lambda record: record.replace(value=record.value + "-b", topic="other", partition=0)),
        replace(lambda record: (record.headers.add("h", b"1"), record)[1]),
        replace(lambda record: record.replace(key=b"k", timestamp=7)),
    ])  # fmt: skip
    metadata = producer.send("t", "v", partition=3).get(TIMEOUT_S)
    assert (metadata.topic, metadata.partition, metadata.timestamp) == ("other", 0, 7)
    assert [(r.key, r.value, r.headers) for r in broker.records("other")] == [(b"k", b"v-a-b", (("h", b"1"),))]
    assert broker.record_count("t") == 0


@pytest.mark.parametrize("change", [lambda record: 1 / 0, lambda record: None, lambda record: "record"])
def test_a_broken_on_send_is_passed_over(
    change: Any, broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture,
) -> None:
    last: list[Any] = []
    producer = make(broker, interceptors=[
        replace(lambda record: record.replace(value=b"good")), replace(change), Noting(last),
    ])  # fmt: skip
    with caplog.at_level(logging.ERROR):
        producer.send("t", b"v").get(TIMEOUT_S)
    assert last[0] == ("send", "t", b"good")
    assert [record.value for record in broker.records("t")] == [b"good"]
    assert "on_send" in caplog.text


class Broken(ProducerInterceptor):
    def on_acknowledgement(self, metadata: Any, exception: Any) -> None:
        raise ZeroDivisionError("in on_acknowledgement")

    def on_send_error(self, *args: Any) -> None:
        raise ZeroDivisionError("in on_send_error")

    def close(self) -> None:
        raise ZeroDivisionError("in close")


def test_other_broken_methods_stop_nothing(
    broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[Any] = []
    producer = make(broker, interceptors=[Broken(), Noting(log), Broken()])
    with caplog.at_level(logging.ERROR):
        assert producer.send("t", b"v", on_delivery=lambda *a: log.append("callback")).get(TIMEOUT_S).offset == 0
        with pytest.raises(TypeError):
            producer.send("t", 5)
        assert isinstance(producer.send("a b", b"v").exception, InvalidTopicError)
        producer.close()
    assert [entry if isinstance(entry, str) else entry[0] for entry in log] == [
        "send", "ack", "callback", "send", "error", "send", "error", "close"
    ]  # fmt: skip
    for method, times in (("on_acknowledgement", 2), ("on_send_error", 4), ("close", 2)):
        assert caplog.text.count(f"ZeroDivisionError: in {method}\n") == times


# What is sent, and with what on_send_error is called.
ERRORS: list[tuple[dict[str, Any], bool, tuple[str, int], type[BaseException]]] = [
    ({"value": 5}, True, ("t", -1), SerializationError),
    ({"value": 5, "partition": 2}, True, ("t", 2), SerializationError),
    ({"value": ""}, True, ("t", -1), ZeroDivisionError),
    ({"value": "x" * 2000, "partition": 1}, False, ("t", 1), MessageSizeTooLargeError),
    ({"value": "v", "topic": "a b"}, False, ("a b", -1), InvalidTopicError),
    ({"value": "v", "topic": "unknown"}, False, ("unknown", -1), KafkaTimeoutError),
    ({"value": "v", "partition": 9}, False, ("t", 9), KafkaTimeoutError),
]


def test_on_send_error(broker: EmbeddedBroker, make: Make) -> None:
    """For every exception, after the record's own callback; an acknowledgement does not follow."""
    log: list[Any] = []
    producer = make(broker, interceptors=[Noting(log)], value_serializer=str.encode, max_request_size=1000,
                    partitioner=lambda key, every, some: 1 / 0)
    producer.partitions_for("t")
    producer._max_block_s = 0.1
    for arguments, is_raised, where, error in ERRORS:
        del log[:]
        send = {"topic": "t", "on_delivery": lambda *a: log.append("callback")} | arguments
        if is_raised:
            with pytest.raises(error):
                producer.send(**send)
        else:
            assert isinstance(producer.send(**send).exception, error)
        assert log[1:] == ["callback"] * (not is_raised) + [("error", arguments["value"], where, error)]
    metrics = producer.metrics()
    assert metrics is not None
    kafkas = sum(error is not ZeroDivisionError for *_, error in ERRORS)
    assert metrics["producer-metrics"]["record-error-total"] == kafkas
    producer.close()
    del log[:]
    with pytest.raises(ProducerClosedError):
        producer.send("t", "v")
    assert log == [("send", "t", "v"), ("error", "v", ("t", -1), ProducerClosedError)]


def test_what_is_refused_before_there_is_a_record(broker: EmbeddedBroker, make: Make) -> None:
    """Arguments of which no record can be made are raised without a word to interceptors."""
    log: list[Any] = []
    producer = make(broker, interceptors=[Noting(log)])
    for arguments in ({"topic": None}, {"partition": -1}, {"timestamp_ms": -1}, {"headers": [1]}, {"on_delivery": 1}):
        with pytest.raises((TypeError, ValueError)):
            producer.send(**({"topic": "t", "value": b"v"} | arguments))  # type: ignore[arg-type]
    assert log == []


def test_it_may_be_any_object_with_some_of_the_methods(broker: EmbeddedBroker, make: Make) -> None:
    class OnlySend:
        count = 0

        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            self.count += 1
            return record

    only = OnlySend()
    producer = make(broker, interceptors=[only, ProducerInterceptor()])
    for _ in range(5):
        producer.send("t", b"v")
    producer.flush(TIMEOUT_S)
    assert only.count == 5
    assert isinstance(producer, KafkaProducer)
    assert producer.config["client_id"] + "-delivery" not in threads_of(producer)  # nobody wants acknowledgements
