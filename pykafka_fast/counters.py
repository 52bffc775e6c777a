# SPDX-License-Identifier: Apache-2.0
"""Gathers the counters of accumulator, pool, wire and metadata into one sample, from which metrics are taken."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import cast

from ._core.accumulator import Accumulator
from ._core.wire import Wire
from .metadata import MetadataCache
from .metrics import CounterSample, NodeCounters, TopicCounters

# Names in the wire's counters that the sample spells differently.
_SPELLED = {
    "request_latency_ns": "request_latency_ns_sum",
    "queue_time_ns": "queue_time_ns_sum",
    "raw_bytes": "record_bytes",
    "throttle_ms": "throttle_ms_sum",
    "connections": "connection_count",
}
_NODE_SPELLED = {
    "latency_ns": "request_latency_ns_sum",
    "latency_max_ns": "request_latency_ns_max",
    "throttle_ms": "throttle_ms_sum",
    "throttle_max_ms": "throttle_ms_max",
}


def _spelled(counters: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    return {names.get(name, name): value for name, value in counters.items()}


def _topics(accumulator: Accumulator, send_errors: Mapping[str, int]) -> dict[str, TopicCounters]:
    topics = {}
    for name, counters in accumulator.topic_counters().items():
        failed = counters["records_failed"] + send_errors.get(name, 0)
        topics[name] = TopicCounters(
            records_sent=counters["records_sent"], batch_bytes=counters["bytes_sent"],
            record_bytes=counters["raw_bytes"], packed_bytes=counters["packed_bytes"],
            records_retried=counters["records_retried"], records_failed=failed)
    return topics


def sample(accumulator: Accumulator, wire: Wire, metadata: MetadataCache,
           send_errors: Mapping[str, int]) -> CounterSample:
    """All counters now. Maxima are taken: the next sample's begin anew.

    Args:
        send_errors: by topic, how many send() calls failed before anything was appended.
    """
    pool = accumulator.pool_stats()
    counters = _spelled(wire.counters(), _SPELLED)
    updated = metadata.last_success_ns
    counters["records_failed"] += sum(send_errors.values())
    counters |= {
        "buffer_total": pool["budget"],
        "buffer_available": pool["available"],
        "buffer_waiting_threads": pool["waiting"],
        "buffer_exhausted": pool["exhausted"],
        "buffer_wait_ns": pool["wait_ns"],
    }
    result = cast(CounterSample, counters)
    result["metadata_age_s"] = 0.0 if updated is None else (time.monotonic_ns() - updated) / 1e9
    result["per_topic"] = _topics(accumulator, send_errors)
    result["per_node"] = {
        node: cast(NodeCounters, _spelled(figures, _NODE_SPELLED)) for node, figures in wire.node_counters().items()}
    return result
