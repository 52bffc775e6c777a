# SPDX-License-Identifier: Apache-2.0
"""Metrics from counters, with a clock that stands still until it is told."""

from __future__ import annotations

import time
from typing import Any

import kafka
import pytest

from pykafka_fast.metrics import CounterSample, MetricsWindow, Sample, render

#: What kafka-python 3.0 reports in its group producer-metrics, and in those of topics and nodes.
PRODUCER_NAMES = """
    batch-size-avg batch-size-max byte-rate compression-rate-avg connection-close-rate connection-count
    connection-creation-rate incoming-byte-rate outgoing-byte-rate metadata-age network-io-rate record-error-rate
    record-queue-time-avg record-queue-time-max record-retry-rate record-send-rate record-size-avg record-size-max
    records-per-request-avg request-latency-avg request-latency-max request-rate request-size-avg request-size-max
    requests-in-flight response-rate throttle-time-avg throttle-time-max""".split()
TOPIC_NAMES = "byte-rate compression-rate record-error-rate record-retry-rate record-send-rate".split()
NODE_NAMES = """incoming-byte-rate outgoing-byte-rate request-latency-avg request-latency-max request-rate
    request-size-avg request-size-max response-rate throttle-time-avg throttle-time-max""".split()

BEFORE: CounterSample = {
    "records_sent": 100, "record_bytes": 1000, "batches": 10, "batch_bytes": 2000, "requests": 5, "responses": 5,
    "request_latency_ns_sum": 50_000_000, "request_latency_ns_max": 999_000_000, "buffer_wait_ns": 0,
    "per_topic": {"a": {"records_sent": 100}}, "per_node": {1: {"requests": 5}},
}
AFTER: CounterSample = {
    "records_sent": 400, "record_bytes": 7000, "record_size_max": 77, "records_retried": 20, "records_failed": 10,
    "batches": 30, "batch_bytes": 8000, "packed_bytes": 3000, "packing_ns": 12345, "incompressible": 20,
    "batch_size_max": 900, "splits": 2, "batches_retried": 4,
    "queue_time_ns_sum": 200_000_000, "queue_time_ns_max": 30_000_000, "requests": 15,
    "request_bytes": 9000, "request_size_max": 1200, "responses": 13, "response_bytes": 500,
    "request_latency_ns_sum": 130_000_000, "request_latency_ns_max": 40_000_000, "throttle_ms_sum": 60,
    "throttle_ms_max": 50, "throttle_count": 2, "connections_created": 4, "connections_closed": 1,
    "connection_count": 3, "in_flight": 2, "buffer_total": 1000, "buffer_available": 900,
    "buffer_waiting_threads": 1, "buffer_exhausted": 5, "buffer_wait_ns": 5_000_000_000, "metadata_age_s": 1.5,
    "per_topic": {"a": {"records_sent": 300, "batch_bytes": 6000, "record_bytes": 5000},
                  "b": {"records_sent": 100, "batch_bytes": 111, "record_bytes": 100, "packed_bytes": 50}},
    "per_node": {1: {"requests": 10, "request_latency_ns_max": 7_000_000}, -1: {"requests": 5}},
}


def rendered() -> dict[str, dict[str, float]]:
    return render([Sample(100.0, BEFORE)], Sample(110.0, AFTER))


@pytest.mark.parametrize(("name", "value"), [
    ("record-send-rate", 30.0), ("record-send-total", 400), ("record-retry-rate", 2.0), ("record-error-rate", 1.0),
    ("record-error-total", 10), ("byte-rate", 600.0), ("batch-size-avg", 300.0), ("batch-size-max", 900),
    ("batch-split-total", 2), ("batch-retry-rate", 0.4), ("record-size-avg", 20.0), ("record-size-max", 77),
    ("record-queue-time-avg", 10.0), ("record-queue-time-max", 30.0), ("records-per-request-avg", 30.0),
    ("compression-rate-avg", 0.5), ("compression-time-ns-total", 12345), ("batch-incompressible-rate", 2.0),
    ("batch-incompressible-total", 20), ("request-latency-avg", 10.0), ("request-latency-max", 40.0),
    ("request-rate", 1.0), ("request-size-avg", 900.0), ("request-size-max", 1200), ("response-rate", 0.8),
    ("requests-in-flight", 2),
    ("outgoing-byte-rate", 900.0), ("incoming-byte-rate", 50.0), ("network-io-rate", 1.8), ("network-io-total", 28),
    ("throttle-time-avg", 30.0), ("throttle-time-max", 50), ("connection-count", 3), ("connection-creation-rate", 0.4),
    ("connection-close-total", 1), ("metadata-age", 1.5), ("buffer-total-bytes", 1000), ("buffer-available-bytes", 900),
    ("waiting-threads", 1), ("buffer-exhausted-rate", 0.5), ("buffer-exhausted-total", 5),
    ("bufferpool-wait-ratio", 0.5), ("bufferpool-wait-time-ns-total", 5_000_000_000),
])
def test_producer_metrics(name: str, value: float) -> None:
    assert rendered()["producer-metrics"][name] == pytest.approx(value)


