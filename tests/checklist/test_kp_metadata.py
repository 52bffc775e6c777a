# SPDX-License-Identifier: Apache-2.0
"""The public methods of a producer, second part: send() and partitions_for() while metadata comes and goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer, Partitioner, ProducerInterceptor, ProducerRecord, Serializer
from pykafka_fast.errors import (
    IllegalStateError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
)
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.ways import Transactions

WAIT_S = 20.0


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return call(), time.monotonic() - began


def test_kp21_asks_until_the_topic_appears(broker: EmbeddedBroker, make: Make) -> None:
    """send() asks again after every answer without the topic; once it is known, nobody asks any more."""
    producer = make(broker, retry_backoff_ms=1, retry_backoff_max_ms=1)
    broker.fail("Metadata", UnknownTopicOrPartitionError, topic="t", times=4)
    assert producer.send("t", b"v").get(WAIT_S).offset == 0
    assert broker.request_count("Metadata") == 5
    for _ in range(10):
        producer.send("t", b"v").get(WAIT_S)
    assert producer.partitions_for("t") == {0, 1, 2, 3}
    assert broker.request_count("Metadata") == 5


def test_kp22_metadata_is_used_again_until_it_is_old(start_broker: StartBroker, make: Make) -> None:
    """What is known of a topic serves every send until metadata_max_age_ms has passed; then it is asked for anew."""
    broker = start_broker(topics={"t": 1})
    patient = make(broker)
    for _ in range(20):
        patient.send("t", b"v").get(WAIT_S)
    assert broker.request_count("Metadata") == 1
    hasty = make(broker, metadata_max_age_ms=100)
    hasty.send("t", b"v").get(WAIT_S)
    began = time.monotonic()
    broker.wait(lambda it: it.request_count("Metadata") >= 4, WAIT_S)
    assert time.monotonic() - began > 0.15
    broker.add_partitions("t", 2)
    deadline = time.monotonic() + WAIT_S
    while hasty.partitions_for("t") != {0, 1}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_kp23_a_missing_topic_fails_the_future(broker: EmbeddedBroker, make: Make) -> None:
    """A topic that does not appear within max_block_ms is no exception of send() but of the future it returns."""
    producer = make(broker, max_block_ms=300)
    future, took = timed(lambda: producer.send("missing", b"v"))
    assert took >= 0.295
    assert future.is_done
    with pytest.raises(KafkaTimeoutError, match="'missing'"):
        future.get(0)


def test_kp24_a_partition_added_meanwhile(broker: EmbeddedBroker, make: Make) -> None:
    """A partition beyond the known ones makes send() refresh the metadata once, and go on if it is there now."""
    producer = make(broker)
    producer.partitions_for("t")
    asked = broker.request_count("Metadata")
    broker.add_partitions("t", 6)
    assert producer.send("t", b"v", partition=5).get(WAIT_S).partition == 5
    assert broker.request_count("Metadata") == asked + 1


def test_kp25_a_partition_that_never_appears(broker: EmbeddedBroker, make: Make) -> None:
    """A partition that does not appear within max_block_ms fails the future, saying how many there are."""
    producer = make(broker, max_block_ms=300)
    future, took = timed(lambda: producer.send("t", b"v", partition=4))
    assert took >= 0.295
    with pytest.raises(KafkaTimeoutError, match=r"partition 4 of topic 't' \(4 partitions\)"):
        future.get(0)


@pytest.mark.parametrize("silent", [False, True], ids=["always refused", "refused, then silence"])
def test_kp26_the_cause_of_a_time_out(silent: bool, broker: EmbeddedBroker, make: Make) -> None:
    """When partitions_for() gives up, what the broker said of the topic is the cause, however the wait ended."""
    producer = make(broker, max_block_ms=2000, retry_backoff_ms=50, retry_backoff_max_ms=50)

    def silence() -> None:
        broker.wait_for_requests("Metadata", 1, WAIT_S)
        broker.hold("Metadata")

    thread = threading.Thread(target=silence if silent else lambda: None)
    thread.start()
    with pytest.raises(KafkaTimeoutError) as caught:
        producer.partitions_for("missing")
    thread.join()
    assert isinstance(caught.value.__cause__, UnknownTopicOrPartitionError)
    assert "UNKNOWN_TOPIC_OR_PARTITION" in str(caught.value)


def test_kp27_a_topic_nobody_uses_is_dropped(start_broker: StartBroker, make: Make) -> None:
    """After metadata_max_idle_ms without use a topic is forgotten; who asks for it then has it fetched again."""
    broker = start_broker(topics={"t": 1})
    producer = make(broker, metadata_max_age_ms=50, metadata_max_idle_ms=5000)
    metadata = producer._lifecycle.metadata
    metadata._max_idle_ns = 200_000_000  # the option begins at five seconds
    producer.partitions_for("t")
    deadline = time.monotonic() + WAIT_S
    while "t" in metadata.snapshot.topics():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    broker.add_partitions("t", 3)
    assert producer.partitions_for("t") == {0, 1, 2}
    assert broker.requests_of("Metadata")[-1].partitions == (("t", None),)


class Stamp(Serializer):
    """Adds a header to every record."""

    def __init__(self, name: str) -> None:
        self.name = name

    def serialize(self, topic: str, headers: Any, data: Any) -> Any:
        headers.append((self.name, b"added"))
        return data


def test_kp28_headers_are_fixed_once_sent(broker: EmbeddedBroker, make: Make) -> None:
    """Serializers may add headers during send(); afterwards they are what was sent and refuse every change."""
    producer = make(broker, key_serializer=Stamp("key"), value_serializer=Stamp("value"))
    record = ProducerRecord("t", 0, [("own", b"1")], b"k", b"v")
    producer.send(record).get(WAIT_S)
    expected = [("own", b"1"), ("key", b"added"), ("value", b"added")]
    assert list(record.headers) == expected
    for change in (lambda: record.headers.append(("x", b"")), lambda: record.headers.remove("own"),
                   record.headers.clear):  # fmt: skip
        with pytest.raises(IllegalStateError):
            change()
    assert [list(it.headers) for it in broker.records("t", 0)] == [expected]


def test_kp49_a_topic_the_cluster_calls_invalid(broker: EmbeddedBroker, make: Make) -> None:
    """A topic that the cluster calls invalid fails the future without waiting, and the next one without asking."""
    producer = make(broker)
    broker.fail("Metadata", InvalidTopicError, topic="odd", times=None)
    future, took = timed(lambda: producer.send("odd", b"v"))
    assert isinstance(future.exception, InvalidTopicError)
    assert took < 10  # not max_block_ms
    asked = broker.request_count("Metadata")
    assert isinstance(producer.send("odd", b"v").exception, InvalidTopicError)
    assert broker.request_count("Metadata") == asked
    with pytest.raises(InvalidTopicError):
        producer.partitions_for("odd")


def test_kp56_a_failure_before_the_choice_of_a_partition(broker: EmbeddedBroker, make: Make) -> None:
    """A callback always gets metadata: without a partition all of it but the topic is -1; interceptors hear once."""
    told: list[tuple[Any, ...]] = []

    class Noting(ProducerInterceptor):
        def on_acknowledgement(self, metadata: Any, exception: BaseException | None) -> None:
            told.append(("acknowledged",))

        def on_send_error(self, record: Any, topic_partition: Any, exception: BaseException) -> None:
            told.append((*topic_partition, type(exception)))

    called: list[tuple[Any, Any]] = []
    producer = make(broker, max_block_ms=100, interceptors=[Noting()])
    future = producer.send("missing", b"v", key=b"k", on_delivery=lambda *a: called.append(a))
    ((metadata, error),) = called
    assert isinstance(error, KafkaTimeoutError)
    assert isinstance(future.exception, KafkaTimeoutError)
    assert (metadata.topic, metadata.partition, metadata.offset, metadata.timestamp) == ("missing", -1, -1, -1)
    assert (metadata.serialized_key_size, metadata.serialized_value_size) == (-1, -1)
    producer.close()
    assert told == [("missing", -1, KafkaTimeoutError)]


def test_kp57_a_partitioner_that_chooses_a_negative_one(broker: EmbeddedBroker, make: Make) -> None:
    """A negative choice of the user's partitioner is raised by send()."""

    class Negative(Partitioner):
        def partition(self, topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any,
                      cluster: Any) -> int:
            return -1

    producer = make(broker, partitioner=Negative())
    with pytest.raises(ValueError, match="-1"):
        producer.send("t", b"v")
    assert producer.send("t", b"v", partition=2).get(WAIT_S).partition == 2


