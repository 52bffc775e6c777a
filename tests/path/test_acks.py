# SPDX-License-Identifier: Apache-2.0
"""acks 0, 1 and all: what is asked of the broker, and what is promised."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker, check_balance
from tests.path.test_moves import closed_connections
from tools.brokers.processes import wait_for


@pytest.mark.parametrize(("acks", "number"), [(0, 0), (1, 1), ("all", -1), (-1, -1)])
def test_reach_the_broker(broker: EmbeddedBroker, make: Make, acks: Any, number: int) -> None:
    producer = make(broker, acks=acks, linger_ms=0, **({} if number == -1 else {"enable_idempotence": False}))
    futures = [producer.send("t", b"%d" % i, partition=i % 4) for i in range(400)]
    for future in futures:
        future.get(timeout=10)
    broker.wait(lambda broker: broker.record_count("t") == 400)
    assert {request.acks for request in broker.requests_of("Produce")} == {number}
    for partition in range(4):
        values = [record.value for record in broker.records("t", partition)]
        assert values == [b"%d" % i for i in range(partition, 400, 4)]


class TestNone:
    """acks=0: written to the socket is done."""

    OPTIONS: ClassVar[dict[str, Any]] = {"acks": 0, "enable_idempotence": False, "linger_ms": 0}

    def test_the_offset_is_unknown(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, **self.OPTIONS)
        metadata = producer.send("t", b"x", timestamp_ms=1234).get(timeout=10)
        assert (metadata.offset, metadata.timestamp) == (-1, 1234)
        assert broker.request_count("InitProducerId") == 0

    def test_callbacks_flush_and_close(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, **self.OPTIONS)
        seen: list[Any] = []
        for _ in range(100):
            producer.send("t", b"x", on_delivery=lambda m, e: seen.append((m.offset, e)))
        producer.flush(timeout=10)
        assert seen == [(-1, None)] * 100
        producer.close()
        check_balance(producer)
        broker.wait(lambda broker: broker.record_count("t") == 100)

    def test_a_silent_broker_does_not_matter_until_its_socket_is_full(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, **self.OPTIONS)
        producer.send("t", b"x").get(timeout=10)
        broker.hold("Produce")
        for _ in range(50):
            producer.send("t", b"x").get(timeout=5)
        broker.release()

    def test_a_broker_that_reads_no_more(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(
            broker, **self.OPTIONS, request_timeout_ms=500, delivery_timeout_ms=1000, buffer_memory=64 << 20)
        producer.send("t", b"x").get(timeout=10)
        broker.hold("Produce", read=False)
        futures = [producer.send("t", bytes(100_000), partition=0) for _ in range(300)]
        deadline = time.monotonic() + 10
        while not all(future.is_done for future in futures) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert all(future.is_done for future in futures)
        assert any(future.failed() for future in futures)
        broker.release()

    def test_reconnects_after_a_cut(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, **self.OPTIONS, reconnect_backoff_ms=5)
        producer.send("t", b"x").get(timeout=10)
        closed = closed_connections(producer)
        broker.cut(when="now")
        wait_for(lambda: closed_connections(producer) > closed, "the cut to be noticed", 20)
        producer.send("t", b"y").get(timeout=10)
        broker.wait(lambda broker: any(record.value == b"y" for record in broker.records("t")))


def test_all_means_that_a_refusal_is_retried(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, retry_backoff_ms=5)
    broker.fail("Produce", 19, times=3)
    assert producer.send("t", b"x").get(timeout=10).offset == 0


@pytest.mark.parametrize("acks", [0, 1])
def test_without_all_there_are_no_sequences(broker: EmbeddedBroker, make: Make, acks: int) -> None:
    producer = make(broker, acks=acks, enable_idempotence=False)
    producer.send("t", b"x").get(timeout=10)
    broker.wait(lambda broker: broker.record_count("t") == 1)
    (batch,) = broker.batches("t")
    assert (batch.header.producer_id, batch.header.producer_epoch, batch.header.base_sequence) == (-1, -1, -1)
    assert broker.request_count("InitProducerId") == 0


def test_log_append_time(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(log_append_time=True)
    before = time.time_ns() // 1_000_000
    metadata = make(broker).send("t", b"x", timestamp_ms=5).get(timeout=10)
    assert metadata.timestamp >= before
