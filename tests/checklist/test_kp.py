# SPDX-License-Identifier: Apache-2.0
"""The public methods of a producer, first part: configuration, plug-ins, close() and flush()."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from itertools import pairwise
from typing import Any

import pytest

from pykafka_fast import KafkaProducer, Partitioner, ProducerInterceptor, ProducerRecord, Serializer
from pykafka_fast.config import resolve
from pykafka_fast.errors import (
    ClosedForcefullyError,
    IllegalStateError,
    KafkaConfigurationError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnrecognizedConfigError,
)
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, threads_of

WAIT_S = 20.0


class NotingSerializer(Serializer):
    """Notes what is done with it."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def serialize(self, topic: str, headers: Any, data: Any) -> bytes:
        return f"{self.name}:{data}".encode()

    def close(self) -> None:
        self.log.append(self.name)


class NotingInterceptor(ProducerInterceptor):
    """Notes every call by name."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        self.log.append(("send", record.topic, record.partition))
        return record

    def on_send_error(self, record: Any, topic_partition: Any, exception: BaseException) -> None:
        self.log.append(("send error", *topic_partition, type(exception)))

    def close(self) -> None:
        self.log.append(("close",))


@pytest.mark.parametrize(("acks", "stored"), [(0, 0), (1, 1), ("0", 0), ("1", 1)])
def test_kp02_acks_turn_idempotence_off(acks: Any, stored: int, make: Make) -> None:
    """Fewer acknowledgements than all switch idempotence off where it was only the default; "all" reads back as -1."""
    config = make("localhost", acks=acks).config
    assert (config["acks"], config["enable_idempotence"]) == (stored, False)
    config = make("localhost", acks="all").config
    assert (config["acks"], config["enable_idempotence"]) == (-1, True)


@pytest.mark.parametrize("acks", [0, 1, "1"])
def test_kp03_acks_contradict_idempotence_asked_for(acks: Any) -> None:
    """Idempotence by wish and acknowledgements below all are refused together."""
    with pytest.raises(KafkaConfigurationError, match=r"enable_idempotence.*acks"):
        KafkaProducer(acks=acks, enable_idempotence=True)


def test_kp05_no_retries_turn_idempotence_off(make: Make) -> None:
    """retries=0 is kept, and idempotence by default gives way to it."""
    config = make("localhost", retries=0).config
    assert (config["retries"], config["enable_idempotence"]) == (0, False)


def test_kp06_no_retries_contradict_idempotence_asked_for() -> None:
    """Idempotence by wish needs retries."""
    with pytest.raises(KafkaConfigurationError, match="retries=0"):
        KafkaProducer(retries=0, enable_idempotence=True)


def test_kp07_many_in_flight_and_idempotence(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """More than five in flight: idempotence by default gives way with a warning, idempotence by wish is refused.

    Java 4 refuses the first case too; like kafka-python we count only what the user asked for as a contradiction.
    """
    with caplog.at_level(logging.WARNING, "pykafka_fast"):
        config = make("localhost", max_in_flight_requests_per_connection=6).config
    assert (config["max_in_flight_requests_per_connection"], config["enable_idempotence"]) == (6, False)
    assert "Idempotence is turned off" in caplog.text
    with pytest.raises(KafkaConfigurationError, match="max_in_flight_requests_per_connection=6"):
        KafkaProducer(max_in_flight_requests_per_connection=6, enable_idempotence=True)
    assert make("localhost", max_in_flight_requests_per_connection=5).config["enable_idempotence"] is True


def test_kp10_serializer_objects_are_enough(broker: EmbeddedBroker, make: Make) -> None:
    """Serializers are given as objects; without one, bytes go as they are and anything else is refused.

    Java demands a serializer class where no object is given; here there are no classes, and none means bytes.
    """
    with_objects = make(broker, key_serializer=NotingSerializer([], "k"), value_serializer=NotingSerializer([], "v"))
    with_objects.send("t", 1, key=2, partition=0).get(WAIT_S)
    without = make(broker)
    without.send("t", b"raw", partition=0).get(WAIT_S)
    with pytest.raises(TypeError):
        without.send("t", "text")
    assert [(r.key, r.value) for r in broker.records("t", 0)] == [(b"k:2", b"v:1"), (None, b"raw")]


@pytest.mark.parametrize("name", ["key_serializer", "value_serializer"])
def test_kp11_a_serializer_of_none(name: str, broker: EmbeddedBroker, make: Make) -> None:
    """None is the default and means bytes, where Java refuses a null; what cannot serialize is refused by name."""
    make(broker, **{name: None}).send("t", b"v", key=b"k").get(WAIT_S)
    with pytest.raises(KafkaConfigurationError, match=name):
        make(broker, **{name: object()})


def test_kp12_an_unknown_bootstrap_host(make: Make) -> None:
    """A name that does not resolve fails the first send within max_block_ms, and says so.

    In Java the constructor fails; ours looks nothing up, so that a producer can be made before its network is there.
    What was made is closed all the same.
    """
    interceptor = NotingInterceptor()
    producer = make("no-such-host.invalid:9092", max_block_ms=1500, interceptors=[interceptor])
    assert threads_of(producer) == []
    future = producer.send("t", b"v")
    assert isinstance(future.exception, KafkaTimeoutError)
    assert "no-such-host.invalid" in str(future.exception)
    producer.close()
    assert interceptor.log[-1] == ("close",)


def test_kp13_option_names_are_text() -> None:
    """An option whose name is not a str is refused, and the message names it."""
    with pytest.raises(UnrecognizedConfigError, match=r"7.*names are str"):
        resolve({7: "x"})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        KafkaProducer(**{7: "x"})  # type: ignore[misc]


def test_kp14_an_unknown_reporter() -> None:
    """A metrics reporter nobody knows is refused at construction and not ignored; no reporters are supported yet."""
    before = threading.active_count()
    with pytest.raises(KafkaConfigurationError, match="metric_reporters"):
        KafkaProducer(metric_reporters=["com.example.NoSuchReporter"])  # type: ignore[call-arg]
    assert threading.active_count() == before


def test_kp15_serializers_are_closed_once(broker: EmbeddedBroker, make: Make) -> None:
    """Serializer objects are used as they are, and closed exactly once when the producer closes, however often."""
    log: list[str] = []
    key, value = NotingSerializer(log, "key"), NotingSerializer(log, "value")
    producer = make(broker, key_serializer=key, value_serializer=value)
    assert producer.config["key_serializer"] is key
    producer.send("t", 1).get(WAIT_S)
    assert log == []
    producer.close()
    producer.close(0)
    assert sorted(log) == ["key", "value"]


def test_kp16_interceptors_are_closed_once_and_nothing_happens_before_use(broker: EmbeddedBroker, make: Make) -> None:
    """An interceptor is taken as it is and closed once; before the first send the cluster is not even asked."""
    interceptor = NotingInterceptor()
    producer = make(broker, interceptors=[interceptor])
    assert producer.config["interceptors"][0] is interceptor
    assert (broker.requests, interceptor.log) == ([], [])
    producer.send("t", b"v", partition=1).get(WAIT_S)
    producer.close()
    producer.close()
    assert interceptor.log == [("send", "t", 1), ("close",)]


def test_kp17_a_bad_third_interceptor(make: Make) -> None:
    """If the third interceptor is none, the constructor fails, and leaves nothing running.

    Java has made the first two by then and closes them; here they are the caller's objects, and are not touched.
    """
    good = [NotingInterceptor(), NotingInterceptor()]
    before = threading.active_count()
    descriptors = len(os.listdir("/dev/fd"))
    with pytest.raises(KafkaConfigurationError, match="interceptors"):
        KafkaProducer(interceptors=[*good, object()])
    assert (threading.active_count(), len(os.listdir("/dev/fd"))) == (before, descriptors)
    assert [it.log for it in good] == [[], []]
    make("localhost", interceptors=good).close()
    assert [it.log for it in good] == [[("close",)], [("close",)]]


def test_kp18_the_partitioner_is_closed_once(broker: EmbeddedBroker, make: Make) -> None:
    """A partitioner is one object for the producer's whole life, closed once at its end."""

    class Noting(Partitioner):
        asked, closed = 0, 0

        def partition(self, topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any,
                      cluster: Any) -> int:
            self.asked += 1
            return 2

        def close(self) -> None:
            self.closed += 1

    partitioner = Noting()
    producer = make(broker, partitioner=partitioner)
    assert [producer.send("t", b"v").get(WAIT_S).partition for _ in range(3)] == [2, 2, 2]
    assert (partitioner.asked, partitioner.closed) == (3, 0)
    producer.close()
    producer.close()
    assert (partitioner.asked, partitioner.closed) == (3, 1)


