# SPDX-License-Identifier: Apache-2.0
"""Where records go: keys as other clients place them, built-in choices, and partitioners of the user's."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import pytest
from kafka.partitioner import DefaultPartitioner, StickyPartitioner
from kafka.partitioner.default import murmur2 as kafka_python_murmur2

from pykafka_fast import KafkaProducer, Partitioner
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker, check_balance
from tools.brokers.processes import wait_for

TIMEOUT_S = 10.0
HASHED: list[tuple[bytes, int]] = [  # with 100 partitions, by the specification's table
    (b"21", 40), (b"foobar", 66), (b"a-little-bit-long-string", 12), (b"abc", 7), (b"", 81), (b"\0", 88), (b"\xff", 63),
    ("héllo 世界".encode(), 61), (bytes(range(256)), 74), (b"1234567890" * 10, 25),
]  # fmt: skip


def placed(producer: KafkaProducer, count: int, size: int = 10) -> list[int]:
    """The partitions of `count` keyless records, in order."""
    return [producer.send("t", bytes(size)).topic_partition[1] for _ in range(count)]


def runs(partitions: Sequence[int]) -> list[int]:
    """Lengths of the stretches on one partition."""
    borders = [0, *(n for n, (a, b) in enumerate(pairwise(partitions), 1) if a != b), len(partitions)]
    return [after - before for before, after in pairwise(borders)]


# ---- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitioner", ["sticky", "round_robin", "random"])
def test_keys_by_murmur2(partitioner: str, start_broker: StartBroker, make: Make) -> None:
    producer = make(start_broker(topics={"t": 100}), partitioner=partitioner)
    for _ in range(2):
        assert [producer.send("t", b"v", key=key).get(TIMEOUT_S).partition for key, _ in HASHED] == [
            partition for _, partition in HASHED
        ]


@pytest.mark.parametrize("partitions", [1, 3, 7, 12])
def test_keys_go_where_kafka_python_puts_them(partitions: int, start_broker: StartBroker, make: Make) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    producer = make(start_broker(topics={"t": partitions}))
    for _ in range(300):
        key = source.randbytes(source.randrange(40))
        expected = (kafka_python_murmur2(key) & 0x7FFFFFFF) % partitions
        assert producer.send("t", b"v", key=key).topic_partition[1] == expected
        assert producer.send("t", b"v", key=memoryview(key)).topic_partition[1] == expected
    producer.flush(TIMEOUT_S)


def test_kafka_pythons_partitioner_as_a_custom_one(broker: EmbeddedBroker, make: Make) -> None:
    theirs, ours = make(broker, partitioner=DefaultPartitioner()), make(broker)
    for n in range(100):
        key = b"key-%d" % n
        assert theirs.send("t", b"v", key=key).topic_partition == ours.send("t", b"v", key=key).topic_partition
    assert {theirs.send("t", b"v").get(TIMEOUT_S).partition for _ in range(100)} == {0, 1, 2, 3}


def test_kafka_pythons_sticky_one_is_told_of_new_batches(start_broker: StartBroker, make: Make) -> None:
    """KIP-480, as kafka-python does it: before a keyless record would begin a batch."""
    producer = make(start_broker(topics={"t": 4}), partitioner=StickyPartitioner(), linger_ms=60_000)
    assert len({*placed(producer, 50)}) == 1
    visited = set()
    for _ in range(60):
        visited.add(placed(producer, 1)[0])
        producer.flush(TIMEOUT_S)
    assert len(visited) == 4
    first, second = (producer.send("t", b"v", key=b"key").topic_partition[1] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("headers", [None, [("h", bytes(500))]])
def test_of_each_new_batch_while_nothing_leaves(headers: Any, start_broker: StartBroker, make: Make) -> None:
    """A batch without room for the record is as good as closed."""

    class Counting(StickyPartitioner):  # type: ignore[misc]  # it has no types
        told = 0

        def on_new_batch(self, topic: str, cluster: Any, partition: int) -> None:
            self.told += 1
            super().on_new_batch(topic, cluster, partition)

    broker, sticky = start_broker(topics={"t": 4}), Counting()
    producer = make(broker, partitioner=sticky, batch_size=16_384, batch_max_size=16_384, linger_ms=60_000)
    producer.partitions_for("t")
    broker.hold("Produce")
    futures = [producer.send("t", bytes(1000 if headers is None else 500), headers=headers) for _ in range(800)]
    broker.release()
    producer.flush(TIMEOUT_S)
    assert 800 // 16 <= len(broker.batches("t")) == sticky.told < 800 // 14
    assert all(broker.record_count("t", partition) > 0 for partition in range(4))
    assert len({future.get(0).partition for future in futures}) == 4


def test_it_is_shown_the_topic_that_was_waited_for(start_broker: StartBroker, make: Make) -> None:
    """Though metadata has lost it while the serializer was at work."""
    broker = start_broker(topics={"t": 4})

    def serialize(value: bytes) -> bytes:
        if value == b"second":
            rule = broker.fail("Metadata", 3, topic="t", times=None)
            wait_for(lambda: producer._lifecycle.metadata.snapshot.topic("t") is None, "the topic's end", TIMEOUT_S)
            rule.cancel()
        return value

    def choose(key: Any, every: list[int], available: list[int]) -> int:
        return max(every)

    producer = make(broker, value_serializer=serialize, partitioner=choose, metadata_max_age_ms=100)
    for value in (b"first", b"second"):
        assert producer.send("t", value).get(TIMEOUT_S).partition == 3


def test_a_partition_that_only_the_partitioner_knows_yet(
    start_broker: StartBroker, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is there before the accumulator knows of it: the record waits for that, too."""
    broker = start_broker(topics={"t": 1})
    producer = make(broker, partitioner=lambda key, every, available: max(every), metadata_max_age_ms=50)
    assert producer.send("t", b"v").get(TIMEOUT_S).partition == 0
    lifecycle = producer._lifecycle
    publish, wait = lifecycle.metadata._publish, lifecycle.wait_for_topic
    shown, awaited = threading.Event(), threading.Event()

    def publish_late(changes: Any) -> None:
        if changes.routes:
            shown.set()
            awaited.wait(TIMEOUT_S)
        publish(changes)

    def note_and_wait(*args: Any) -> None:
        awaited.set()
        wait(*args)

    monkeypatch.setattr(lifecycle.metadata, "_publish", publish_late)
    monkeypatch.setattr(lifecycle, "wait_for_topic", note_and_wait)
    broker.add_partitions("t", 5)
    assert shown.wait(TIMEOUT_S)
    assert producer.send("t", b"v").get(TIMEOUT_S).partition == 4
    assert awaited.is_set()


