# SPDX-License-Identifier: Apache-2.0
"""The built-in partitioner: where records without a key go.

Java's draws are checked with a scripted source of random numbers. Ours has its own, so frequencies are looked at over
many draws, with bounds that chance oversteps less than once in a million runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaConfigurationError
from tests.core.stage import Stage, accumulator

BATCH = 1000
DRAWS = 20_000
BOUND = 0.03  # of a share; the largest standard deviation of one is 0.0036, and headers weigh a little


def draws(topic: Any, count: int = DRAWS) -> Counter[int]:
    """So many choices: each record fills what a partition takes before the next choice."""
    return Counter(topic.place(None, bytes(BATCH)) for _ in range(count))


def shares(counts: Counter[int]) -> dict[int, float]:
    return {partition: count / counts.total() for partition, count in counts.items()}


def about(weights: dict[int, float]) -> Any:
    total = sum(weights.values())
    return pytest.approx({partition: weight / total for partition, weight in weights.items()}, abs=BOUND)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Nothing leaves it, so that queues stay as the test fills them."""
    made = Stage(partitions=3, linger_ms=60_000.0, batch_size=BATCH, batch_max_size=BATCH)
    yield made
    made.end()


def queue(stage: Stage, batches: dict[int, int]) -> None:
    """So many batches of about batch_size wait in these partitions, and an open one, which does not count yet."""
    for partition, count in batches.items():
        for _ in range(count + 1):
            stage.append(bytes(BATCH - 80), partition=partition)


@pytest.mark.parametrize("adaptive", [True, False])
def test_bi01_a_choice_holds_for_a_batch(adaptive: bool) -> None:
    """A choice stays until batch_size bytes went there; then chance makes another, which may be the same."""
    topic = accumulator(batch_size=BATCH, adaptive=adaptive).topic("t")
    topic.set_route([1] * 1000)
    for size in (100, 250, 999):
        placed = [topic.place(None, bytes(size)) for _ in range(200)]
        stay = -(-BATCH // size)
        first = next(n for n, (a, b) in enumerate(pairwise(placed), 1) if a != b)
        chosen = placed[first % stay :: stay]
        assert placed[first % stay :] == [it for it in chosen for _ in range(stay)][: len(placed) - first % stay]
        assert len(set(chosen)) > 10


@pytest.mark.parametrize("adaptive", [True, False])
def test_bi02_partitions_without_a_leader_are_not_chosen(adaptive: bool) -> None:
    """While any partition has a leader, those without are not chosen; the others alike."""
    topic = accumulator(batch_size=BATCH, adaptive=adaptive).topic("t")
    topic.set_route([1, -1, 2, -1])
    assert shares(draws(topic)) == about({0: 1, 2: 1})


@pytest.mark.parametrize("partitioner", ["sticky", "round_robin", "random"])
def test_bi03_the_only_partition_with_a_leader(partitioner: str) -> None:
    """If one partition alone has a leader, everything goes there."""
    topic = accumulator(batch_size=BATCH, partitioner=partitioner).topic("t")
    topic.set_route([-1, -1, 7, -1])
    assert set(draws(topic, 500)) == {2}


@pytest.mark.parametrize("partitioner", ["sticky", "round_robin", "random"])
def test_bi04_no_partition_with_a_leader(partitioner: str) -> None:
    """If no partition has a leader, any may be chosen."""
    topic = accumulator(batch_size=BATCH, partitioner=partitioner).topic("t")
    topic.set_route([-1] * 4)
    assert set(draws(topic, 500)) == {0, 1, 2, 3}


def test_bi05_frequencies_follow_the_weights(stage: Stage) -> None:
    """A partition's share is the longest queue and one, less its own queue: of 0, 3 and 1 waiting, 4 : 1 : 3.

    Queues count in bytes here and in batches in Java; batch_size bytes are what one batch is there.
    """
    assert shares(draws(stage.topic)) == about({0: 1, 1: 1, 2: 1})
    queue(stage, {1: 3, 2: 1})
    assert shares(draws(stage.topic)) == about({0: 4, 1: 1, 2: 3})


def test_bi06_partitions_without_a_leader_have_no_weight(stage: Stage) -> None:
    """The longest queue counts only where there is a leader: without it, 0 and 1 waiting weigh 2 : 1."""
    queue(stage, {1: 3, 2: 1})
    stage.topic.set_route([1, -1, 1])
    assert shares(draws(stage.topic)) == about({0: 2, 2: 1})


def test_bi07_a_batch_size_of_nothing() -> None:
    """Batches of one byte are possible, of zero mean the same, of less are refused.

    Java's partitioner refuses zero, which it never sees, because the producer makes it one as ours does.
    """
    for size in (0, 1):
        topic = accumulator(batch_size=size).topic("t")
        topic.set_route([1] * 1000)
        assert len({topic.place(None, b"v") for _ in range(100)}) > 50
    with pytest.raises(KafkaConfigurationError, match="batch_size"):
        KafkaProducer(batch_size=-1)
