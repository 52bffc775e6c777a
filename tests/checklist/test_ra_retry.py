# SPDX-License-Identifier: Apache-2.0
"""The record accumulator, second part: retries, expiry, splits, and the forced end."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest

from pykafka_fast.errors import (
    ClosedForcefullyError,
    KafkaTimeoutError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
)
from pykafka_fast.net.backoff import ExponentialBackoff
from pykafka_fast.testing import EmbeddedBroker
from tests.checklist.conftest import Make, StartBroker

WAIT_S = 20.0
FOR_EVER = 60_000
MAX32 = 2**31 - 1


def error_of(future: Any) -> BaseException | None:
    """What became of it; None if it was written."""
    try:
        future.get(WAIT_S)
    except Exception as error:
        return error
    return None


def tries(broker: EmbeddedBroker, partition: int) -> list[float]:
    """When requests with this partition came."""
    return [it.time for it in broker.requests_of("Produce") if ("t", partition) in it.partitions]


def test_ra08_others_go_on_while_one_backs_off(broker: EmbeddedBroker, make: Make) -> None:
    """A batch that backs off holds up no other partition of its broker, and is sent again when its pause is over."""
    producer = make(broker, retry_backoff_ms=2000, retry_backoff_max_ms=2000, linger_ms=0)
    broker.fail("Produce", NotEnoughReplicasError, topic="t", partition=0)
    retried = producer.send("t", b"v", partition=0)
    broker.wait_for_requests("Produce", 1, WAIT_S)
    began = time.monotonic()
    for _ in range(5):
        producer.send("t", b"w", partition=1).get(WAIT_S)
    others = time.monotonic() - began
    assert retried.get(WAIT_S).offset == 0
    first, second = tries(broker, 0)
    assert second - first >= 1.995
    assert others < 1.9


def test_ra09_the_back_off_doubles_with_jitter() -> None:
    """Each pause is twice the one before, changed by up to a fifth at random, and never above the maximum."""
    for failures in range(20):
        middle = min(100 * 2**failures, 1000)
        backoff = ExponentialBackoff(100, 1000)
        delays = [backoff.delay_ms(failures) for _ in range(500)]
        assert 0.8 * middle - 1 <= min(delays) < 0.85 * middle
        assert max(delays) <= 1000
        assert max(delays) >= min(1.15 * middle, 1000)


def test_ra10_a_leader_of_unknown_epoch_is_no_news(start_broker: StartBroker, make: Make) -> None:
    """If brokers tell no epochs, a leader that moves does not cut the back-off short: pauses double to the maximum."""
    broker = start_broker(brokers=2, topics={"t": 1})
    broker.set_api_version("Metadata", 0, 6)
    producer = make(broker, retry_backoff_ms=50, retry_backoff_max_ms=400, linger_ms=0)
    producer.partitions_for("t")
    broker.fail("Produce", NotLeaderForPartitionError, times=6)
    future = producer.send("t", b"v", partition=0)
    for count in range(1, 4):
        broker.wait_for_requests("Produce", count, WAIT_S)
        broker.move_leader("t", 0, 1 + count % 2, hint=False)
    assert error_of(future) is None
    pauses = [after - before for before, after in pairwise(tries(broker, 0))]
    lowest = [0.8 * min(0.05 * 2**n, 0.4) for n in range(6)]
    assert all(pause >= least - 0.002 for pause, least in zip(pauses, lowest, strict=False)), pauses
    assert len(pauses) >= 6


@pytest.mark.parametrize("linger_ms", [0, FOR_EVER])
def test_ra13_a_forced_end(linger_ms: int, broker: EmbeddedBroker, make: Make) -> None:
    """close(0) fails every record with the error that says so, once each, sent already or not."""
    called: list[Any] = []
    producer = make(broker, linger_ms=linger_ms)
    producer.partitions_for("t")
    broker.hold("Produce")
    futures = [producer.send("t", b"v", partition=n % 4, on_delivery=lambda *a: called.append(a)) for n in range(100)]
    if linger_ms == 0:
        broker.wait_for_requests("Produce", 1, WAIT_S)
    producer.close(0)
    deadline = time.monotonic() + WAIT_S
    while len(called) < 100:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert {type(error_of(future)) for future in futures} == {ClosedForcefullyError}
    producer.close()
    assert [type(error) for _, error in called] == [ClosedForcefullyError] * 100


@pytest.mark.parametrize("muted", [False, True])
def test_ra15_only_the_delivery_time_out_expires(muted: bool, start_broker: StartBroker, make: Make) -> None:
    """Lingering is no reason to expire, the delivery time-out is, whether something of the partition is out or not."""
    broker = start_broker(topics={"t": 1})
    options: dict[str, Any] = {"delivery_timeout_ms": 1000, "request_timeout_ms": 500, "linger_ms": 300}
    if muted:
        options |= {"max_in_flight_requests_per_connection": 1, "enable_idempotence": False, "request_timeout_ms": 700}
    producer = make(broker, **options)
    lingered = producer.send("t", b"v")
    assert error_of(lingered) is None
    if muted:
        broker.hold("Produce")
        producer.send("t", b"out")
        broker.wait_for_requests("Produce", 2, WAIT_S)
    else:
        broker.leaderless("t")
    began = time.monotonic()
    expired = producer.send("t", b"w")
    assert isinstance(error_of(expired), KafkaTimeoutError)
    assert 0.995 <= time.monotonic() - began < 10


def test_ra15_the_longest_time_outs(broker: EmbeddedBroker, make: Make) -> None:
    """Time-outs as long as they can be do not overflow: what lingers stays, and leaves when it is flushed."""
    producer = make(broker, delivery_timeout_ms=MAX32, linger_ms=MAX32 - 1000, request_timeout_ms=1000)
    future = producer.send("t", b"v")
    time.sleep(0.3)
    assert not future.is_done
    assert broker.request_count("Produce") == 0
    producer.flush(WAIT_S)
    assert future.succeeded()


def test_ra16_two_batches_expire_together(start_broker: StartBroker, make: Make) -> None:
    """All batches of a partition whose time is up fail in the same look at it, each record once."""
    broker = start_broker(topics={"t": 1})
    called: list[tuple[Any, float]] = []
    producer = make(broker, delivery_timeout_ms=500, request_timeout_ms=200, linger_ms=0, batch_size=1000,
                    batch_max_size=1000, retry_backoff_ms=100)  # fmt: skip
    broker.leaderless("t")
    futures = [producer.send("t", bytes(900), on_delivery=lambda m, e: called.append((e, time.monotonic())))
               for _ in range(4)]  # fmt: skip
    assert [type(error_of(future)) for future in futures] == [KafkaTimeoutError] * 4
    producer.flush(WAIT_S)
    assert len(called) == 4
    assert called[-1][1] - called[0][1] < 2
    assert producer._lifecycle.accumulator.lost() == {}


def test_ra17_retries_do_not_expire_by_the_request_time_out(broker: EmbeddedBroker, make: Make) -> None:
    """A batch that is sent again and again expires by the delivery time-out, counted from its making, and no sooner."""
    producer = make(broker, delivery_timeout_ms=3000, request_timeout_ms=100, linger_ms=0, retry_backoff_ms=50)
    producer.send("t", b"v", partition=0).get(WAIT_S)
    broker.fail("Produce", NotEnoughReplicasError, times=None)
    began = time.monotonic()
    future = producer.send("t", b"v", partition=0)
    assert isinstance(error_of(future), KafkaTimeoutError)
    assert 2.995 <= time.monotonic() - began < 15
    assert len(tries(broker, 0)) > 3


def test_ra18_a_muted_partition_waits_for_its_answer(start_broker: StartBroker, make: Make) -> None:
    """With one request in flight a partition sends nothing more until its answer is there; other brokers' go on."""
    broker = start_broker(topics={"t": 2}, brokers=2)
    nodes = [broker.leader("t", partition)[0] for partition in range(2)]
    assert nodes[0] != nodes[1]
    producer = make(broker, max_in_flight_requests_per_connection=1, linger_ms=0, enable_idempotence=False)
    for partition in range(2):
        producer.send("t", b"first", partition=partition).get(WAIT_S)
    broker.hold("Produce", node=nodes[0])
    futures = [producer.send("t", b"out", partition=0)]
    broker.wait(lambda it: it.record_count("t", 0) == 2, WAIT_S)
    futures += [producer.send("t", b"muted", partition=0) for _ in range(10)]
    for _ in range(10):
        producer.send("t", b"other", partition=1).get(WAIT_S)
    assert len(tries(broker, 0)) == 2
    assert not any(future.is_done for future in futures)
    broker.release()
    assert [error_of(future) for future in futures] == [None] * 11


