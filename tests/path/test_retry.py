# SPDX-License-Identifier: Apache-2.0
"""What brokers refuse: sent again, split, failed or fatal, and never twice or out of order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer, RecordFuture
from pykafka_fast.errors import (
    BatchRejectedError,
    ClusterAuthorizationFailedError,
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnsupportedVersionError,
)
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tools.brokers.processes import wait_for

TIMEOUT_S = 10.0


def value(number: int) -> bytes:
    return b"%06d" % number


def send(producer: KafkaProducer, numbers: range, partitions: int = 4) -> list[RecordFuture]:
    return [producer.send("t", value(number), partition=number % partitions) for number in numbers]


def outcomes(futures: list[RecordFuture]) -> list[KafkaError | None]:
    """Each record's error, None where it was written."""
    errors: list[KafkaError | None] = []
    for future in futures:
        try:
            future.get(TIMEOUT_S)
            errors.append(None)
        except KafkaError as error:
            errors.append(error)
    return errors


def check_log(broker: EmbeddedBroker, numbers: range, partitions: int = 4) -> None:
    """Exactly these records, once each, in order within each partition."""
    for partition in range(partitions):
        expected = [value(number) for number in numbers if number % partitions == partition]
        assert [record.value for record in broker.records("t", partition)] == expected


def warmed_up(producer: KafkaProducer, partitions: int = 4) -> None:
    """Connected, with an id, and a first record in each partition."""
    assert outcomes(send(producer, range(partitions), partitions)) == [None] * partitions


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("code", [2, 3, 6, 7, 19])
def test_retriable_refusals(code: int, idempotent: bool, broker: EmbeddedBroker, make: Make) -> None:
    producer = make(
        broker, enable_idempotence=idempotent, max_in_flight_requests_per_connection=5 if idempotent else 1
    )
    warmed_up(producer)
    rule = broker.fail("Produce", code, topic="t", times=3)
    assert outcomes(send(producer, range(4, 800))) == [None] * 796
    assert rule.times == 0
    check_log(broker, range(800))


