# SPDX-License-Identifier: Apache-2.0
"""Connections that end, leaders that move, brokers that throttle: nothing lost, doubled or out of order."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tools.brokers.processes import free_port


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def closed_connections(producer: KafkaProducer) -> float:
    metrics = producer.metrics()
    assert metrics is not None
    return metrics["producer-metrics"]["connection-close-total"]


def values(broker: EmbeddedBroker, topic: str = "t") -> list[list[bytes | None]]:
    """By partition."""
    return [[record.value for record in broker.records(topic, i)] for i in range(broker.topics[topic])]


def send_numbers(producer: KafkaProducer, count: int, partitions: int = 4) -> list[Any]:
    futures = []
    for i in range(count):
        futures.append(producer.send("t", b"%d" % i, partition=i % partitions))
        if i % 50 == 0:
            time.sleep(0.0005)
    return futures


def check_all(broker: EmbeddedBroker, futures: list[Any], partitions: int = 4) -> None:
    """Every record once, in order, where its future says it is."""
    for future in futures:
        future.get(timeout=20)
    expected = [[b"%d" % i for i in range(p, len(futures), partitions)] for p in range(partitions)]
    assert values(broker) == expected
    for i, future in enumerate(futures):
        assert future.value.offset in (i // partitions, -1)


@pytest.mark.parametrize("when", ["before_append", "after_append", 1, 4, 20])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_connections_cut(broker: EmbeddedBroker, make: Make, when: Any, reset: bool) -> None:
    producer = make(broker, linger_ms=0, batch_size=200, retry_backoff_ms=2, reconnect_backoff_ms=2)
    producer.send("t", b"0", partition=0).get(timeout=10)
    futures = [producer.send("t", b"%d" % i, partition=i % 4) for i in range(1, 200)]
    for _ in range(3):
        rule = broker.cut(when=when, api="Produce", reset=reset and not isinstance(when, int))
        start = len(futures) + 1
        futures += [producer.send("t", b"%d" % i, partition=i % 4) for i in range(start, start + 200)]
        broker.wait(lambda _, rule=rule: rule.is_over)
    for future in futures:
        future.get(timeout=20)
    total = len(futures) + 1
    assert values(broker) == [[b"%d" % i for i in range(p, total, 4)] for p in range(4)]


def test_all_connections_cut_now_and_then(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, batch_size=500, retry_backoff_ms=2, reconnect_backoff_ms=2)
    futures = []
    for i in range(3000):
        futures.append(producer.send("t", b"%d" % i, partition=i % 4))
        if i % 300 == 299:
            asked = broker.request_count("Produce")
            broker.cut(when="now", reset=i % 600 == 599)
            broker.wait(lambda broker, asked=asked: broker.request_count("Produce") > asked, timeout=20)
    check_all(broker, futures)


def test_broker_stopped_and_started(
    broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pykafka_fast")
    producer = make(broker, linger_ms=0, retry_backoff_ms=5, reconnect_backoff_ms=5, reconnect_backoff_max_ms=50)
    futures = send_numbers(producer, 400)
    broker.stop_node(1)
    futures += [producer.send("t", b"%d" % i, partition=i % 4) for i in range(400, 800)]
    refused = lambda: sum("refused" in record.getMessage().lower() for record in caplog.records)  # noqa: E731
    wait_for(lambda: refused() >= 3)
    broker.start_node(1)
    check_all(broker, futures)


def test_throttle_is_honoured(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"x").get(timeout=10)
    broker.throttle("Produce", 300, times=1)
    began = time.monotonic()
    producer.send("t", b"x").get(timeout=10)
    producer.send("t", b"x").get(timeout=10)
    assert 0.25 < time.monotonic() - began < 5
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["throttle-time-max"] == 300


@pytest.mark.parametrize("hint", [True, False])
def test_leader_moves(start_broker: StartBroker, make: Make, hint: bool) -> None:
    broker = start_broker(brokers=3)
    producer = make(broker, linger_ms=0, batch_size=300, retry_backoff_ms=5)
    futures = []
    for i in range(3000):
        futures.append(producer.send("t", b"%d" % i, partition=i % 4))
        if i % 250 == 0:
            broker.move_leader("t", i // 250 % 4, (i // 250) % 3 + 1, hint=hint)
            time.sleep(0.005)
    check_all(broker, futures)


def test_a_leader_named_in_the_answer_is_used_without_asking(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(brokers=2, topics={"t": 1})
    producer = make(broker, linger_ms=0, retry_backoff_ms=5_000, retry_backoff_max_ms=5_000)
    producer.send("t", b"x").get(timeout=10)
    broker.delay("Metadata", 20_000)
    leader, _ = broker.leader("t", 0)
    broker.move_leader("t", 0, 3 - leader)
    began = time.monotonic()
    producer.send("t", b"x").get(timeout=10)
    assert time.monotonic() - began < 4


def test_a_broker_nothing_waits_for_is_dialled_no_more(
    start_broker: StartBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pykafka_fast")
    broker = start_broker(brokers=2, topics={"t": 2})
    broker.move_leader("t", 0, 1)
    broker.move_leader("t", 1, 2)
    broker._cluster.nodes[2].port = free_port()
    producer = make(broker.node_address(1), linger_ms=0, reconnect_backoff_ms=10, reconnect_backoff_max_ms=10)
    moved = producer.send("t", b"x", partition=1)
    refused = lambda: sum("refused" in record.getMessage() for record in caplog.records)  # noqa: E731
    wait_for(lambda: refused() >= 3)
    broker.move_leader("t", 1, 1)
    moved.get(timeout=20)
    before = refused()
    broker.delay("Produce", 20)
    for _ in range(20):  # something is always under way, as in a busy producer
        producer.send("t", b"x", partition=0).get(timeout=20)
    assert refused() - before <= 1  # the attempt that was under way


def test_no_leader_for_a_while(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(brokers=2)
    producer = make(broker, linger_ms=0, retry_backoff_ms=10, retry_backoff_max_ms=50)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.leaderless("t")
    futures = [producer.send("t", b"x", partition=i % 4) for i in range(100)]
    asked = broker.request_count("Metadata")
    broker.wait_for_requests("Metadata", asked + 3, timeout=20)
    assert not any(future.is_done for future in futures)
    for partition in range(4):
        broker.move_leader("t", partition, partition % 2 + 1)
    for future in futures:
        future.get(timeout=10)
    assert broker.record_count("t") == 101


class TestIdleConnections:
    def test_closed_by_the_broker_cost_no_error(
        self, broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        producer = make(broker, linger_ms=0)
        for i in range(5):
            assert producer.send("t", b"x", partition=0).get(timeout=10).offset == i
            closed = closed_connections(producer)
            broker.cut(when="now")
            wait_for(lambda closed=closed: closed_connections(producer) > closed)  # noticed while nothing was sent
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    def test_closed_by_the_broker_explain_no_time_out(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(brokers=2)
        producer = make(broker, max_block_ms=3000)
        for partition in (0, 1):
            producer.send("t", b"x", partition=partition).get(timeout=10)
        closed = closed_connections(producer)
        broker.cut(when="now")
        wait_for(lambda: closed_connections(producer) == closed + 2)
        error = producer.send("missing", b"x").exception
        assert "UNKNOWN_TOPIC_OR_PARTITION" in str(error)
        assert "last errors" not in str(error)

    def test_closed_by_us(self, broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        producer = make(broker, linger_ms=0, connections_max_idle_ms=100)
        for i in range(4):
            closed = closed_connections(producer)
            assert producer.send("t", b"x", partition=0).get(timeout=10).offset == i
            wait_for(lambda closed=closed: closed_connections(producer) > closed)
        assert [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []
        connections = Counter(request.connection for request in broker.requests_of("Produce"))
        assert len(connections) > 1