def test_kp19_an_interrupted_close_cleans_up(broker: EmbeddedBroker, make: Make) -> None:
    """Ctrl-C in a close() that waits for records: they fail, plug-ins are closed, threads end, then it is raised."""
    interceptor = NotingInterceptor()
    producer = make(broker, interceptors=[interceptor], linger_ms=0)
    producer.send("t", b"v").get(WAIT_S)
    broker.hold("Produce")
    future = producer.send("t", b"v")
    broker.wait_for_requests("Produce", 2, WAIT_S)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            producer.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert isinstance(future.exception, ClosedForcefullyError)
    assert interceptor.log[-1] == ("close",)
    assert threads_of(producer) == []
    with pytest.raises(IllegalStateError):
        producer.send("t", b"v")


@pytest.mark.parametrize("name", ["send_buffer_bytes", "receive_buffer_bytes"])
def test_kp20_socket_buffers(name: str, make: Make) -> None:
    """-1 leaves a socket's buffer to the system, -2 is refused."""
    assert make("localhost", **{name: -1}).config[name] == -1
    with pytest.raises(KafkaConfigurationError, match=f"{name}.*-2"):
        KafkaProducer(**{name: -2})  # type: ignore[misc]


def test_kp29_close_again_and_for_a_negative_time(broker: EmbeddedBroker, make: Make) -> None:
    """close() may be called again; a negative time to wait is refused and closes nothing."""
    producer = make(broker)
    with pytest.raises(ValueError, match="timeout"):
        producer.close(timeout=-0.1)
    producer.send("t", b"v").get(WAIT_S)
    for timeout in (None, 0, 5):
        producer.close(timeout)
    with pytest.raises(IllegalStateError):
        producer.send("t", b"v")