@pytest.mark.parametrize("chosen", [8, 2**31, 2**70])
def test_a_sticky_one_that_chooses_what_there_is_not(chosen: int, start_broker: StartBroker, make: Make) -> None:
    class Sticky:
        told = 0

        def __call__(self, key: Any, everything: Any, available: Any) -> int:
            return chosen

        def on_new_batch(self, topic: str, cluster: Any, partition: int) -> None:
            self.told += 1

    sticky = Sticky()
    producer = make(start_broker(topics={"t": 8}), partitioner=sticky)
    with pytest.raises(ValueError, match=f"partition {chosen} of topic 't', which has 8"):
        producer.send("t", b"v")
    assert sticky.told == 0
    producer.send("t", b"v", partition=7).get(TIMEOUT_S)


def test_keys_hash_over_partitions_without_a_leader_too(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 100})
    for partition in range(50, 100):
        broker.leaderless("t", partition)
    producer = make(broker)
    for key, partition in HASHED:
        assert producer.send("t", b"v", key=key).topic_partition[1] == partition
    for partition in range(50, 100):
        broker.move_leader("t", partition, 1)
    producer.flush(TIMEOUT_S)
    assert broker.record_count("t") == len(HASHED)


def test_ignore_keys(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, partitioner="round_robin", partitioner_ignore_keys=True)
    counts = Counter(producer.send("t", b"v", key=b"the same").topic_partition[1] for _ in range(40))
    assert counts == dict.fromkeys(range(4), 10)
    sticky = make(broker, partitioner_ignore_keys=True, batch_size=1000, batch_max_size=1200)
    assert len({sticky.send("t", bytes(100), key=b"the same").topic_partition[1] for _ in range(500)}) > 1


# ---- round robin -----------------------------------------------------------------------------------------------------


def test_round_robin_is_exact(broker: EmbeddedBroker, make: Make) -> None:
    """Every stretch of four has each partition once, from the first record on, keyed records in between or not."""
    starts = set()
    for _ in range(12):
        producer = make(broker, partitioner="round_robin", batch_size=1000)
        partitions = []
        for n in range(400):
            partitions.append(producer.send("t", bytes(100)).topic_partition[1])
            if n % 3 == 0:
                producer.send("t", b"v", key=b"k")
        assert all(b == (a + 1) % 4 for a, b in pairwise(partitions))
        starts.add(partitions[0])
    assert len(starts) > 1  # a random start: one in 4 ** 11 runs has one only


