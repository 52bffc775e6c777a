# SPDX-License-Identifier: Apache-2.0
"""From counters to kafka-python's metrics: pure functions over snapshots, and the window that keeps the snapshots.

The C library only counts; rates, averages and maxima are made here when somebody asks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict, cast

#: ``{group: {name: value}}``
Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class MetricName:
    """What a metric is called, as kafka-python has it: the keys of ``metrics(raw=True)``."""

    name: str
    group: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class KafkaMetric:
    """A metric of ``metrics(raw=True)``, with the value it had then."""

    metric_name: MetricName
    reading: float

    def value(self, time_ms: float | None = None) -> float:
        """The reading; ``time_ms`` is accepted for kafka-python's sake."""
        return self.reading


class TopicCounters(TypedDict, total=False):
    """Counts of one topic since the producer began."""

    records_sent: int
    batch_bytes: int
    record_bytes: int
    packed_bytes: int
    records_retried: int
    records_failed: int


class NodeCounters(TypedDict, total=False):
    """Counts of one broker since the producer began; meanings as in :class:`CounterSample`."""

    requests: int
    request_bytes: int
    request_size_max: int
    responses: int
    response_bytes: int
    request_latency_ns_sum: int
    request_latency_ns_max: int
    throttle_ms_sum: int
    throttle_ms_max: int
    throttle_count: int


class CounterSample(TypedDict, total=False):
    """The counters at one moment. What is missing is 0.

    Everything counts up from the producer's beginning, with two exceptions: ``*_max`` is the largest value since the
    counters were last read, and ``connection_count``, ``in_flight``, ``buffer_total``, ``buffer_available``,
    ``buffer_waiting_threads`` and ``metadata_age_s`` are as they are now.
    """

    records_sent: int  # each attempt counts
    record_bytes: int  # of those records, encoded, without batch headers and before compression
    packed_bytes: int  # of the same as they were sent; equal to record_bytes if missing
    record_size_max: int
    records_retried: int
    records_failed: int
    batches: int
    batch_bytes: int  # as sent
    packing_ns: int  # spent in codecs, all threads together
    incompressible: int  # batches sent uncompressed because a codec made them no smaller
    batch_size_max: int
    batches_retried: int
    splits: int
    queue_time_ns_sum: int  # from a batch's first record to its being framed
    queue_time_ns_max: int
    requests: int
    request_bytes: int
    request_size_max: int
    responses: int
    response_bytes: int
    request_latency_ns_sum: int
    request_latency_ns_max: int
    throttle_ms_sum: int
    throttle_ms_max: int
    throttle_count: int  # responses that told of throttling
    connections_created: int
    connections_closed: int
    connection_count: int
    in_flight: int
    buffer_total: int
    buffer_available: int
    buffer_waiting_threads: int
    buffer_exhausted: int
    buffer_wait_ns: int
    flush_ns: int  # spent in flush(), all threads together
    metadata_wait_ns: int  # spent by sends that waited for metadata, and got it
    metadata_age_s: float
    per_topic: Mapping[str, TopicCounters]
    per_node: Mapping[int, NodeCounters]


class Sample(NamedTuple):
    """Counters and the monotonic time, in seconds, at which they were read."""

    at: float
    counters: Mapping[str, Any]


class _Span:
    """What happened between the first of several samples and the last, in one flat set of counters."""

    def __init__(self, seconds: float, samples: Sequence[Mapping[str, Any]]) -> None:
        self._seconds = seconds
        self._samples = samples

    def total(self, key: str) -> float:
        return float(self._samples[-1].get(key, 0))

    def delta(self, key: str) -> float:
        return self.total(key) - float(self._samples[0].get(key, 0))

    def rate(self, key: str) -> float:
        """Per second."""
        return self.delta(key) / self._seconds if self._seconds > 0 else 0.0

    def mean(self, amount: str, count: str, scale: float = 1.0) -> float:
        """``amount`` per ``count``; 0 if nothing was counted."""
        number = self.delta(count)
        return self.delta(amount) / number / scale if number > 0 else 0.0

    def peak(self, key: str, scale: float = 1.0) -> float:
        """The first sample's maximum belongs to the time before it."""
        return max((float(sample.get(key, 0)) for sample in self._samples[1:]), default=0.0) / scale

    def compression(self) -> float:
        """Bytes of records sent per byte before compression; 1 without compression, 0 if nothing was sent."""
        plain = self.delta("record_bytes")
        return (self.delta("packed_bytes") or plain) / plain if plain > 0 else 0.0


