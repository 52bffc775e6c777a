# SPDX-License-Identifier: Apache-2.0
"""Batches that were too large are split (KIP-126); guilty records are told from the others (KIP-467)."""

from __future__ import annotations

from typing import Literal

import pytest

from pykafka_fast import errors
from pykafka_fast.errors import BatchRejectedError, InvalidRecordError, MessageSizeTooLargeError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker

When = Literal["before_append", "after_append"]


def values(broker: EmbeddedBroker, topic: str = "t") -> list[list[bytes | None]]:
    """By partition."""
    return [[record.value for record in broker.records(topic, i)] for i in range(broker.topics[topic])]


class TestTooLarge:
    def test_is_split_and_keeps_futures_callbacks_and_order(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(topics={"t": 2}, max_message_bytes=3000)
        producer = make(broker, linger_ms=60_000)
        seen: list[tuple[int, int]] = []
        futures = [
            producer.send("t", b"%03d" % i + bytes(200), partition=i % 2,
                          on_delivery=lambda m, e, i=i: seen.append((i, m.offset)))
            for i in range(400)
        ]  # fmt: skip
        producer.flush(timeout=20)
        assert [future.value.offset for future in futures] == [i // 2 for i in range(400)]
        assert [[value[:3] for value in part if value] for part in values(broker)] == [
            [b"%03d" % i for i in range(p, 400, 2)] for p in range(2)]
        for partition in range(2):
            mine = [(i, offset) for i, offset in seen if i % 2 == partition]
            assert mine == [(i, i // 2) for i in range(partition, 400, 2)]
        metrics = producer.metrics()
        assert metrics is not None
        assert metrics["producer-metrics"]["batch-split-total"] > 0

    def test_teaches_the_topic_smaller_batches(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(topics={"t": 1}, max_message_bytes=20_000)
        producer = make(broker, linger_ms=60_000)
        for _ in range(300):
            producer.send("t", bytes(200))
        producer.flush(timeout=20)
        metrics = producer.metrics()
        assert metrics is not None
        splits = metrics["producer-metrics"]["batch-split-total"]
        assert splits > 0
        for _ in range(3000):
            producer.send("t", bytes(200))
        producer.flush(timeout=20)
        metrics = producer.metrics()
        assert metrics is not None
        assert metrics["producer-metrics"]["batch-split-total"] == splits
        assert broker.record_count("t") == 3300

    def test_a_single_record_fails_and_the_others_live(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(topics={"t": 1}, max_message_bytes=1000)
        producer = make(broker, linger_ms=60_000)
        futures = [producer.send("t", bytes(2000 if i == 5 else 10)) for i in range(10)]
        producer.flush(timeout=10)
        assert [future.succeeded() for future in futures] == [i != 5 for i in range(10)]
        assert isinstance(futures[5].exception, MessageSizeTooLargeError)
        assert broker.record_count("t") == 9
        assert producer.send("t", b"x").get(timeout=10).offset == 9

    @pytest.mark.parametrize("batch_size", [100_000, 1_000])
    @pytest.mark.parametrize("when", ["before_append", "after_append"])
    def test_after_a_lost_connection(self, when: When, batch_size: int, start_broker: StartBroker, make: Make) -> None:
        """What may have been written is refused now, so it was not: nothing behind it needs to fail."""
        broker = start_broker(topics={"t": 1}, max_message_bytes=20_000)
        producer = make(broker, linger_ms=60_000 if batch_size > 1_000 else 0, batch_size=batch_size)
        producer.partitions_for("t")
        broker.hold("Produce")
        broker.cut(when=when, api="Produce")
        futures = [producer.send("t", bytes(30_000))] + [producer.send("t", bytes(200)) for _ in range(100)]
        broker.release()
        producer.flush(timeout=20)
        assert isinstance(futures[0].exception, MessageSizeTooLargeError)
        assert not futures[0].exception.in_doubt
        assert [future.exception for future in futures[1:]] == [None] * 100
        assert broker.record_count("t") == 100

    def test_listeners_and_waiters_follow(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(topics={"t": 1}, max_message_bytes=1000)
        producer = make(broker, linger_ms=100)
        seen: list[int] = []
        futures = [producer.send("t", bytes(100)).add_callback(lambda m: seen.append(m.offset)) for _ in range(100)]
        assert [future.get(timeout=10).offset for future in futures] == list(range(100))
        producer.flush(timeout=10)
        assert seen == list(range(100))


class TestRecordErrors:
    def test_one_guilty_record(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, linger_ms=60_000)
        broker.record_errors("t", {1: "a bad one"}, message="the batch is bad")
        futures = [producer.send("t", b"x", partition=0) for _ in range(3)]
        producer.flush(timeout=10)
        kinds = [type(future.exception) for future in futures]
        assert kinds == [BatchRejectedError, InvalidRecordError, BatchRejectedError]
        assert "a bad one" in str(futures[1].exception)
        assert producer.send("t", b"x", partition=0).get(timeout=10).offset == 0

    def test_one_guilty_record_has_the_batchs_code(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, linger_ms=60_000)
        broker.record_errors("t", {0: ""}, error=32, message="the batch is late")
        futures = [producer.send("t", b"x", partition=0) for _ in range(2)]
        producer.flush(timeout=10)
        assert isinstance(futures[0].exception, errors.InvalidTimestampError)
        assert isinstance(futures[1].exception, BatchRejectedError)

    def test_several(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, linger_ms=60_000)
        broker.record_errors("t", {0: "first", 2: "third"}, error=32)
        futures = [producer.send("t", b"x", partition=0) for _ in range(4)]
        producer.flush(timeout=10)
        kinds = [type(future.exception) for future in futures]
        assert kinds == [InvalidRecordError, BatchRejectedError, InvalidRecordError, BatchRejectedError]
        assert "third" in str(futures[2].exception)
