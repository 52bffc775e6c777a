# SPDX-License-Identifier: Apache-2.0
"""delivery_timeout_ms: futures fail in time, bytes are kept until the request has ended, later records are fine."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pykafka_fast.errors import KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker, check_balance


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_in_flight_fails_in_time_and_keeps_its_bytes(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, delivery_timeout_ms=600, request_timeout_ms=600)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.hold("Produce")
    began = time.monotonic()
    sent = producer.send("t", b"in flight", partition=0)
    broker.wait(lambda broker: broker.record_count("t") == 2)
    waiting = producer.send("t", b"queued", partition=0)
    for future in (sent, waiting):
        with pytest.raises(KafkaTimeoutError, match="1 record"):
            future.get(timeout=5)
    assert 0.55 < time.monotonic() - began < 1.5
    assert sent.exception.in_doubt
    broker.release()
    assert producer.send("t", b"later", partition=0).get(timeout=10)
    assert broker.violations == []


def test_the_request_outlives_its_batch(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, delivery_timeout_ms=400, request_timeout_ms=400)
    pool = producer._lifecycle.accumulator
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.hold("Produce")
    old = producer.send("t", b"old", partition=0)
    broker.wait(lambda broker: broker.record_count("t") == 2)
    time.sleep(0.2)
    with pytest.raises(KafkaTimeoutError):
        old.get(timeout=2)
    deadline = time.monotonic() + 2
    while pool.pool_stats()["slabs_acquired"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pool.pool_stats()["slabs_acquired"] == 0  # the request has timed out, too
    broker.release()


def test_close_ends_the_request_of_an_expired_batch(broker: EmbeddedBroker, make: Make) -> None:
    """close() waits for outcomes, not for requests: bytes and connections go with it all the same."""
    producer = make(broker, linger_ms=0, delivery_timeout_ms=500, request_timeout_ms=400, retry_backoff_ms=5)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.hold("Produce")
    lost = producer.send("t", b"in flight", partition=0)
    producer.close(timeout=20)  # the first request times out, the second is under way at the deadline
    with pytest.raises(KafkaTimeoutError):
        lost.get(0)
    check_balance(producer)
    wait_until(lambda: broker._server.call(lambda: len(broker._server._connections)) == 0)


def test_of_what_never_left(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker()
    producer = make(broker, linger_ms=0, delivery_timeout_ms=500, request_timeout_ms=300)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.stop_node(1)
    began = time.monotonic()
    futures = [producer.send("t", b"x", partition=i % 4) for i in range(100)]
    for future in futures:
        with pytest.raises(KafkaTimeoutError):
            future.get(timeout=5)
    assert 0.4 < time.monotonic() - began < 1.5
    assert not any(future.exception.in_doubt for future in futures[4:])
    broker.start_node(1)
    assert producer.send("t", b"x", partition=0).get(timeout=10).offset == 1


def test_of_retries_without_end_names_the_last_error(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, delivery_timeout_ms=400, request_timeout_ms=400, retry_backoff_ms=10)
    broker.fail("Produce", 19, times=None)
    with pytest.raises(KafkaTimeoutError, match=r"NOT_ENOUGH_REPLICAS|NotEnoughReplicas"):
        producer.send("t", b"x").get(timeout=5)
    broker.clear()
    assert producer.send("t", b"x").get(timeout=10).offset >= 0


def test_a_broker_that_does_not_answer_is_tried_again(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, request_timeout_ms=300, delivery_timeout_ms=30_000, retry_backoff_ms=5)
    producer.send("t", b"0", partition=0).get(timeout=10)
    broker.hold("Produce")
    future = producer.send("t", b"1", partition=0)
    broker.wait_for_requests("Produce", 3)  # the first record, the second, and the second once more
    broker.release()
    assert future.get(timeout=10).offset in (1, -1)  # -1: recognised as written by the first try
    assert [record.value for record in broker.records("t", 0)] == [b"0", b"1"]
