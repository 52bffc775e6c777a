# SPDX-License-Identifier: Apache-2.0
"""The shapes of partitioner users bring, and what they may return."""

from __future__ import annotations

from typing import Any

import aiokafka.partitioner
import kafka.partitioner
import pytest

from pykafka_fast.partitioner import BUILT_IN, ClusterView, DefaultPartitioner, Partitioner, adapt, murmur2


class Cluster:
    """Topic 't' with partitions 0 to 4, of which 1 and 3 have a leader."""

    controller = None

    def topics(self) -> set[str]:
        return {"t"}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {4, 2, 0, 3, 1} if topic == "t" else None

    def available_partitions_for_topic(self, topic: str) -> set[int] | None:
        return {3, 1} if topic == "t" else None

    def leader_for_partition(self, partition: Any) -> int | None:
        return 1 if partition[1] in (1, 3) else -1

    def brokers(self) -> set[Any]:
        return set()

    def broker_metadata(self, broker_id: int) -> Any:
        return None

    def partitions_for_broker(self, broker_id: int) -> set[Any] | None:
        return None


CLUSTER: ClusterView = Cluster()


def choose(partitioner: Any, key: Any = "k", serialized_key: Any = b"k", topic: str = "t") -> int:
    return adapt(partitioner)(topic, key, serialized_key, "v", b"v", CLUSTER)


class Recorder:
    """Notes how it was called and answers 2."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def answer(self, *arguments: Any) -> int:
        self.calls.append(arguments)
        return 2


def test_six_arguments_get_everything() -> None:
    recorder = Recorder()

    class Mine(Partitioner):
        def partition(self, topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any,
                      cluster: ClusterView) -> int:
            return recorder.answer(topic, key, serialized_key, value, serialized_value, cluster)

    assert choose(Mine()) == 2
    assert recorder.calls == [("t", "k", b"k", "v", b"v", CLUSTER)]
    Mine().close()


def test_three_arguments_get_topic_key_and_cluster() -> None:
    recorder = Recorder()

    class Old:
        def partition(self, topic: str, key: Any, cluster: Any) -> int:
            return recorder.answer(topic, key, cluster)

    assert choose(Old()) == 2
    assert recorder.calls == [("t", b"k", CLUSTER)]


def test_a_callable_gets_key_and_sorted_lists() -> None:
    recorder = Recorder()
    assert choose(lambda key, everything, available: recorder.answer(key, everything, available)) == 2
    assert recorder.calls == [(b"k", [0, 1, 2, 3, 4], [1, 3])]


def test_a_callable_object_is_a_callable() -> None:
    class Old:
        def __call__(self, key: Any, everything: list[int], available: list[int]) -> int:
            return available[-1]

    assert choose(Old()) == 3


def test_a_function_of_six_gets_everything() -> None:
    assert choose(lambda topic, key, serialized_key, value, serialized_value, cluster: len(cluster.topics())) == 1


def test_an_unknown_topic_has_no_partitions() -> None:
    assert choose(lambda key, everything, available: len(everything) + len(available), topic="other") == 0


@pytest.mark.parametrize(("result", "error", "says"), [
    (None, ValueError, "returned None"), (-1, ValueError, "returned -1 for topic 't'"), (1.0, TypeError, "float"),
    ("1", TypeError, "str"), (True, TypeError, "bool"),
])
def test_what_is_no_partition_is_refused(result: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        choose(lambda key, everything, available: result)


def test_what_acts_as_an_int_is_an_int() -> None:
    class Number:
        def __index__(self) -> int:
            return 3

    result = choose(lambda key, everything, available: Number())
    assert result == 3
    assert type(result) is int


def test_exceptions_pass_through() -> None:
    def broken(key: Any, everything: Any, available: Any) -> int:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        choose(broken)


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_a_callable_object_may_be_called_without_an_instance(kind: Any) -> None:
    """As the default partitioners of kafka-python 2 and of aiokafka are."""
    takes_class = kind is classmethod

    class Last:
        __call__ = kind(lambda *arguments: last(*arguments[takes_class:]))

    def last(key: bytes | None, everywhere: list[int], available: list[int]) -> int:
        return everywhere[-1]

    assert choose(Last()) == 4


def test_aiokafkas_default_works() -> None:
    assert choose(aiokafka.partitioner.DefaultPartitioner(), serialized_key=b"abc") == murmur2(b"abc") % 2**31 % 5


@pytest.mark.parametrize("key", [b"k", b"", b"foobar", b"1234567890"])
def test_kafka_pythons_partitioners_work(key: bytes) -> None:
    murmur = kafka.partitioner.murmur2(key) & 0x7FFFFFFF
    assert choose(kafka.partitioner.DefaultPartitioner(), serialized_key=key) == murmur % 5
    assert choose(kafka.partitioner.StickyPartitioner(), serialized_key=key) == murmur % 5
    assert choose(kafka.partitioner.DefaultPartitioner(), None, None) in (1, 3)
    assert choose(DefaultPartitioner(), serialized_key=key) == murmur % 5
    assert {choose(DefaultPartitioner(), None, None) for _ in range(100)} == {1, 3}
    assert choose(DefaultPartitioner(), None, None, topic="unknown") == 0
    assert murmur2(key) & 0x7FFFFFFF == murmur


def test_what_is_no_partitioner_is_refused() -> None:
    with pytest.raises(TypeError, match="partitioner must be callable or have partition"):
        adapt(3)


def test_the_built_in_ones_have_names() -> None:
    assert BUILT_IN == ("sticky", "round_robin", "random")