def test_each_topic_and_node_has_its_group() -> None:
    metrics = rendered()
    assert metrics["producer-topic-metrics.a"]["record-send-rate"] == 20.0
    assert metrics["producer-topic-metrics.a"]["compression-rate"] == 1.0
    assert metrics["producer-topic-metrics.b"]["record-send-rate"] == 10.0
    assert metrics["producer-topic-metrics.b"]["compression-rate"] == 0.5
    assert metrics["producer-node-metrics.node-1"]["request-rate"] == 0.5
    assert metrics["producer-node-metrics.node-1"]["request-latency-max"] == 7.0
    assert metrics["producer-node-metrics.node--1"]["request-total"] == 5


def test_kafka_pythons_names_are_all_there() -> None:
    metrics = rendered()
    assert set(PRODUCER_NAMES) <= set(metrics["producer-metrics"])
    assert set(TOPIC_NAMES) <= set(metrics["producer-topic-metrics.a"])
    assert set(NODE_NAMES) <= set(metrics["producer-node-metrics.node-1"])


def test_a_live_kafka_python_producer_has_no_name_we_lack() -> None:
    peer = kafka.KafkaProducer(api_version=(2, 8), bootstrap_servers="127.0.0.1:1")
    try:
        theirs = peer.metrics()["producer-metrics"]
    finally:
        peer.close(timeout=0)
    assert theirs
    assert set(theirs) <= set(rendered()["producer-metrics"])


def test_all_metrics_are_counted() -> None:
    metrics = rendered()
    assert metrics["kafka-metrics-count"]["count"] == sum(map(len, metrics.values()))


def test_all_values_are_floats() -> None:
    assert {type(value) for group in rendered().values() for value in group.values()} == {float}


def test_nothing_yet_is_zero_everywhere() -> None:
    for metrics in (render([], Sample(5.0, {})), render([Sample(5.0, {})], Sample(5.0, {})),
                    render([Sample(0.0, {})], Sample(5.0, {"per_topic": {"a": {}}, "per_node": {1: {}}}))):
        del metrics["kafka-metrics-count"]
        assert {value for group in metrics.values() for value in group.values()} == {0.0}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def window(clock: Clock, num_samples: int = 2) -> MetricsWindow:
    return MetricsWindow(num_samples, 10_000, clock)


def producer(metrics: Any) -> dict[str, float]:
    result: dict[str, float] = metrics["producer-metrics"]
    return result


def test_rates_begin_with_the_producer() -> None:
    clock = Clock()
    metrics = window(clock)
    assert producer(metrics.metrics({"records_sent": 5}))["record-send-rate"] == 0.0
    clock.now += 2
    assert producer(metrics.metrics({"records_sent": 50}))["record-send-rate"] == 25.0


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_rates_follow_the_window(num_samples: int) -> None:
    clock = Clock()
    metrics = window(clock, num_samples)
    sent = 0
    for _ in range(20):  # 100 a second, then nothing
        clock.now += 10
        sent += 1000
        metrics.observe({"records_sent": sent})
    assert producer(metrics.metrics({"records_sent": sent}))["record-send-rate"] == pytest.approx(100.0)
    for _ in range(num_samples):
        clock.now += 10
        metrics.observe({"records_sent": sent})
    assert producer(metrics.metrics({"records_sent": sent}))["record-send-rate"] == 0.0
    assert producer(metrics.metrics({"records_sent": sent}))["record-send-total"] == sent


def test_memory_is_bounded_by_the_number_of_samples() -> None:
    clock = Clock()
    metrics = window(clock, 3)
    for _ in range(1000):
        clock.now += 1
        metrics.observe({"records_sent": 1})
    assert len(metrics._samples) <= 3 + 2


def test_maxima_are_kept_over_readings_and_forgotten_with_the_window() -> None:
    clock = Clock()
    metrics = window(clock)
    clock.now += 1
    first: CounterSample = {"batch_size_max": 500, "per_topic": {"a": {}}, "per_node": {1: {"request_size_max": 70}}}
    later: CounterSample = {"batch_size_max": 20, "per_topic": {"a": {}}, "per_node": {1: {"request_size_max": 3}}}
    metrics.observe(first)
    for _ in range(25):
        assert producer(metrics.metrics(later))["batch-size-max"] == 500
        assert metrics.metrics(later)["producer-node-metrics.node-1"]["request-size-max"] == 70
        clock.now += 0.8
    for _ in range(3):
        clock.now += 10
        metrics.observe(later)
    assert producer(metrics.metrics(later))["batch-size-max"] == 20
    assert metrics.metrics(later)["producer-node-metrics.node-1"]["request-size-max"] == 3


def test_a_topic_that_appears_later_begins_at_zero() -> None:
    clock = Clock()
    metrics = window(clock)
    clock.now += 10
    metrics.observe({})
    clock.now += 10
    result = metrics.metrics({"per_topic": {"new": {"records_sent": 40}}})
    assert result["producer-topic-metrics.new"]["record-send-rate"] == 2.0


def test_the_clock_is_monotonic_by_default() -> None:
    assert abs(MetricsWindow().observe({}).at - time.monotonic()) < 60


def test_the_callers_counters_are_left_alone() -> None:
    clock = Clock()
    metrics = window(clock)
    mine: CounterSample = {"batch_size_max": 5, "per_node": {1: {"request_size_max": 9}}}
    metrics.metrics(mine)
    mine["batch_size_max"] = 1
    metrics.metrics(mine)
    assert mine == {"batch_size_max": 1, "per_node": {1: {"request_size_max": 9}}}
