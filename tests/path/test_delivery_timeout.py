# SPDX-License-Identifier: Apache-2.0
"""delivery_timeout_ms: futures fail in time, bytes are kept until the request has ended, later records are fine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from pykafka_fast import RecordFuture
from pykafka_fast.errors import BufferExhaustedError, KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker, check_balance
from tools.brokers.processes import wait_for


def test_in_flight_fails_in_time_and_keeps_its_bytes(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, delivery_timeout_ms=2000, request_timeout_ms=2000)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.hold("Produce")
    began = time.monotonic()
    sent = producer.send("t", b"in flight", partition=0)
    broker.wait(lambda broker: broker.record_count("t") == 2)
    waiting = producer.send("t", b"queued", partition=0)
    for future in (sent, waiting):
        with pytest.raises(KafkaTimeoutError, match="1 record"):
            future.get(timeout=10)
    assert 1.95 < time.monotonic() - began < 8
    assert sent.exception.in_doubt
    broker.release()
    assert producer.send("t", b"later", partition=0).get(timeout=10)
    assert broker.violations == []


@pytest.mark.parametrize(("trouble", "said"), [
    (lambda broker: broker.hold("Produce"),
     r"; the oldest request to its leader, node 1, has waited \d+ ms for an answer"),
    (lambda broker: broker.throttle("Produce", 60_000),
     r"; its leader, node 1, throttles this client by a quota: it takes no request for another 5\d{4} ms"),
], ids=["silent", "throttled"])  # fmt: skip
def test_what_waits_for_a_leader_says_so(
    trouble: Callable[[EmbeddedBroker], object], said: str, broker: EmbeddedBroker, make: Make
) -> None:
    producer = make(broker, linger_ms=0, delivery_timeout_ms=3000, max_in_flight_requests_per_connection=1,
                    request_timeout_ms=2000)  # when it expires, another try has been waiting for a second
    trouble(broker)
    producer.send("t", b"in flight", partition=0)
    broker.wait(lambda broker: broker.record_count("t") == 1)
    with pytest.raises(KafkaTimeoutError, match=said):
        producer.send("t", b"queued", partition=1).get(timeout=20)


def test_what_waits_for_the_first_connection_says_so(make: Make, broker: EmbeddedBroker) -> None:
    """The connection records go by is accepted, and its first request never answered; both times are up at once."""
    producer = make(broker, linger_ms=0, delivery_timeout_ms=2000, request_timeout_ms=2000)
    assert producer.partitions_for("t")
    broker.hold("ApiVersions")
    known = "is not connected yet|cannot be reached: .* ApiVersions: no response within 2000 ms"
    with pytest.raises(KafkaTimeoutError, match=f"; its leader, node 1, ({known})"):
        producer.send("t", b"x", partition=0).get(timeout=10)
    broker.release()


def test_the_request_outlives_its_batch(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, delivery_timeout_ms=2000, request_timeout_ms=2000)
    pool = producer._lifecycle.accumulator
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.hold("Produce")
    old = producer.send("t", b"old", partition=0)
    broker.wait(lambda broker: broker.record_count("t") == 2)
    time.sleep(0.2)
    with pytest.raises(KafkaTimeoutError):
        old.get(timeout=10)
    deadline = time.monotonic() + 20
    while pool.pool_stats()["slabs_acquired"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pool.pool_stats()["slabs_acquired"] == 0  # the request has timed out, too
    broker.release()


def test_memory_of_a_request_under_way_is_not_used_again(start_broker: StartBroker, make: Make) -> None:
    """The bytes of an expired batch stay what they are until its request has ended: most are not even written yet."""
    broker = start_broker(topics={"t": 2}, brokers=2, max_message_bytes=1 << 24)
    producer = make(
        broker.node_address(1), linger_ms=0, delivery_timeout_ms=6000, request_timeout_ms=6000, retry_backoff_ms=5,
        retry_backoff_max_ms=20, buffer_memory=20 << 20, max_request_size=16 << 20, max_block_ms=20,
    )  # fmt: skip
    wait_for(lambda: producer.send("t", b"x", partition=1).exception is None, "a record that is taken", 20)
    producer.flush(timeout=20)  # connected to node 2, which leads partition 1
    broker.leaderless("t", 0)
    old = os.urandom(15 << 20)
    expiring = producer.send("t", old, partition=0)
    time.sleep(3)  # so that the request, which may take as long as the batch, outlives it
    broker.hold(node=2, read=False)
    broker.move_leader("t", 0, 2)
    with pytest.raises(KafkaTimeoutError, match="Expiring") as failure:
        expiring.get(timeout=20)
    assert failure.value.in_doubt
    pool = producer._lifecycle.accumulator
    assert pool.pool_stats()["acquired"] > len(old)
    with pytest.raises(BufferExhaustedError):
        producer.send("t", bytes(len(old)), partition=0).get(0)
    broker.release()
    broker.wait(lambda it: it.record_count("t", 0) == 1, 20)
    assert broker.records("t", 0)[0].value == old
    wait_for(lambda: pool.pool_stats()["acquired"] == 0, "the end of all batches", 20)
    assert producer.send("t", old, partition=0).get(timeout=20).partition == 0


def test_counts_from_send(broker: EmbeddedBroker, make: Make) -> None:
    """Not from the first try, the last one or the metadata: each record has its time, whatever it waits for."""
    producer = make(broker, linger_ms=0, delivery_timeout_ms=900, request_timeout_ms=300, retry_backoff_ms=5)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.leaderless("t")
    producer._lifecycle._sender.request_metadata()
    sent: list[tuple[float, RecordFuture]] = []
    for partition in range(4):
        sent.append((time.monotonic(), producer.send("t", b"x", partition=partition)))
        time.sleep(0.1)
    broker.hold("Produce")
    broker.move_leader("t", 0, 1)  # one of them is on the way when its time is up, and was before
    for began, future in sent:
        with pytest.raises(KafkaTimeoutError):
            future.get(timeout=20)
        assert 0.9 <= time.monotonic() - began < 4


def test_close_ends_the_request_of_an_expired_batch(broker: EmbeddedBroker, make: Make) -> None:
    """close() waits for outcomes, not for requests: bytes and connections go with it all the same."""
    producer = make(broker, linger_ms=0, delivery_timeout_ms=2000, request_timeout_ms=1500, retry_backoff_ms=5)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.hold("Produce")
    lost = producer.send("t", b"in flight", partition=0)
    producer.close(timeout=20)  # the first request times out, the second is under way at the deadline
    with pytest.raises(KafkaTimeoutError):
        lost.get(0)
    check_balance(producer)
    wait_for(lambda: broker._server.call(lambda: len(broker._server._connections)) == 0,
             "the end of the connections", 20)


def test_of_what_never_left(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker()
    producer = make(broker, linger_ms=0, delivery_timeout_ms=2000, request_timeout_ms=300,
                    reconnect_backoff_max_ms=50)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.stop_node(1)
    began = time.monotonic()
    futures = [producer.send("t", b"x", partition=i % 4) for i in range(100)]
    for future in futures:
        with pytest.raises(KafkaTimeoutError):
            future.get(timeout=10)
    assert 1.9 < time.monotonic() - began < 10
    assert not any(future.exception.in_doubt for future in futures[4:])
    broker.start_node(1)
    assert producer.send("t", b"x", partition=0).get(timeout=10).offset == 1


def test_of_retries_without_end_names_the_last_error(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, delivery_timeout_ms=2000, request_timeout_ms=2000, retry_backoff_ms=10)
    broker.fail("Produce", 19, times=None)
    with pytest.raises(KafkaTimeoutError, match=r"NOT_ENOUGH_REPLICAS|NotEnoughReplicas"):
        producer.send("t", b"x").get(timeout=10)
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
