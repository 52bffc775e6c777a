# SPDX-License-Identifier: Apache-2.0
"""What the tests of sender and idempotence share: sending batch by batch, and every batch as a broker got to see it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from pykafka_fast import KafkaProducer, RecordFuture
from pykafka_fast.errors import KafkaError, KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker

DEADLINE_S = 20.0
"""How long anything may take that has to happen."""

FAST: dict[str, Any] = {"linger_ms": 0, "retry_backoff_ms": 2, "retry_backoff_max_ms": 10, "reconnect_backoff_ms": 2}
"""Options with which nothing waits for long."""

TWO_A_BATCH: dict[str, Any] = FAST | {"batch_size": 1000, "batch_max_size": 1000, "linger_ms": 60_000}
"""Two records of 400 bytes fill a batch; the third closes it and begins the next."""


class Try(NamedTuple):
    """A batch as it stood in a request, whatever became of it."""

    epoch: int
    sequence: int
    records: int


def full_tries(broker: EmbeddedBroker, partition: int = 0, topic: str = "t") -> list[tuple[float, int, int, Try]]:
    """All batches of a partition that were sent, in the order they came: time, node, producer id, the rest."""
    found = []
    for request in broker.requests_of("Produce"):
        for target, batch in zip(request.partitions, request.batches, strict=True):
            if target == (topic, partition) and batch is not None:
                seen = Try(batch.producer_epoch, batch.base_sequence, batch.record_count)
                found.append((request.time, request.node, batch.producer_id, seen))
    return found


def tries(broker: EmbeddedBroker, partition: int = 0) -> list[Try]:
    """The batches of a partition as they were sent."""
    return [seen for _, _, _, seen in full_tries(broker, partition)]


def places(broker: EmbeddedBroker, partition: int = 0) -> list[tuple[int, int]]:
    """Epoch and sequence of each."""
    return [(seen.epoch, seen.sequence) for seen in tries(broker, partition)]


def times(broker: EmbeddedBroker, partition: int = 0) -> list[float]:
    """When each had come, on ``time.monotonic()``."""
    return [at for at, _, _, _ in full_tries(broker, partition)]


def producer_ids(broker: EmbeddedBroker, partition: int = 0) -> list[int]:
    """The producer id of each."""
    return [producer_id for _, _, producer_id, _ in full_tries(broker, partition)]


def values(broker: EmbeddedBroker, partition: int = 0) -> list[bytes | None]:
    """What was written."""
    return [record.value for record in broker.records("t", partition)]


def warm(producer: KafkaProducer, *partitions: int) -> None:
    """Connect, get a producer id and have one record acknowledged in each partition; 0 if none is named."""
    for partition in partitions or (0,):
        producer.send("t", b"first", partition=partition).get(timeout=DEADLINE_S)


def launch(producer: KafkaProducer, broker: EmbeddedBroker, value: bytes, partition: int = 0) -> RecordFuture:
    """Send a record and wait until the broker has read it, alone in its batch."""
    before = len(tries(broker, partition))
    future = producer.send("t", value, partition=partition)
    wait_for_tries(broker, before + 1, partition)
    return future


def wait_for_tries(broker: EmbeddedBroker, count: int, partition: int = 0) -> None:
    """Wait until so many batches of a partition were sent."""
    broker.wait(lambda broker: len(tries(broker, partition)) >= count, DEADLINE_S)


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for something that has to happen."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def outcome(future: RecordFuture) -> KafkaError | None:
    """The record's error, None if it was written."""
    wait_until(lambda: future.is_done)
    error = future.exception
    assert error is None or isinstance(error, KafkaError)
    return error


def offsets(*futures: RecordFuture) -> list[int]:
    """Where records were written."""
    return [future.get(timeout=DEADLINE_S).offset for future in futures]


def figures(producer: KafkaProducer) -> dict[str, float]:
    """The producer's metrics."""
    metrics = producer.metrics()
    assert metrics is not None
    return metrics["producer-metrics"]


class ExpiredFirst:
    """Two batches in flight, the first of which was refused and has expired before it could be sent again: retries
    go alone, and the answer to the second is held back. The leader moved in between, so they went to two brokers."""

    def __init__(self, broker: EmbeddedBroker, make: Callable[..., KafkaProducer], code: int, written: bool) -> None:
        """``code`` is the first's answer; ``written`` whether it was written all the same."""
        self.broker = broker
        self.producer = make(broker, **FAST, delivery_timeout_ms=5000, request_timeout_ms=5000)
        warm(self.producer)
        old, _ = broker.leader("t", 0)
        broker.hold("Produce", node=old)
        broker.hold("Produce", node=3 - old)
        broker.fail("Produce", code, node=old, after_append=written)
        began = time.monotonic()
        self.first = launch(self.producer, broker, b"1")
        broker.move_leader("t", 0, 3 - old, hint=False)
        use_leader(self.producer, 3 - old)
        wait_until(lambda: time.monotonic() > began + 2.0)  # so that their times are up one after the other
        self.second = launch(self.producer, broker, b"2")
        broker.release(node=old)
        error = outcome(self.first)
        assert type(error) is KafkaTimeoutError
        assert error.in_doubt == written

    @property
    def epoch(self) -> int:
        """The producer's epoch now."""
        return self.producer._lifecycle._sender._identity.epoch


def use_leader(producer: KafkaProducer, node: int) -> None:
    """Have the producer learn that partition 0 is led by that node."""
    cache = producer._lifecycle.metadata

    def leader() -> int:
        topic = cache.snapshot.topic("t")
        assert topic is not None
        return topic.leaders[0]

    producer._lifecycle._sender.request_metadata()
    wait_until(lambda: leader() == node)


def check_idle(producer: KafkaProducer) -> None:
    """Nothing is in flight, nothing is kept, all memory is back in the pool."""
    lifecycle = producer._lifecycle
    wait_until(lambda: figures(producer)["requests-in-flight"] == 0)
    wait_until(lambda: lifecycle.accumulator.pool_stats()["slabs_acquired"] == 0)
    stats = lifecycle.accumulator.pool_stats()
    assert (stats["acquired"], stats["waiting"]) == (0, 0)
    assert stats["available"] == stats["budget"]
    wait_until(lambda: lifecycle._wire.live_count() == 0)
