# SPDX-License-Identifier: Apache-2.0
"""Brokers that are slow, away, or no longer lead."""

import contextlib
import time
from collections.abc import Callable

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError
from tests.ledger import Ledger, check
from tools.brokers.mock import PRODUCE, MockCluster
from tools.brokers.processes import wait_for
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
ReadBack = Callable[[str, str], list[Record]]
QUICK = {"retry_backoff_ms": 10, "retry_backoff_max_ms": 100, "reconnect_backoff_max_ms": 200}


def test_round_trip_time(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap)
    producer.send("t", b"v").get(timeout=10)
    mock.set_rtt(200)
    took = []
    for _ in range(3):
        started = time.monotonic()
        producer.send("t", b"v").get(timeout=10)
        took.append(time.monotonic() - started)
    assert 0.2 <= min(took) < 2
    assert producer.metrics()["producer-metrics"]["request-latency-max"] >= 200  # type: ignore[index]


def test_full_batches_fill_the_round_trip(
    mock: MockCluster, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """Five requests under way at a time: 20 batches take four round trips, not twenty."""
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap, batch_size=4096, batch_max_size=4096, linger_ms=1000)
    ledger = Ledger(producer, "t")
    ledger.send().get(timeout=10)
    mock.set_rtt(200)
    started = time.monotonic()
    for _ in range(20):
        ledger.send(padding=3500)
    producer.flush(timeout=10)
    assert time.monotonic() - started < 3.5
    mock.set_rtt(0)
    check(read_back(mock.bootstrap, "t"), ledger)


def test_a_slow_answer_times_out_and_is_asked_again(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap, request_timeout_ms=300, delivery_timeout_ms=10_000, **QUICK)
    producer.send("t", b"v").get(timeout=10)
    mock.push_broker_errors(1, PRODUCE, (0, 9000))
    started = time.monotonic()
    producer.send("t", b"v").get(timeout=10)
    assert 0.3 <= time.monotonic() - started < 8


def test_leader_moves(mock3: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock3.create_topic("t", 3)
    # The mock checks no sequences: what is in flight when the leader moves may overtake.
    producer = new_producer(mock3.bootstrap, max_in_flight_requests_per_connection=1, **QUICK)
    ledger = Ledger(producer, "t")
    for turn in range(6):
        leader = 1 + turn % 3
        for partition in range(3):
            mock3.set_leader("t", partition, leader)
        ledger.send(partition=0).get(timeout=10)
        mock3.clear_requests()
        for number in range(30):
            ledger.send(partition=number % 3)
        producer.flush(timeout=10)
        assert mock3.request_counts(leader)[PRODUCE] >= 1
    assert not ledger.failures()
    check(read_back(mock3.bootstrap, "t"), ledger)


def test_leader_moves_while_sending(mock3: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock3.create_topic("t", 1)
    producer = new_producer(mock3.bootstrap, max_in_flight_requests_per_connection=1, linger_ms=0, **QUICK)
    ledger = Ledger(producer, "t")
    for turn in range(20):
        mock3.set_leader("t", 0, 1 + turn % 3)
        for _ in range(200):
            ledger.send()
    producer.flush(timeout=20)
    assert not ledger.failures()
    check(read_back(mock3.bootstrap, "t"), ledger)


def test_no_leader_for_a_while(mock3: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock3.create_topic("t", 2)
    mock3.set_api_version(PRODUCE, 0, 9)  # version 10 wants to name the leader, and the mock dies of there being none
    producer = new_producer(mock3.bootstrap, **QUICK)
    ledger = Ledger(producer, "t")
    ledger.send(partition=0).get(timeout=10)
    mock3.set_leader("t", 0, -1)
    waiting = [ledger.send(partition=0) for _ in range(50)]
    for _ in range(50):
        ledger.send(partition=1).get(timeout=10)
    assert not any(future.is_done for future in waiting)
    mock3.set_leader("t", 0, 3)
    producer.flush(timeout=20)
    assert not ledger.failures()
    check(read_back(mock3.bootstrap, "t"), ledger)


@pytest.mark.parametrize("down_s", [0.02, 1.5])
def test_a_broker_is_away(
    mock3: MockCluster, new_producer: NewProducer, read_back: ReadBack, down_s: float
) -> None:
    """It stays the leader, and metadata does not name it while it is away."""
    mock3.create_topic("t", 3)
    for partition in range(3):
        mock3.set_leader("t", partition, 1 + partition)
    producer = new_producer(mock3.bootstrap, **QUICK)
    ledger = Ledger(producer, "t")
    for partition in range(3):
        ledger.send(partition=partition).get(timeout=10)
    mock3.set_down(2)
    back_at = time.monotonic() + down_s
    waiting = [ledger.send(partition=1)]
    while time.monotonic() < back_at:
        ledger.send(partition=0).get(timeout=10)
        waiting.append(ledger.send(partition=1))
        time.sleep(0.005)
    assert not any(future.is_done for future in waiting)
    mock3.set_up(2)
    for partition in range(3):
        ledger.send(partition=partition).get(timeout=10)
    producer.flush(timeout=10)
    assert not ledger.failures()
    check(read_back(mock3.bootstrap, "t"), ledger)


def test_all_brokers_are_away(mock: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock.create_topic("t", 1)
    options = {"delivery_timeout_ms": 3000, "request_timeout_ms": 2500, "max_block_ms": 2000, **QUICK}
    producer = new_producer(mock.bootstrap, **options)
    ledger = Ledger(producer, "t")
    ledger.send().get(timeout=10)
    mock.set_down()
    with pytest.raises(KafkaTimeoutError, match=mock.bootstrap):
        ledger.send().get(timeout=10)
    mock.set_up()

    def recovered() -> bool:
        future = ledger.send()
        with contextlib.suppress(KafkaTimeoutError):
            return future.get(10) is not None
        return False

    wait_for(recovered, "recovery", 30)
    ledger.wait(10)
    check(read_back(mock.bootstrap, "t"), ledger)


def test_the_first_send_waits_for_the_cluster(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    mock.set_down()
    producer = new_producer(mock.bootstrap, max_block_ms=300, **QUICK)
    future = producer.send("t", b"v")
    with pytest.raises(KafkaTimeoutError, match=mock.bootstrap):
        future.get(timeout=0)
    mock.set_up()
    wait_for(lambda: producer.send("t", b"v").exception is None, "the cluster", 10)


def test_topic_deleted_and_made_again(mock: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock.create_topic("t", 2)
    producer = new_producer(mock.bootstrap, **QUICK)
    producer.send("t", b"before", partition=1).get(timeout=10)
    mock.delete_topic("t")
    mock.create_topic("t", 2)
    assert producer.send("t", b"after", partition=1).get(timeout=10).offset == 0
    assert [record.value for record in read_back(mock.bootstrap, "t")] == [b"after"]