def test_round_robin_takes_partitions_with_a_leader(broker: EmbeddedBroker, make: Make) -> None:
    broker.leaderless("t", 1)
    producer = make(broker, partitioner="round_robin")
    assert Counter(placed(producer, 300)) == {0: 100, 2: 100, 3: 100}
    producer.flush(TIMEOUT_S)


@pytest.mark.parametrize("partitioner", ["sticky", "round_robin", "random"])
def test_without_any_leader_all_partitions_count(partitioner: str, broker: EmbeddedBroker, make: Make) -> None:
    broker.leaderless("t")
    producer = make(broker, partitioner=partitioner, batch_size=1000, batch_max_size=1200)
    partitions = placed(producer, 400, 100)
    assert set(partitions) == {0, 1, 2, 3}
    for partition in range(4):
        broker.move_leader("t", partition, 1)
    producer.flush(TIMEOUT_S)
    assert broker.record_count("t") == 400


# ---- random ----------------------------------------------------------------------------------------------------------


def test_random_is_even(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 10})
    broker.leaderless("t", 9)
    producer = make(broker, partitioner="random")
    count = 9000
    counts = Counter(placed(producer, count))
    assert set(counts) == set(range(9))
    chi_squared = sum((counts[n] - count / 9) ** 2 / (count / 9) for n in range(9))
    assert chi_squared < 40, counts  # 8 degrees of freedom: one in 300,000 runs is above
    producer.flush(TIMEOUT_S)


# ---- sticky ----------------------------------------------------------------------------------------------------------


def test_sticky_stays_for_a_batch(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000, batch_size=10_000, batch_max_size=10_000)
    partitions = placed(producer, 90, 100)  # less than a batch
    assert len(set(partitions)) == 1
    producer.flush(TIMEOUT_S)
    assert len(broker.batches("t")) == 1


def test_sticky_moves_on_when_a_batch_closes_and_enough_went_there(broker: EmbeddedBroker, make: Make) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    producer = make(broker, batch_size=5_000, batch_max_size=20_000)
    producer.partitions_for("t")
    values = [bytes(source.randrange(1000)) for _ in range(5000)]
    partitions = [producer.send("t", value).topic_partition[1] for value in values]
    producer.flush(TIMEOUT_S)
    assert set(partitions) == {0, 1, 2, 3}
    borders = set()  # (partition, records up to the end of a batch)
    for partition in range(4):
        counts = [batch.header.record_count for batch in broker.batches("t", partition)]
        borders |= {(partition, total) for total in accumulate(counts)}
    done: Counter[int] = Counter()
    position = 0
    for length in runs(partitions)[:-1]:
        partition = partitions[position]
        went = sum(len(value) + 12 for value in values[position : position + length]) + 61 * length
        done[partition] += length
        position += length
        assert went >= 5_000
        assert (partition, done[partition]) in borders


def test_sticky_stays_if_little_went_there(broker: EmbeddedBroker, make: Make) -> None:
    """Batches that close for other reasons, here because somebody waits, do not move it before it has its share."""
    producer = make(broker, linger_ms=0, batch_size=10_000)
    partitions = [producer.send("t", bytes(100)).get(TIMEOUT_S).partition for _ in range(59)]
    assert len(set(partitions)) == 1


def test_sticky_is_even_in_the_long_run(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, batch_size=1000, batch_max_size=1000, partitioner_adaptive_partitioning_enable=False)
    counts = Counter(placed(producer, 40_000, 90))
    stays = sum(counts.values()) / 10
    assert set(counts) == {0, 1, 2, 3}
    # A stay is drawn evenly: binomial, 6 standard deviations.
    assert all(abs(count / 10 - stays / 4) < 6 * (stays * 3 / 16) ** 0.5 for count in counts.values()), counts
    producer.flush(TIMEOUT_S)


def test_sticky_leaves_a_partition_without_leader(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, metadata_max_age_ms=50)
    first = producer.send("t", b"v").get(TIMEOUT_S).partition
    broker.leaderless("t", first)
    answered = broker.request_count("Metadata")
    broker.wait(lambda b: b.request_count("Metadata") > answered + 1)
    assert producer.send("t", b"v").get(TIMEOUT_S).partition != first