_NS_PER_MS = 1e6

#: Name of a rate and of its total, without their endings, and the counter.
_PRODUCER_RATES = (
    ("record-send", "records_sent"), ("record-retry", "records_retried"), ("record-error", "records_failed"),
    ("byte", "batch_bytes"), ("batch-split", "splits"), ("batch-retry", "batches_retried"), ("request", "requests"),
    ("response", "responses"), ("outgoing-byte", "request_bytes"), ("incoming-byte", "response_bytes"),
    ("connection-creation", "connections_created"), ("connection-close", "connections_closed"),
    ("buffer-exhausted", "buffer_exhausted"), ("batch-incompressible", "incompressible"),
)
_TOPIC_RATES = (
    ("record-send", "records_sent"), ("record-retry", "records_retried"), ("record-error", "records_failed"),
    ("byte", "batch_bytes"),
)
_NODE_RATES = (
    ("request", "requests"), ("response", "responses"), ("outgoing-byte", "request_bytes"),
    ("incoming-byte", "response_bytes"),
)
_PRODUCER_GAUGES = (
    ("connection-count", "connection_count"), ("requests-in-flight", "in_flight"), ("metadata-age", "metadata_age_s"),
    ("buffer-total-bytes", "buffer_total"), ("buffer-available-bytes", "buffer_available"),
    ("waiting-threads", "buffer_waiting_threads"),
)


def _rates(span: _Span, names: Iterable[tuple[str, str]]) -> dict[str, float]:
    rates = {}
    for name, key in names:
        rates[f"{name}-rate"] = span.rate(key)
        rates[f"{name}-total"] = span.total(key)
    return rates


def _request_metrics(span: _Span) -> dict[str, float]:
    return {
        "request-latency-avg": span.mean("request_latency_ns_sum", "responses", _NS_PER_MS),
        "request-latency-max": span.peak("request_latency_ns_max", _NS_PER_MS),
        "request-size-avg": span.mean("request_bytes", "requests"),
        "request-size-max": span.peak("request_size_max"),
        "throttle-time-avg": span.mean("throttle_ms_sum", "throttle_count"),
        "throttle-time-max": span.peak("throttle_ms_max"),
    }


def _producer_metrics(span: _Span) -> dict[str, float]:
    metrics = _rates(span, _PRODUCER_RATES) | _request_metrics(span)
    metrics |= {name: span.total(key) for name, key in _PRODUCER_GAUGES}
    metrics |= {
        "batch-size-avg": span.mean("batch_bytes", "batches"),
        "batch-size-max": span.peak("batch_size_max"),
        "record-size-avg": span.mean("record_bytes", "records_sent"),
        "record-size-max": span.peak("record_size_max"),
        "record-queue-time-avg": span.mean("queue_time_ns_sum", "batches", _NS_PER_MS),
        "record-queue-time-max": span.peak("queue_time_ns_max", _NS_PER_MS),
        "records-per-request-avg": span.mean("records_sent", "requests"),
        "compression-rate-avg": span.compression(),
        "compression-time-ns-total": span.total("packing_ns"),
        "network-io-rate": span.rate("requests") + span.rate("responses"),
        "network-io-total": span.total("requests") + span.total("responses"),
        "bufferpool-wait-ratio": span.rate("buffer_wait_ns") / 1e9,
        "bufferpool-wait-time-ns-total": span.total("buffer_wait_ns"),
        "flush-time-ns-total": span.total("flush_ns"),
        "metadata-wait-time-ns-total": span.total("metadata_wait_ns"),
    }
    return metrics


def _topic_metrics(span: _Span) -> dict[str, float]:
    return _rates(span, _TOPIC_RATES) | {"compression-rate": span.compression()}


def _node_metrics(span: _Span) -> dict[str, float]:
    return _rates(span, _NODE_RATES) | _request_metrics(span)


