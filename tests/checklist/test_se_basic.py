# SPDX-License-Identifier: Apache-2.0
"""The checklist's items on the sender: requests, time-outs of connections, leaders, errors and their words."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pykafka_fast import errors
from pykafka_fast.testing import EmbeddedBroker
from tests.checklist.sending import (
    DEADLINE_S,
    FAST,
    TWO_A_BATCH,
    check_idle,
    figures,
    full_tries,
    launch,
    offsets,
    outcome,
    times,
    tries,
    use_leader,
    values,
    wait_until,
    warm,
)
from tests.path.conftest import Make, StartBroker


def test_se01_simple_send(broker: EmbeddedBroker, make: Make) -> None:
    """One record goes in one request, its future gets the offset the broker gave, and nothing stays behind."""
    producer = make(broker, **FAST)
    warm(producer)
    assert offsets(producer.send("t", b"x", partition=0)) == [1]
    assert broker.request_count("Produce") == 2
    check_idle(producer)


def test_se03_throttle_times_are_honoured_and_measured(broker: EmbeddedBroker, make: Make) -> None:
    """Throttle times of ApiVersions and Produce hold back the next request, and both count in the metrics."""
    broker.throttle("ApiVersions", 400, times=None)
    producer = make(broker, **FAST)
    futures = []
    for ms in (100, 200, 300):
        broker.throttle("Produce", ms, times=1)
        futures.append(launch(producer, broker, b"%d" % ms))
    broker.throttle("Produce", 0)
    shaken = {request.connection: request.time for request in broker.requests_of("ApiVersions")}
    sent = broker.requests_of("Produce")
    assert sent[0].time - shaken[sent[0].connection] >= 0.399
    assert offsets(*futures) == [0, 1, 2]
    began = time.monotonic()
    offsets(launch(producer, broker, b"last"))
    assert sent[1].time - sent[0].time >= 0.1
    assert sent[2].time - sent[1].time >= 0.2
    assert times(broker)[3] - sent[2].time >= 0.3
    assert time.monotonic() - began < DEADLINE_S
    measured = figures(producer)
    assert (measured["throttle-time-avg"], measured["throttle-time-max"]) == (250, 400)


def test_se05_a_lost_connection_uses_up_a_retry(broker: EmbeddedBroker, make: Make) -> None:
    """With one retry a record survives one lost connection, and fails with the network's error at the second."""
    producer = make(broker, **FAST, retries=1)
    warm(producer)
    broker.cut(when="before_append", api="Produce")
    assert offsets(producer.send("t", b"survives", partition=0)) == [1]
    broker.cut(when="before_append", api="Produce", times=2)
    error = outcome(producer.send("t", b"fails", partition=0))
    assert type(error) is errors.NetworkExceptionError
    assert error.in_doubt
    assert values(broker) == [b"first", b"survives"]


def test_se06_one_in_flight_also_over_a_moved_leader(start_broker: StartBroker, make: Make) -> None:
    """With one request in flight a second batch waits for the first's answer, though its leader is another by then."""
    broker = start_broker(topics={"t": 1}, brokers=2)
    producer = make(broker, **FAST, max_in_flight_requests_per_connection=1)
    warm(producer)
    broker.hold("Produce")
    first = launch(producer, broker, b"1")
    leader, _ = broker.leader("t", 0)
    broker.move_leader("t", 0, 3 - leader)
    use_leader(producer, 3 - leader)
    second = producer.send("t", b"2", partition=0)
    asked = broker.request_count("Metadata")
    producer._lifecycle._sender.request_metadata()
    broker.wait_for_requests("Metadata", asked + 1, DEADLINE_S)
    assert len(tries(broker)) == 2
    released = time.monotonic()
    broker.release()
    assert offsets(first, second) == [1, 2]
    assert times(broker)[2] >= released
    assert [node for _, node, _, _ in full_tries(broker)] == [leader, leader, 3 - leader]