def test_adaptive_choice_avoids_a_stalled_partition(start_broker: StartBroker, make: Make) -> None:
    """Node 1 does not answer any more: its partition's queue grows, and it is chosen more and more seldom."""
    broker = start_broker(topics={"t": 3}, brokers=3)
    adaptive = make(broker, batch_size=1000, batch_max_size=4000, linger_ms=0)
    stalled = next(partition for partition in range(3) if broker.leader("t", partition)[0] == 1)
    for partition in range(3):
        adaptive.send("t", b"warm", partition=partition).get(TIMEOUT_S)
    broker.hold("Produce", node=1)
    counts: Counter[int] = Counter()
    for _ in range(100):
        futures = [adaptive.send("t", bytes(100)) for _ in range(40)]
        for future in futures:
            partition = future.topic_partition[1]
            counts[partition] += 1
            if partition != stalled:
                future.get(TIMEOUT_S)
    assert counts[stalled] < sum(counts.values()) / 6, counts
    broker.release()
    adaptive.flush(TIMEOUT_S)
    assert broker.record_count("t") == 4003


# ---- the user's ------------------------------------------------------------------------------------------------------

CALLS: list[Any] = []


class SixArguments(Partitioner):
    closed = 0

    def partition(self, topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any,
                  cluster: Any) -> int:
        CALLS.append((topic, key, serialized_key, value, serialized_value, cluster.partitions_for_topic(topic)))
        return 2

    def close(self) -> None:
        self.closed += 1


class ThreeArguments:
    def partition(self, topic: str, serialized_key: Any, cluster: Any) -> int:
        CALLS.append((topic, serialized_key, cluster.available_partitions_for_topic(topic)))
        return 2


def function(key: Any, every: list[int], available: list[int]) -> int:
    CALLS.append((key, every, available))
    return 2


@pytest.mark.parametrize(("partitioner", "call"), [
    (SixArguments(), ("t", "key", b"KEY", "value", b"VALUE", {0, 1, 2, 3})),
    (ThreeArguments(), ("t", b"KEY", {0, 2, 3})),
    (function, (b"KEY", [0, 1, 2, 3], [0, 2, 3])),
])  # fmt: skip
def test_shapes(partitioner: Any, call: tuple[Any, ...], broker: EmbeddedBroker, make: Make) -> None:
    CALLS.clear()
    broker.leaderless("t", 1)
    upper: Callable[[str], bytes] = lambda text: text.upper().encode()  # noqa: E731
    producer = make(broker, partitioner=partitioner, key_serializer=upper, value_serializer=upper)
    assert producer.send("t", "value", key="key").get(TIMEOUT_S).partition == 2
    assert producer.send("t", "value", key="key", partition=0).get(TIMEOUT_S).partition == 0
    assert [call] == CALLS
    producer.close()
    assert getattr(partitioner, "closed", 1) == 1


@pytest.mark.parametrize(("result", "error"), [
    (None, ValueError), (-1, ValueError), (4, ValueError), ("1", TypeError), (1.0, TypeError), (True, TypeError),
    (ZeroDivisionError("mine"), ZeroDivisionError), (KeyboardInterrupt(), KeyboardInterrupt),
])  # fmt: skip
def test_what_goes_wrong_in_one_is_raised(
    result: Any, error: type[BaseException], broker: EmbeddedBroker, make: Make,
) -> None:
    outcome = [result]

    def choose(key: Any, every: list[int], available: list[int]) -> Any:
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    producer = make(broker, partitioner=choose)
    for _ in range(2):
        with pytest.raises(error) as raised:
            producer.send("t", b"v")
    if isinstance(result, BaseException):
        assert raised.value is result
    outcome[0] = 3
    assert producer.send("t", b"v").get(TIMEOUT_S).partition == 3
    assert broker.record_count("t") == 1
    check_balance(producer)


def test_partitions_added_later_are_used(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, partitioner="round_robin", metadata_max_age_ms=50)
    assert set(placed(producer, 8)) == {0, 1, 2, 3}
    broker.add_partitions("t", 6)
    answered = broker.request_count("Metadata")
    broker.wait(lambda b: b.request_count("Metadata") > answered + 1)
    assert Counter(placed(producer, 60)) == dict.fromkeys(range(6), 10)
    producer.flush(TIMEOUT_S)