def render(samples: Sequence[Sample], now: Sample) -> Metrics:
    """Metrics under kafka-python's groups and names, from the oldest sample to now.

    Times are in milliseconds, sizes in bytes, rates per second, ``metadata-age`` in seconds. Every ``-rate`` has a
    ``-total`` beside it, counted from the producer's beginning. What has not happened is 0.

    Args:
        samples: earlier snapshots, oldest first; none if ``now`` is the first.
        now: the latest snapshot.
    """
    line = [*(sample.counters for sample in samples), now.counters]
    seconds = now.at - samples[0].at if samples else 0.0
    if not samples:
        line.insert(0, {})

    def span(group: str, name: object) -> _Span:
        return _Span(seconds, [counters.get(group, {}).get(name, {}) for counters in line])

    metrics: Metrics = {"producer-metrics": _producer_metrics(_Span(seconds, line))}
    for topic in sorted(now.counters.get("per_topic", ())):
        metrics[f"producer-topic-metrics.{topic}"] = _topic_metrics(span("per_topic", topic))
    for node in sorted(now.counters.get("per_node", ())):
        metrics[f"producer-node-metrics.node-{node}"] = _node_metrics(span("per_node", node))
    metrics["kafka-metrics-count"] = {"count": float(sum(map(len, metrics.values())) + 1)}
    return metrics


def raw_metrics(metrics: Metrics, client_id: str) -> dict[MetricName, KafkaMetric]:
    """The same metrics in one flat mapping, in the shape of kafka-python's ``metrics(raw=True)``."""
    names = {MetricName(name, group, tags={"client-id": client_id}): value
             for group, values in metrics.items() for name, value in values.items()}
    return {name: KafkaMetric(name, value) for name, value in names.items()}


class MetricsWindow:
    """Keeps the snapshots over which metrics are taken.

    Feed it with :meth:`observe` about once per ``sample_window_ms``. If that happens less often, rates and averages
    reach further back. Not thread-safe.

    Args:
        num_samples: how many samples to look back (``metrics_num_samples``).
        sample_window_ms: how long a sample is (``metrics_sample_window_ms``).
        clock: monotonic seconds.
    """

    def __init__(self, num_samples: int = 2, sample_window_ms: float = 30000,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._window = sample_window_ms / 1000
        self._reach = num_samples * self._window
        self._clock = clock
        self._samples: deque[Sample] = deque([Sample(clock(), {})])
        self._peaks: dict[str, Any] = {}

    def observe(self, counters: CounterSample) -> Sample:
        """Take note of the counters, and return them with the maxima of the sample that is still open."""
        now = self._clock()
        self._peaks = _merge_peaks(self._peaks, counters)
        sample = Sample(now, _with_peaks(counters, self._peaks))
        if now - self._samples[-1].at >= self._window:
            self._samples.append(sample)
            self._peaks = {}
        while len(self._samples) > 1 and self._samples[1].at <= now - self._reach:
            self._samples.popleft()
        return sample

    def metrics(self, counters: CounterSample) -> Metrics:
        """Take note of the counters and render the metrics of the window that ends with them."""
        now = self.observe(counters)
        earlier = [sample for sample in self._samples if sample is not now]
        return render(earlier, now)


def _merge_peaks(peaks: Mapping[str, Any], counters: Mapping[str, Any]) -> dict[str, Any]:
    """The larger of both for every ``*_max``, in the groups too."""
    merged = dict(peaks)
    for key, value in counters.items():
        if key.endswith("_max"):
            merged[key] = max(merged.get(key, 0), value)
        elif isinstance(value, Mapping):
            group = merged.get(key, {})
            merged[key] = group | {name: _merge_peaks(group.get(name, {}), inner) for name, inner in value.items()}
    return merged


def _with_peaks(counters: CounterSample, peaks: Mapping[str, Any]) -> Mapping[str, Any]:
    """A copy of the counters with these maxima in place of theirs."""
    result: dict[str, Any] = dict(cast(Mapping[str, Any], counters))
    for key, value in peaks.items():
        if isinstance(value, Mapping):
            own = result.get(key, {})
            result[key] = {name: {**own.get(name, {}), **inner} for name, inner in value.items()}
        else:
            result[key] = value
    return result