def test_se07_a_callback_of_an_expired_record_may_send(broker: EmbeddedBroker, make: Make) -> None:
    """A callback that is told of an expiry sends again: a new batch of the same partition."""
    producer = make(broker, **FAST, delivery_timeout_ms=2500, request_timeout_ms=2500)
    warm(producer)
    broker.throttle("Produce", 4000, times=1)
    warm(producer)
    again: list[Any] = []
    future = producer.send("t", b"expires", partition=0)
    future.add_errback(lambda error: again.append(producer.send("t", b"again", partition=0)))
    assert isinstance(outcome(future), errors.KafkaTimeoutError)
    wait_until(lambda: again)
    assert offsets(*again) == [2]
    assert values(broker) == [b"first", b"first", b"again"]


def test_se08_a_forgotten_topic_is_asked_for_again(broker: EmbeddedBroker, make: Make) -> None:
    """A topic that was idle for too long leaves the metadata, and the next send brings it back."""
    producer = make(broker, **FAST)
    warm(producer)
    cache = producer._lifecycle.metadata
    cache._max_idle_ns = 0
    cache._expiry_ns["t"] = 0
    asked = broker.request_count("Metadata")
    producer._lifecycle._sender.request_metadata()
    broker.wait_for_requests("Metadata", asked + 1, DEADLINE_S)
    wait_until(lambda: "t" not in cache._expiry_ns)
    cache._max_idle_ns = 300_000_000_000
    assert offsets(producer.send("t", b"x", partition=0)) == [1]
    wait_until(lambda: "t" in cache._expiry_ns)


def test_se14_topic_authorization_without_idempotence(broker: EmbeddedBroker, make: Make) -> None:
    """A topic one may not write to fails the record with an error that names it."""
    producer = make(broker, **FAST, enable_idempotence=False)
    warm(producer)
    broker.fail("Produce", 29)
    error = outcome(producer.send("t", b"x", partition=0))
    assert type(error) is errors.TopicAuthorizationFailedError
    assert "'t'" in str(error)
    assert not error.in_doubt
    assert offsets(producer.send("t", b"y", partition=0)) == [1]


@pytest.mark.parametrize("code", [None, 10], ids=["not too large", "too large"])
def test_se44_splits_are_counted(broker: EmbeddedBroker, make: Make, code: int | None) -> None:
    """A split shows in the metric of splits, and only a split; there is no estimate of ratios to correct."""
    producer = make(broker, **TWO_A_BATCH)
    if code is not None:
        broker.fail("Produce", code)
    futures = [producer.send("t", bytes(400), partition=0) for _ in range(2)]
    producer.flush(timeout=DEADLINE_S)
    assert offsets(*futures) == [0, 1]
    assert figures(producer)["batch-split-total"] == (code is not None)


def test_se47_guilty_records_and_the_others(broker: EmbeddedBroker, make: Make) -> None:
    """Records the broker names fail with their own words or the batch's, the others say they fell with them."""
    producer = make(broker, **(FAST | {"linger_ms": 60_000}))
    broker.record_errors("t", {0: "no key", 2: ""}, message="some are bad")
    futures = [producer.send("t", b"%d" % i, partition=0) for i in range(4)]
    producer.flush(timeout=DEADLINE_S)
    found = [outcome(future) for future in futures]
    guilty, other = errors.InvalidRecordError, errors.BatchRejectedError
    assert [type(error) for error in found] == [guilty, other, guilty, other]
    assert "no key" in str(found[0])
    assert not issubclass(other, guilty)
    assert [error.in_doubt for error in found if error] == [False] * 4


@pytest.mark.parametrize("code", [87, 44])
def test_se47_a_single_guilty_record_fails_with_the_batchs_code(
    broker: EmbeddedBroker, make: Make, code: int
) -> None:
    """One named record fails with the class of the partition's error code."""
    producer = make(broker, **(FAST | {"linger_ms": 60_000}))
    broker.record_errors("t", {1: "it alone"}, error=code)
    futures = [producer.send("t", b"%d" % i, partition=0) for i in range(3)]
    producer.flush(timeout=DEADLINE_S)
    found = [type(outcome(future)) for future in futures]
    assert found == [errors.BatchRejectedError, errors.kafka_errors[code], errors.BatchRejectedError]


