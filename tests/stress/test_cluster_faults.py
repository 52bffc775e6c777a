# SPDX-License-Identifier: Apache-2.0
"""Real Kafka, three nodes, replication 3: nodes killed, frozen, stopped, elected, and a network that misbehaves.

Every acknowledged record is there exactly once, each thread's in order within a partition; one that failed is not
there unless its error says that it may be; every outcome is told and all memory is back.
"""

from collections.abc import Callable

import pytest

from tools.brokers.kafka import KafkaCluster
from tools.relay import Relay
from tools.soak.trial import Plan, run

pytestmark = [pytest.mark.stress, pytest.mark.cluster, pytest.mark.timeout(600)]

NewTopic = Callable[[int], str]


def codec(seed: int) -> dict[str, str]:
    """Options with one of the codecs, or none."""
    drawn = {"compression_type": ["none", "gzip", "snappy", "lz4", "zstd"][seed % 5]}
    print(drawn)
    return drawn


def test_three_hundred_thousand_through_five_kills(shaken: KafkaCluster, topic: NewTopic, seed: int) -> None:
    result = run(Plan(records=300_000, kills=5, rate=6_000, seed=seed), shaken, topic(6))
    print(result.line())
    assert result.problems == []
    assert result.acknowledged == result.sent >= 300_000
    assert result.faults["kill"] >= 5


def test_a_network_that_misbehaves(shaken: KafkaCluster, topic: NewTopic, relay: Relay, seed: int) -> None:
    """And kills meanwhile; there is time enough for everything to be delivered."""
    cuts = relay.cuts
    plan = Plan(records=40_000, kills=2, rate=2_000, seed=seed, options=codec(seed))
    result = run(plan, shaken, topic(6), relay)
    print(result.line())
    assert result.problems == []
    assert result.acknowledged == result.sent >= 40_000
    assert sum(result.faults.values()) >= 6
    assert relay.cuts >= cuts


def test_too_little_time(shaken: KafkaCluster, topic: NewTopic, relay: Relay, seed: int) -> None:
    """Records expire in the buffer, in flight and between retries; what was acknowledged is right all the same."""
    options = {"delivery_timeout_ms": 1_200, "request_timeout_ms": 600, "max_block_ms": 500, **codec(seed)}
    result = run(Plan(records=30_000, kills=2, rate=2_000, seed=seed, options=options), shaken, topic(6), relay)
    print(result.line(), result.errors)
    assert result.problems == []
    assert result.acknowledged >= 3_000
    assert result.failed + result.in_doubt >= 1


def test_the_other_client_on_the_same_cluster(shaken: KafkaCluster, topic: NewTopic, seed: int) -> None:
    """confluent-kafka's idempotent producer: if this fails too, look at the brokers or at the audit."""
    result = run(Plan(records=30_000, kills=1, rate=3_000, seed=seed, client="confluent-kafka"), shaken, topic(6))
    print(result.line())
    assert result.problems == []
    assert result.acknowledged >= 30_000
