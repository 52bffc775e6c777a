# SPDX-License-Identifier: Apache-2.0
"""metrics(): kafka-python's groups and names, and figures that agree with what the broker saw."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import kafka
import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.testing import EmbeddedBroker
from pykafka_fast.testing.batch import HEADER_SIZE
from pykafka_fast.testing.records import payload
from tests.path.conftest import Make


def of(producer: KafkaProducer, group: str = "producer-metrics") -> dict[str, float]:
    metrics = producer.metrics()
    assert metrics is not None
    return metrics[group]


def test_every_name_of_kafka_pythons(broker: EmbeddedBroker, make: Make) -> None:
    theirs = kafka.KafkaProducer(bootstrap_servers=broker.address, enable_idempotence=False)
    ours = make(broker)
    for producer in (theirs, ours):
        for _ in range(3):
            producer.send("t", b"x", partition=0).get(timeout=10)
    wanted, got = theirs.metrics(), ours.metrics()
    theirs.close()
    assert got is not None
    groups = {name: values for name, values in wanted.items() if name.startswith(("producer-", "kafka-metrics-count"))}
    assert "producer-topic-metrics.t" in groups
    for group, values in groups.items():
        if group.startswith("producer-node-metrics.node-bootstrap"):
            continue
        assert values.keys() - got.get(group, {}).keys() == set(), group


def test_figures_agree_with_the_broker(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=5)
    for i in range(1000):
        producer.send("t", bytes(100 if i else 3000), partition=i % 4)
    producer.flush(timeout=10)
    figures = of(producer)
    topic, node = of(producer, "producer-topic-metrics.t"), of(producer, "producer-node-metrics.node-1")
    requests = broker.requests_of("Produce")
    batches = broker.batches("t")
    assert figures["record-send-total"] == topic["record-send-total"] == 1000
    assert figures["record-error-total"] == figures["record-retry-total"] == 0
    assert figures["request-total"] == figures["response-total"] == node["request-total"] == len(requests)
    assert figures["outgoing-byte-total"] == sum(request.size + 4 for request in requests)
    assert figures["request-size-max"] == max(request.size + 4 for request in requests)
    assert figures["batch-size-avg"] * len(batches) == pytest.approx(figures["byte-total"])
    assert 3000 < figures["record-size-max"] < 3100
    assert 100 < figures["record-size-avg"] < 115
    assert figures["records-per-request-avg"] == pytest.approx(1000 / len(requests))
    assert 0 < figures["request-latency-avg"] <= figures["request-latency-max"] < 5000
    assert 0 < figures["record-queue-time-avg"] <= figures["record-queue-time-max"] < 5000
    assert figures["record-send-rate"] > 0
    assert figures["requests-in-flight"] == 0
    assert figures["connection-count"] >= 1
    assert 0 <= figures["metadata-age"] < 10
    assert figures["compression-rate-avg"] == 1
    assert figures["buffer-total-bytes"] == figures["buffer-available-bytes"] == producer.config["buffer_memory"]


def sizes(broker: EmbeddedBroker, topic: str) -> tuple[int, int]:
    """Bytes of the records in a topic's batches, as they came and decompressed."""
    batches = broker.batches(topic)
    return (sum(len(batch.data) - HEADER_SIZE for batch in batches),
            sum(len(payload(batch.header, batch.data)) for batch in batches))


def test_compression_agrees_with_the_broker(start_broker: Any, make: Make) -> None:
    broker = start_broker(topics={"text": 1, "noise": 1, "plain": 1})
    producer = make(broker, compression_type="zstd", compression_by_topic={"plain": "none"}, linger_ms=60_000)
    for i in range(2000):
        producer.send("text", b"%d: what compresses well compresses well" % i)
        producer.send("plain", bytes(40))
        if i % 100 == 0:
            producer.send("noise", random.randbytes(2000))
    producer.flush(timeout=20)
    assert {batch.header.codec for batch in broker.batches("text")} == {4}
    assert {batch.header.codec for batch in [*broker.batches("noise"), *broker.batches("plain")]} == {0}
    packed, plain = map(sum, zip(*(sizes(broker, topic) for topic in ("text", "noise", "plain")), strict=True))
    figures = of(producer)
    assert figures["compression-rate-avg"] == pytest.approx(packed / plain)
    assert figures["batch-incompressible-total"] == len(broker.batches("noise"))
    assert 0 < figures["compression-time-ns-total"] < 20e9
    assert figures["record-size-avg"] == pytest.approx(plain / figures["record-send-total"])
    assert figures["batch-size-avg"] * len([batch for topic in ("text", "noise", "plain")
                                            for batch in broker.batches(topic)]) == pytest.approx(figures["byte-total"])
    for topic in ("text", "noise", "plain"):
        packed, plain = sizes(broker, topic)
        rate = of(producer, f"producer-topic-metrics.{topic}")["compression-rate"]
        assert rate == pytest.approx(packed / plain)
        assert (rate < 0.3) == (topic == "text")