@pytest.mark.parametrize("text", ["a reason of the broker's own", None])
def test_se58_the_brokers_words_or_the_codes(broker: EmbeddedBroker, make: Make, text: str | None) -> None:
    """An error says what the broker said, or else what its code means."""
    producer = make(broker, **FAST)
    broker.fail("Produce", 44, message=text)
    error = outcome(producer.send("t", b"x", partition=0))
    assert type(error) is errors.PolicyViolationError
    assert (text or errors.PolicyViolationError.description or "none") in str(error)


class Moved:
    """Two brokers, a partition that has moved, and a producer that waits long before it tries again."""

    def __init__(self, start_broker: StartBroker, make: Make, backoff_ms: int) -> None:
        self.broker = start_broker(brokers=2, topics={"t": 1})
        options = FAST | {"retry_backoff_ms": backoff_ms, "retry_backoff_max_ms": backoff_ms}
        self.producer = make(self.broker, **options)
        warm(self.producer)
        self.old, _ = self.broker.leader("t", 0)
        self.new = 3 - self.old

    def nodes(self) -> list[int]:
        return [node for _, node, _, _ in full_tries(self.broker)]

    def leader_known(self) -> int:
        topic = self.producer._lifecycle.metadata.snapshot.topic("t")
        assert topic is not None
        return topic.leaders[0]


def test_se62_a_new_leader_is_tried_at_once_and_an_old_one_after_the_back_off(
    start_broker: StartBroker, make: Make
) -> None:
    """A retry goes to a leader just learnt without waiting; when that one refuses too, the back-off counts."""
    moved = Moved(start_broker, make, 3000)
    moved.broker.fail("Produce", 19, node=moved.new)
    moved.broker.move_leader("t", 0, moved.new)
    assert offsets(moved.producer.send("t", b"x", partition=0)) == [1]
    assert moved.nodes() == [moved.old, moved.old, moved.new, moved.new]
    at = times(moved.broker)
    assert at[2] - at[1] < 2.5
    assert at[3] - at[2] >= 3.0


def test_se63_not_leader_without_a_hint_waits(start_broker: StartBroker, make: Make) -> None:
    """Refused for a moved leader that is not named: metadata is asked for and, while it says nothing new, the retry
    waits; the leader known so far stays."""
    moved = Moved(start_broker, make, 400)
    asked = moved.broker.request_count("Metadata")
    moved.broker.fail("Produce", 6)
    future = moved.producer.send("t", b"x", partition=0)
    moved.broker.wait_for_requests("Metadata", asked + 1, DEADLINE_S)
    assert moved.leader_known() == moved.old
    assert offsets(future) == [1]
    assert moved.nodes() == [moved.old] * 3
    at = times(moved.broker)
    assert at[2] - at[1] >= 0.4


def test_se64_not_leader_with_a_hint_goes_on_at_once(start_broker: StartBroker, make: Make) -> None:
    """Refused with the new leader's name: that one is used at once and noted, and metadata is asked for as well."""
    moved = Moved(start_broker, make, 6000)
    asked = moved.broker.request_count("Metadata")
    moved.broker.hold("Metadata")
    moved.broker.move_leader("t", 0, moved.new)
    assert offsets(moved.producer.send("t", b"x", partition=0)) == [1]
    assert moved.leader_known() == moved.new
    at = times(moved.broker)
    assert at[2] - at[1] < 4.5
    moved.broker.wait_for_requests("Metadata", asked + 1, DEADLINE_S)
    moved.broker.release()


def test_se65_close_after_a_fatal_error(broker: EmbeddedBroker, make: Make) -> None:
    """A producer in its fatal state closes like any other."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.fail("Produce", 90)
    assert isinstance(outcome(producer.send("t", b"x", partition=0)), errors.ProducerFencedError)
    began = time.monotonic()
    producer.close(timeout=DEADLINE_S)
    assert time.monotonic() - began < DEADLINE_S / 2