def test_ra21_the_records_of_a_split_batch(start_broker: StartBroker, make: Make) -> None:
    """A batch of two that is split goes out as two, and each record's own future and callback get its own offset."""
    broker = start_broker(topics={"t": 1}, max_message_bytes=2000)
    producer = make(broker, linger_ms=FOR_EVER)
    called: list[tuple[int, int]] = []
    futures = [producer.send("t", bytes(1500), on_delivery=lambda m, e, n=n: called.append((n, m.offset)))
               for n in range(2)]  # fmt: skip
    producer.flush(WAIT_S)
    assert [batch.header.record_count for batch in broker.batches("t")] == [1, 1]
    assert [future.get(0).offset for future in futures] == [0, 1]
    assert called == [(0, 0), (1, 1)]


def test_ra22_memory_after_splits(start_broker: StartBroker, make: Make) -> None:
    """After batches were split and all is done, the whole pool is free again."""
    broker = start_broker(topics={"t": 1}, max_message_bytes=3000)
    producer = make(broker, linger_ms=FOR_EVER, buffer_memory=1 << 20, batch_size=100_000)
    futures = [producer.send("t", bytes(900)) for _ in range(500)]
    producer.flush(WAIT_S)
    assert all(future.succeeded() for future in futures)
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["batch-split-total"] > 0
    assert metrics["producer-metrics"]["buffer-available-bytes"] == 1 << 20