def test_kp30_flush_returns_when_all_is_done(broker: EmbeddedBroker, make: Make) -> None:
    """flush() waits for every record sent before it, callbacks included, and does not let them linger."""
    called: list[Any] = []
    producer = make(broker, linger_ms=60_000)
    broker.delay("Produce", 50)
    futures = [producer.send("t", b"%d" % n, on_delivery=lambda *a: called.append(a)) for n in range(1000)]
    assert not any(future.is_done for future in futures)
    producer.flush(WAIT_S)
    assert all(future.succeeded() for future in futures)
    assert len(called) == 1000


def test_kp31_the_time_in_flush_adds_up(broker: EmbeddedBroker, make: Make) -> None:
    """flush-time-ns-total grows with every flush() by what that took, also when it ends with a time-out."""
    producer = make(broker, linger_ms=60_000)

    def total() -> float:
        metrics = producer.metrics()
        assert metrics is not None
        return metrics["producer-metrics"]["flush-time-ns-total"]

    assert total() == 0
    producer.partitions_for("t")
    broker.delay("Produce", 100)
    seen = [0.0]
    for _ in range(2):
        producer.send("t", b"v")
        producer.flush(WAIT_S)
        seen.append(total())
    broker.hold("Produce")
    producer.send("t", b"v")
    with pytest.raises(KafkaTimeoutError):
        producer.flush(0.1)
    broker.release()
    seen.append(total())
    assert all(after - before >= 95e6 for before, after in pairwise(seen)), seen