@pytest.mark.parametrize("code", [7, 20, 13])
def test_written_and_yet_refused_is_not_written_twice(code: int, broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    warmed_up(producer)
    broker.fail("Produce", code, topic="t", times=2, after_append=True)
    assert outcomes(send(producer, range(4, 800))) == [None] * 796
    check_log(broker, range(800))


@pytest.mark.parametrize("when", ["before_append", "after_append", 3])
def test_connections_cut_in_the_middle(when: Any, broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    warmed_up(producer)
    broker.cut(when=when, api="Produce", times=2)
    assert outcomes(send(producer, range(4, 2000))) == [None] * 1996
    check_log(broker, range(2000))


class TestSequences:
    def test_a_refused_sequence_starts_anew_under_the_next_epoch(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker)
        warmed_up(producer, 1)
        broker.fail("Produce", 45, topic="t")
        assert outcomes(send(producer, range(1, 500), 1)) == [None] * 499
        check_log(broker, range(500), 1)
        epochs = [(batch.header.producer_epoch, batch.header.base_sequence) for batch in broker.batches("t", 0)]
        assert epochs[0] == (0, 0)
        assert epochs[1] == (1, 0)

    def test_a_broker_that_forgot_the_producer(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(require_known_producer=True)
        producer = make(broker)
        warmed_up(producer)
        for partition in range(4):
            broker.forget_producer("t", partition)
        assert outcomes(send(producer, range(4, 400))) == [None] * 396
        check_log(broker, range(400))

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_a_broker_that_was_started_again(self, start_broker: StartBroker, make: Make, count: int) -> None:
        """It refuses what it has written, but for the last batch."""
        broker = start_broker(topics={"t": 1})
        producer = make(broker, linger_ms=0)
        warmed_up(producer, 1)
        broker.silence("Produce", times=None)
        futures = []
        for n in range(1, 1 + count):
            futures += send(producer, range(n, n + 1), 1)
            broker.wait(lambda it, n=n: it.record_count("t") == n + 1)
        broker.forget_batches("t", 0)
        broker.clear()
        broker.cut()
        assert outcomes(futures) == [None] * count
        assert [future.value.offset for future in futures] == [-1] * (count - 1) + [count]
        assert outcomes(send(producer, range(1 + count, 100), 1)) == [None] * (99 - count)
        assert [record.value for record in broker.records("t", 0)] == [value(n) for n in range(100)]
        assert {batch.header.producer_epoch for batch in broker.batches("t", 0)} == {0}

    def test_a_failed_batch_leaves_no_hole(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, linger_ms=0)
        warmed_up(producer, 1)
        broker.fail("Produce", 29, topic="t")
        (error,) = outcomes(send(producer, range(1, 2), 1))
        assert isinstance(error, TopicAuthorizationFailedError)
        assert outcomes(send(producer, range(2, 200), 1)) == [None] * 198
        assert [record.value for record in broker.records("t", 0)] == [value(n) for n in range(200) if n != 1]

    def test_in_doubt_is_said(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker)
        warmed_up(producer, 1)
        broker.fail("Produce", -1, topic="t")
        (error,) = outcomes(send(producer, range(1, 2), 1))
        assert isinstance(error, UnknownError)
        assert error.in_doubt

    def test_expired_in_flight_and_then_alive_again(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, delivery_timeout_ms=3000, request_timeout_ms=500, linger_ms=0)
        warmed_up(producer)
        broker.hold("Produce", read=False)
        errors = outcomes(send(producer, range(4, 40)))
        assert {type(error) for error in errors} == {KafkaTimeoutError}
        assert "no answer within request_timeout_ms" in str(errors[0])
        broker.release()
        assert outcomes(send(producer, range(40, 400))) == [None] * 360
        tail = [record.value for record in broker.records("t") if record.value >= value(40)]
        assert sorted(tail) == [value(number) for number in range(40, 400)]


class TestTooLarge:
    def test_split_until_it_fits(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(max_message_bytes=10_000)
        producer = make(broker, linger_ms=60_000, batch_size=100_000, batch_max_size=500_000)
        assert outcomes(send(producer, range(20_000))) == [None] * 20_000
        check_log(broker, range(20_000))
        refused = len(broker.requests_of("Produce"))
        assert outcomes(send(producer, range(20_000, 40_000))) == [None] * 20_000
        check_log(broker, range(40_000))
        assert max(len(batch.data) for batch in broker.batches("t")) <= 10_000
        assert len(broker.requests_of("Produce")) - refused <= 60  # the topic's limit was learnt: no splits any more

    def test_one_record_that_never_fits(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(max_message_bytes=10_000)
        producer = make(broker, linger_ms=50)
        small = [producer.send("t", b"small", partition=0) for _ in range(3)]
        large = producer.send("t", b"x" * 20_000, partition=0)
        errors = outcomes([*small, large])
        assert errors[:3] == [None] * 3
        assert errors[3] is not None
        assert errors[3].message == "MESSAGE_TOO_LARGE"  # type: ignore[attr-defined]


def test_guilty_records_are_told_from_the_others(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000)
    warmed_up(producer, 1)
    broker.record_errors("t", {1: "no key", 2: "no key either"}, message="some are bad")
    errors = outcomes(send(producer, range(1, 5), 1))
    assert [type(error) for error in errors] == [
        BatchRejectedError, InvalidRecordError, InvalidRecordError, BatchRejectedError,
    ]  # fmt: skip
    assert "no key" in str(errors[1])


class TestMovedLeaders:
    @pytest.mark.parametrize("hint", [True, False])
    def test_nothing_lost_or_twice(self, hint: bool, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(brokers=3)
        producer = make(broker)
        warmed_up(producer)
        for partition in range(4):
            leader, _ = broker.leader("t", partition)
            broker.move_leader("t", partition, leader % 3 + 1, hint=hint)
        assert outcomes(send(producer, range(4, 2000))) == [None] * 1996
        check_log(broker, range(2000))

    def test_no_leader_for_a_while(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker)
        warmed_up(producer)
        broker.leaderless("t")
        futures = send(producer, range(4, 400))
        asked = len(broker.requests_of("Metadata"))
        broker.wait_for_requests("Metadata", asked + 2)
        for partition in range(4):
            broker.move_leader("t", partition, 1)
        assert outcomes(futures) == [None] * 396
        check_log(broker, range(400))

    def test_no_leader_until_the_time_is_up(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, delivery_timeout_ms=2000, request_timeout_ms=1000)
        warmed_up(producer)
        broker.leaderless("t")
        errors = outcomes(send(producer, range(4, 8)))
        assert all(isinstance(error, KafkaTimeoutError) for error in errors)
        assert "no leader" in str(errors[0])

    def test_the_topic_is_refused_while_records_wait(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, delivery_timeout_ms=1500, request_timeout_ms=100)
        warmed_up(producer)
        broker.fail("Produce", 6, times=None)
        broker.fail("Metadata", 29, topic="t", times=None)
        (error,) = outcomes(send(producer, range(1)))
        assert "no leader that is known: Metadata answers TOPIC_AUTHORIZATION_FAILED" in str(error)


class TestProducerId:
    @pytest.mark.parametrize("code", [14, 15, 51])
    def test_asked_for_again(self, code: int, broker: EmbeddedBroker, make: Make) -> None:
        broker.fail("InitProducerId", code, times=2)
        producer = make(broker)
        assert outcomes(send(producer, range(40))) == [None] * 40

    def test_refused_once(self, broker: EmbeddedBroker, make: Make) -> None:
        broker.fail("InitProducerId", 31)
        broker.hold("InitProducerId")
        producer = make(broker)
        futures = send(producer, range(4))
        broker.release()
        errors = outcomes(futures)
        assert {type(error) for error in errors} == {ClusterAuthorizationFailedError}
        told = outcomes(send(producer, range(4)))  # while the last of those is being told, one may still share its fate
        assert {type(error) for error in told} <= {type(None), ClusterAuthorizationFailedError}
        assert outcomes(send(producer, range(4))) == [None] * 4

    def test_refused_while_others_wait_for_memory(self, broker: EmbeddedBroker, make: Make) -> None:
        """They are told why nothing can be sent, not that somebody closed the producer."""
        producer = make(broker, buffer_memory=65_536, linger_ms=0, max_block_ms=20_000)
        producer.send("t", b"v", partition=0).get(TIMEOUT_S)
        broker.hold("Produce")
        raised: list[BaseException] = []

        def fill(fill_up: Callable[[], object]) -> None:
            try:
                while True:
                    fill_up()
            except BaseException as error:
                raised.append(error)

        one = threading.Thread(target=fill, args=[lambda: producer.send("t", bytes(3000), partition=0)])
        many = threading.Thread(target=fill, args=[lambda: producer.send_many("t", [bytes(3000)] * 100, partition=0)])
        for thread in (one, many):
            thread.start()
        wait_for(lambda: producer.metrics()["producer-metrics"]["waiting-threads"] == 2, "both to wait", TIMEOUT_S)
        broker.fail("Produce", 31, times=None)
        broker.release()
        broker.cut()
        for thread in (one, many):
            thread.join(TIMEOUT_S)
        assert [type(error) for error in raised] == [ClusterAuthorizationFailedError] * 2

    def test_never_given(self, broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        broker.fail("InitProducerId", 15, times=None)
        producer = make(broker, delivery_timeout_ms=1500, request_timeout_ms=1000)
        (error,) = outcomes(send(producer, range(1)))
        assert isinstance(error, KafkaTimeoutError)
        assert "no producer id: InitProducerId: COORDINATOR_NOT_AVAILABLE" in str(error)
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(told) == 1
        assert "InitProducerId: COORDINATOR_NOT_AVAILABLE" in told[0]
        broker.clear()
        assert outcomes(send(producer, range(4))) == [None] * 4

    def test_never_answered(self, broker: EmbeddedBroker, make: Make) -> None:
        broker.hold("InitProducerId")
        asked_often = make(broker, delivery_timeout_ms=1500, request_timeout_ms=300)
        asked_once = make(broker, delivery_timeout_ms=305, request_timeout_ms=300)
        (late,) = outcomes(send(asked_once, range(1)))
        (error,) = outcomes(send(asked_often, range(1)))
        assert "no producer id: " in str(late)
        assert f"no producer id: {broker.address}" in str(error)
        assert "InitProducerId: no response within 300 ms" in str(error)

    def test_brokers_without_it(self, broker: EmbeddedBroker, make: Make) -> None:
        broker.hide_api("InitProducerId")
        producer = make(broker, enable_idempotence=True)
        errors = outcomes(send(producer, range(4)))
        assert {type(error) for error in errors} == {UnsupportedVersionError}
        assert "enable_idempotence=False" in str(errors[0])
        by_default = make(broker)
        assert outcomes(send(by_default, range(400))) == [None] * 400
        assert {batch.header.producer_id for batch in broker.batches("t")} == {-1}


def test_a_fatal_refusal_ends_the_producer(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    warmed_up(producer)
    broker.fail("Produce", 31, topic="t")
    errors = outcomes(send(producer, range(4, 8)))
    assert ClusterAuthorizationFailedError in {type(error) for error in errors}
    with pytest.raises(ClusterAuthorizationFailedError):
        producer.send("t", b"late").get(TIMEOUT_S)


@pytest.mark.parametrize("idempotent", [True, False])
def test_brokers_that_take_no_records(idempotent: bool, broker: EmbeddedBroker, make: Make) -> None:
    broker.hide_api("Produce")
    producer = make(broker, enable_idempotence=idempotent)
    errors = outcomes(send(producer, range(1)))
    assert {type(error) for error in errors} == {UnsupportedVersionError}
    assert broker.address in str(errors[0])