def test_ra24_sent_shortly_before_the_end(broker: EmbeddedBroker, make: Make) -> None:
    """A batch whose time is nearly up is sent all the same, and expires on the way, possibly written."""
    producer = make(broker, delivery_timeout_ms=2000, linger_ms=1200, request_timeout_ms=800)
    producer.partitions_for("t")
    broker.hold("Produce")
    began = time.monotonic()
    future = producer.send("t", b"v", partition=0)
    (request,) = broker.wait_for_requests("Produce", 1, WAIT_S)
    assert request.time - began >= 1.195
    error = error_of(future)
    assert isinstance(error, KafkaTimeoutError)
    assert error.in_doubt
    assert 1.995 <= time.monotonic() - began < 10


@pytest.mark.parametrize("in_flight", [1, 5])
def test_ra25_a_retry_whose_time_is_up(in_flight: int, broker: EmbeddedBroker, make: Make) -> None:
    """A batch whose delivery time-out ends during its back-off expires there and is not sent once more.

    Java sends it again if its partition is not muted, because it drains before it looks for what has expired; here
    nothing leaves that has expired.
    """
    producer = make(broker, delivery_timeout_ms=3000, request_timeout_ms=2500, linger_ms=0, retry_backoff_ms=20_000,
                    retry_backoff_max_ms=20_000, max_in_flight_requests_per_connection=in_flight,
                    enable_idempotence=in_flight > 1)  # fmt: skip
    producer.send("t", b"v", partition=0).get(WAIT_S)
    broker.fail("Produce", NotEnoughReplicasError, times=1)
    began = time.monotonic()
    future = producer.send("t", b"w", partition=0)
    error = error_of(future)
    assert isinstance(error, KafkaTimeoutError)
    assert 2.995 <= time.monotonic() - began < 15
    assert "NOT_ENOUGH_REPLICAS" in str(error)
    assert len(tries(broker, 0)) == 2


def test_ra31_a_retry_to_the_same_leader_waits(start_broker: StartBroker, make: Make) -> None:
    """While the leader's epoch is the same, a refused batch is neither due nor sent before its back-off is over."""
    broker = start_broker(topics={"t": 1})
    producer = make(broker, retry_backoff_ms=600, retry_backoff_max_ms=600, linger_ms=0)
    producer.send("t", b"v").get(WAIT_S)
    broker.fail("Produce", NotLeaderForPartitionError, times=2)
    assert error_of(producer.send("t", b"w")) is None
    _, *times = tries(broker, 0)
    assert len(times) == 3
    assert all(after - before >= 0.595 for before, after in pairwise(times))


def test_ra32_a_retry_to_a_newer_leader_does_not(start_broker: StartBroker, make: Make) -> None:
    """A leader of a newer epoch is sent to at once, however long the back-off would be."""
    broker = start_broker(topics={"t": 1}, brokers=2)
    producer = make(broker, retry_backoff_ms=50_000, retry_backoff_max_ms=50_000, linger_ms=0)
    producer.send("t", b"v").get(WAIT_S)
    old, epoch = broker.leader("t", 0)
    broker.move_leader("t", 0, 3 - old)
    began = time.monotonic()
    assert error_of(producer.send("t", b"w")) is None
    assert time.monotonic() - began < 15
    assert [it.node for it in broker.requests_of("Produce")] == [old, old, 3 - old]
    topic = producer._lifecycle.metadata.snapshot.topic("t")
    assert topic is not None
    assert (topic.leaders[0], topic.leader_epochs[0]) == (3 - old, epoch + 1)