def test_kp31_the_time_that_sends_wait_for_metadata_adds_up(broker: EmbeddedBroker, make: Make) -> None:
    """metadata-wait-time-ns-total grows by what a send() had to wait, and no more once the topic is known."""
    producer = make(broker)

    def total() -> float:
        metrics = producer.metrics()
        assert metrics is not None
        return metrics["producer-metrics"]["metadata-wait-time-ns-total"]

    broker.delay("Metadata", 100)
    assert total() == 0
    producer.send("t", b"v")
    first = total()
    assert first >= 95e6
    producer.send("t", b"v").get(WAIT_S)
    assert total() == first


def test_kp32_the_recording_level(make: Make) -> None:
    """The recording level is INFO; all metrics are recorded at it, so that another is refused rather than ignored."""
    assert make("localhost").config["metrics_recording_level"] == "INFO"
    with pytest.raises(KafkaConfigurationError, match="metrics_recording_level"):
        KafkaProducer(metrics_recording_level="DEBUG")  # type: ignore[call-arg]


def test_kp33_a_record_that_is_too_large(broker: EmbeddedBroker, make: Make) -> None:
    """Interceptors see a record that is too large, and then its failure with topic and partition."""
    interceptor = NotingInterceptor()
    producer = make(broker, interceptors=[interceptor], max_request_size=10_000)
    future = producer.send("t", bytes(10_000), partition=3)
    assert isinstance(future.exception, MessageSizeTooLargeError)
    assert interceptor.log == [("send", "t", 3), ("send error", "t", 3, MessageSizeTooLargeError)]


def test_kp34_partitions_of_no_topic(broker: EmbeddedBroker, make: Make) -> None:
    """partitions_for(None) is a mistake in the program, and raised as such at once."""
    with pytest.raises(TypeError, match="topic"):
        make(broker).partitions_for(None)  # type: ignore[arg-type]
    assert broker.requests == []


def test_kp55_a_record_without_topic(broker: EmbeddedBroker, make: Make) -> None:
    """A record must have a topic."""
    with pytest.raises(TypeError, match="topic"):
        ProducerRecord(None, value=b"v")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="topic"):
        make(broker).send(None, b"v")  # type: ignore[arg-type]


def test_kp59_delivery_needs_time_for_linger_and_one_request(make: Make) -> None:
    """delivery_timeout_ms must have room for linger_ms and request_timeout_ms; exactly enough is enough."""
    with pytest.raises(KafkaConfigurationError, match="delivery_timeout_ms=1000"):
        KafkaProducer(delivery_timeout_ms=1000, linger_ms=1000, request_timeout_ms=1)
    config = make("localhost", delivery_timeout_ms=1000, linger_ms=999, request_timeout_ms=1).config
    assert (config["delivery_timeout_ms"], config["linger_ms"]) == (1000, 999)


def test_kp50_close_while_send_waits_for_metadata(make: Make) -> None:
    """close(0) wakes a send() that would wait for metadata for ever, which raises.

    Java raises its plain base class; ours is the class that every call on a closed producer raises, which says more.
    """
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        producer = make(f"127.0.0.1:{silent.getsockname()[1]}", max_block_ms=float("inf"))
        raised: list[BaseException] = []

        def send() -> None:
            try:
                producer.send("t", b"v")
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        silent.settimeout(WAIT_S)
        silent.accept()[0].close()
        began = time.monotonic()
        producer.close(0)
        thread.join(WAIT_S)
        assert time.monotonic() - began < 10
    assert [type(error).__name__ for error in raised] == ["ProducerClosedError"]