@pytest.mark.parametrize("partitioner", ["sticky", "round_robin", "random"])
def test_kp58_the_transaction_manager_learns_the_final_partition(
    partitioner: str, start_broker: StartBroker, make: Make
) -> None:
    """Whoever keeps the books of a transaction is told of exactly the partition a record goes to, batch after batch."""
    broker = start_broker(topics={"t": 8})
    producer = make(broker, partitioner=partitioner, batch_size=1000, batch_max_size=1000)
    producer._transaction_manager = manager = Transactions()
    futures = [producer.send("t", bytes(300), key=b"%d" % n if n % 5 == 0 else None) for n in range(200)]
    producer.flush(WAIT_S)
    assert manager.added == [(future.get(0).topic, future.get(0).partition) for future in futures]
    assert len({it.partition for it in manager.added}) > 1


def test_kp58_a_refusal_leaves_nothing_behind(broker: EmbeddedBroker, make: Make) -> None:
    """If the books refuse a partition, the record is not sent later either: they are asked before the append."""
    producer: KafkaProducer = make(broker)
    producer._transaction_manager = Transactions(KafkaError("no"))
    with pytest.raises(KafkaError):
        producer.send("t", b"v")
    producer._transaction_manager = None
    producer.send("t", b"w").get(WAIT_S)
    assert [record.value for record in broker.records("t")] == [b"w"]
