# SPDX-License-Identifier: Apache-2.0
"""The checklist's items on records whose time is up: their sequences, their bytes, and what comes after them."""

from __future__ import annotations

import time

import pytest

from pykafka_fast import KafkaProducer, RecordFuture, errors
from pykafka_fast.testing import EmbeddedBroker
from tests.checklist.sending import (
    DEADLINE_S,
    FAST,
    ExpiredFirst,
    check_idle,
    launch,
    offsets,
    outcome,
    places,
    times,
    tries,
    values,
    wait_until,
    warm,
)
from tests.path.conftest import Make, StartBroker

TIMED_OUT, NOT_ENOUGH_REPLICAS = 7, 19
TIMEOUT_MS = 3000
SHORT = FAST | {"delivery_timeout_ms": TIMEOUT_MS, "request_timeout_ms": TIMEOUT_MS}


def throttle(producer: KafkaProducer, broker: EmbeddedBroker, ms: int) -> None:
    """The broker wants to be left alone for a while."""
    broker.throttle("Produce", ms, times=1)
    warm(producer)


def launch_late(producer: KafkaProducer, broker: EmbeddedBroker, value: bytes = b"late") -> RecordFuture:
    """A record in flight whose time is up well before its request's."""
    throttle(producer, broker, TIMEOUT_MS // 2)
    broker.hold("Produce")
    return launch(producer, broker, value)


def expires(future: RecordFuture, in_doubt: bool = True) -> None:
    """Its time is up."""
    error = outcome(future)
    assert type(error) is errors.KafkaTimeoutError
    assert error.in_doubt == in_doubt


def test_se24_what_was_never_sent_leaves_no_gap(broker: EmbeddedBroker, make: Make) -> None:
    """A batch that expires before it was ever sent had no sequence, so none is missing."""
    producer = make(broker, **(FAST | {"delivery_timeout_ms": 2000, "request_timeout_ms": 2000}))
    throttle(producer, broker, 3500)
    expires(producer.send("t", b"never", partition=0), in_doubt=False)
    wait_until(lambda: time.monotonic() > times(broker)[0] + 3.5)
    assert offsets(producer.send("t", b"next", partition=0)) == [1]
    assert places(broker) == [(0, 0), (0, 1)]


def test_se25_a_later_success_shows_that_nothing_is_missing(start_broker: StartBroker, make: Make) -> None:
    """The first of two expires while it waits for its retry, and the second is acknowledged: so the first had arrived,
    and no epoch is bumped; what comes next waits until that is known."""
    two = ExpiredFirst(start_broker(brokers=2, topics={"t": 1}), make, TIMED_OUT, True)
    third = two.producer.send("t", b"3", partition=0)
    released = time.monotonic()
    two.broker.release()
    assert offsets(two.second, third) == [2, 3]
    assert places(two.broker) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert times(two.broker)[-1] >= released
    assert values(two.broker) == [b"first", b"1", b"2", b"3"]


def test_se26_a_later_refusal_shows_that_something_is_missing(start_broker: StartBroker, make: Make) -> None:
    """The first of two expires unwritten and the second is refused for its sequence: it is sent again under the next
    epoch, and what comes behind it follows."""
    two = ExpiredFirst(start_broker(brokers=2, topics={"t": 1}), make, NOT_ENOUGH_REPLICAS, False)
    third = two.producer.send("t", b"3", partition=0)
    two.broker.release()
    assert offsets(two.second, third) == [1, 2]
    assert places(two.broker) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert values(two.broker) == [b"first", b"2", b"3"]


def test_se28_when_all_have_expired_the_epoch_is_bumped_once(broker: EmbeddedBroker, make: Make) -> None:
    """Everything that was sent has expired without an answer: one bump, then the partition begins anew."""
    producer = make(broker, **(FAST | {"delivery_timeout_ms": 1000, "request_timeout_ms": 1000}))
    warm(producer)
    broker.hold("Produce", read=False)
    lost = [producer.send("t", b"lost", partition=0) for _ in range(3)]
    for future in lost:
        assert type(outcome(future)) is errors.KafkaTimeoutError
    broker.release()
    assert outcome(producer.send("t", b"next", partition=0)) is None
    assert places(broker)[-1] == (1, 0)
    warm(producer)
    assert places(broker)[-1] == (1, 1)
    assert broker.request_count("InitProducerId") == 1


def test_se45_bytes_are_given_back_once(broker: EmbeddedBroker, make: Make) -> None:
    """A batch in flight at its deadline keeps its bytes until its answer comes; then they are free, once."""
    producer = make(broker, **SHORT)
    late = launch_late(producer, broker)
    expires(late)
    pool = producer._lifecycle.accumulator
    assert pool.pool_stats()["slabs_acquired"] == 1
    broker.release()
    check_idle(producer)
    warm(producer)
    check_idle(producer)


def test_se46_in_flight_at_its_deadline(broker: EmbeddedBroker, make: Make) -> None:
    """A record in flight when its time is up fails then, not when its request ends; afterwards nothing is in flight."""
    producer = make(broker, **SHORT)
    throttle(producer, broker, TIMEOUT_MS // 2)
    broker.hold("Produce")
    began = time.monotonic()
    late = launch(producer, broker, b"late")
    arrived = time.monotonic()
    expires(late)
    assert time.monotonic() - began >= TIMEOUT_MS / 1000 - 0.01
    assert time.monotonic() - arrived < DEADLINE_S
    assert "1 record" in str(late.exception)
    assert "t-0" in str(late.exception)
    broker.release()
    check_idle(producer)


def test_se48_one_in_flight_also_behind_an_expired_batch(broker: EmbeddedBroker, make: Make) -> None:
    """With one request in flight a batch that expired in its request still holds the next one back until the answer."""
    producer = make(broker, **SHORT, max_in_flight_requests_per_connection=1)
    late = launch_late(producer, broker)
    expires(late)
    following = producer.send("t", b"following", partition=0)
    released = time.monotonic()
    broker.release()
    assert offsets(following) == [2]
    assert len(tries(broker)) == 3
    assert times(broker)[-1] >= released
    assert values(broker) == [b"first", b"late", b"following"]


@pytest.mark.parametrize("code", [NOT_ENOUGH_REPLICAS, 10, 6])
def test_se49_an_expired_batch_is_neither_sent_again_nor_split(
    broker: EmbeddedBroker, make: Make, code: int
) -> None:
    """An answer to an expired batch that would have it sent again, or split, comes too late for that."""
    producer = make(broker, **SHORT)
    throttle(producer, broker, TIMEOUT_MS // 2)
    broker.hold("Produce")
    broker.fail("Produce", code)
    late = [producer.send("t", b"late", partition=0) for _ in range(2)]
    for future in late:
        expires(future)
    broker.release()
    check_idle(producer)
    warm(producer)
    assert [seen.records for seen in tries(broker)] == [1, 2, 1]
    assert values(broker) == [b"first", b"first"]


def test_se50_the_next_expiry_wakes_the_sender(broker: EmbeddedBroker, make: Make) -> None:
    """Each batch expires in its own time though nothing else happens, and the sender sleeps in between."""
    producer = make(broker, **(FAST | {"delivery_timeout_ms": 1500, "request_timeout_ms": 1500}))
    throttle(producer, broker, 5000)
    began = [time.monotonic()]
    futures = [producer.send("t", b"x", partition=1)]
    wait_until(lambda: time.monotonic() > began[0] + 0.1)
    began.append(time.monotonic())
    futures.append(producer.send("t", b"x", partition=2))
    rounds = producer._lifecycle._wire.counters()["rounds"]
    for at, future in zip(began, futures, strict=True):
        expires(future, in_doubt=False)
        assert 1.49 < time.monotonic() - at < 10
    assert not producer._lifecycle._wire.counters()["rounds"] - rounds > 30
    broker.throttle("Produce", 0)


def test_se51_several_partitions_expire_together(broker: EmbeddedBroker, make: Make) -> None:
    """Batches of several partitions whose time is up expire together, each error with its own partition's name."""
    producer = make(broker, **(FAST | {"delivery_timeout_ms": 1500, "request_timeout_ms": 1500}))
    throttle(producer, broker, 3500)
    futures = [producer.send("t", b"x", partition=partition) for partition in range(4)]
    for partition, future in enumerate(futures):
        expires(future, in_doubt=False)
        assert f"t-{partition}" in str(future.exception)
    check_idle(producer)
    assert broker.record_count("t") == 1