def test_retries_errors_and_splits_are_counted(start_broker: Any, make: Make) -> None:
    broker = start_broker(topics={"t": 1}, max_message_bytes=4000)
    producer = make(broker, linger_ms=60_000, retry_backoff_ms=2)
    producer.send("t", b"x").get(timeout=10)
    broker.fail("Produce", 19, times=2)
    for _ in range(10):
        producer.send("t", b"x")
    producer.flush(timeout=10)
    assert of(producer)["record-retry-total"] == of(producer, "producer-topic-metrics.t")["record-retry-total"] == 20
    assert of(producer)["batch-retry-total"] == 2
    broker.fail("Produce", 87)
    for _ in range(7):
        producer.send("t", b"x")
    producer.flush(timeout=10)
    assert of(producer)["record-error-total"] == of(producer, "producer-topic-metrics.t")["record-error-total"] == 7
    for _ in range(100):
        producer.send("t", bytes(100))
    producer.flush(timeout=10)
    assert of(producer)["batch-split-total"] >= 1
    assert of(producer)["record-error-total"] == 7


def test_waiting_threads_and_requests_in_flight(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, buffer_memory=32_768, max_block_ms=10_000)
    producer.send("t", b"x").get(timeout=10)
    broker.hold("Produce")

    def fill() -> None:
        for _ in range(10):
            producer.send("t", bytes(6000))

    thread = threading.Thread(target=fill)
    thread.start()
    figures = of(producer)
    deadline = time.monotonic() + 20
    while not (figures["waiting-threads"] and figures["requests-in-flight"]) and time.monotonic() < deadline:
        time.sleep(0.01)
        figures = of(producer)
    assert figures["waiting-threads"] == 1
    assert figures["requests-in-flight"] >= 1
    assert figures["buffer-available-bytes"] < 8192
    broker.release()
    thread.join(10)
    producer.flush(timeout=10)
    assert of(producer)["waiting-threads"] == 0
    assert of(producer)["bufferpool-wait-time-ns-total"] > 0


def test_switched_off_and_after_close(broker: EmbeddedBroker, make: Make) -> None:
    assert make(broker, metrics_enabled=False).metrics() is None
    producer = make(broker)
    assert of(producer)["record-send-total"] == 0
    producer.close()
    assert producer.metrics() == {}
    assert producer.metrics(raw=True) == {}


def test_raw_metrics_are_read_like_kafka_pythons(broker: EmbeddedBroker, make: Make) -> None:
    ours = make(broker)
    theirs = kafka.KafkaProducer(bootstrap_servers=broker.address)
    read = []
    for producer in (ours, theirs):
        for _ in range(3):
            producer.send("t", b"x").get(10)
        raw = producer.metrics(raw=True)
        assert all(name is metric.metric_name or name == metric.metric_name for name, metric in raw.items())
        assert all(isinstance(metric.value(), (int, float)) for metric in raw.values())
        assert {name.tags["client-id"] for name in raw if name.group == "producer-metrics"} == {
            producer.config["client_id"]}
        read.append({(name.group, name.name) for name in raw if "bootstrap" not in name.group})
    theirs.close()
    assert read[1] <= read[0]
    values = {name.name: metric.value() for name, metric in ours.metrics(raw=True).items()
              if name.group == "producer-topic-metrics.t"}
    assert values["record-send-total"] == 3


def test_from_many_threads_while_it_works(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    failures: list[BaseException] = []
    stop = threading.Event()

    def look() -> None:
        try:
            while not stop.is_set():
                producer.metrics()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(2000):
        producer.send("t", b"x", partition=i % 4)
    producer.flush(timeout=20)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert failures == []
    assert of(producer)["record-send-total"] == 2000
