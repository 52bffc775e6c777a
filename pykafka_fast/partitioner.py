# SPDX-License-Identifier: Apache-2.0
"""Partitioners that users bring. The built-in ones are part of the C library and only named here."""

from __future__ import annotations

import operator
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from ._core.murmur2 import murmur2
from .arity import takes
from .options import PARTITIONER_NAMES

__all__ = ["BUILT_IN", "ClusterView", "DefaultPartitioner", "PartitionFunction", "Partitioner", "adapt", "murmur2"]

#: Names the option ``partitioner`` takes for the built-in ones.
BUILT_IN = PARTITIONER_NAMES


class ClusterView(Protocol):
    """What a partitioner may ask about the cluster: one consistent state of it."""

    @property
    def controller(self) -> Any:
        """The controller's node, or None."""

    def topics(self) -> set[str]:
        """Names of the topics known to this producer."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """All partitions of a topic, or None if it is unknown."""

    def available_partitions_for_topic(self, topic: str) -> set[int] | None:
        """The partitions that have a leader, or None if the topic is unknown."""

    def leader_for_partition(self, partition: Any) -> int | None:
        """The leader's id, -1 if there is none at the moment, None if the ``TopicPartition`` is unknown."""

    def brokers(self) -> set[Any]:
        """All nodes."""

    def broker_metadata(self, broker_id: int) -> Any:
        """The node with this id, or None."""

    def partitions_for_broker(self, broker_id: int) -> set[Any] | None:
        """The ``TopicPartition`` values this broker leads, or None if it is unknown."""


#: What the producer calls: topic, key, serialized key, value, serialized value, cluster.
PartitionFunction: TypeAlias = Callable[[str, Any, Any, Any, Any, ClusterView], int]


class Partitioner(ABC):
    """Chooses the partition of a record. Called by every thread that sends, on that thread, once per record."""

    @abstractmethod
    def partition(self, topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any,
                  cluster: ClusterView) -> int:
        """The partition, from 0. What this raises reaches the caller of ``send``."""

    def close(self) -> None:  # noqa: B027  # most have nothing to close
        """Called once, when the producer is closed."""


class DefaultPartitioner(Partitioner):
    """kafka-python's, to be derived from: by the key's hash, else any available one. ``"random"`` does it in C."""

    def partition(self, topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any,
                  cluster: ClusterView) -> int:
        """Where Java puts the key; without one, or with an unknown topic, a random partition, or 0."""
        everywhere = sorted(cluster.partitions_for_topic(topic) or (0,))
        if serialized_key is None:
            return random.choice(sorted(cluster.available_partitions_for_topic(topic) or everywhere))
        return everywhere[(murmur2(serialized_key) & 0x7FFFFFFF) % len(everywhere)]


def adapt(partitioner: Any) -> PartitionFunction:
    """One way to call every shape of partitioner, found out once.

    Args:
        partitioner: an object with ``partition(topic, key, serialized_key, value, serialized_value, cluster)`` or with
            ``partition(topic, serialized_key, cluster)``, or a callable
            ``f(serialized_key, all_partitions, available_partitions)`` that gets two sorted lists.

    Returns:
        ``f(topic, key, serialized_key, value, serialized_value, cluster)``, which raises ValueError for None and
        negative results and TypeError for others that are not an int.
    """
    method = getattr(partitioner, "partition", None)
    if callable(method):
        choose: Callable[..., Any] = method if takes(method, 6) else _with_cluster(method)
    elif callable(partitioner):
        choose = _with_partitions(partitioner) if takes(partitioner, 3) else partitioner
    else:
        raise TypeError(f"partitioner must be callable or have partition(), not {type(partitioner).__name__}")
    name = getattr(partitioner, "__qualname__", type(partitioner).__qualname__)

    def partition(topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any,
                  cluster: ClusterView) -> int:
        return _checked(choose(topic, key, serialized_key, value, serialized_value, cluster), name, topic)

    return partition


def _with_cluster(method: Callable[..., Any]) -> Callable[..., Any]:
    return lambda topic, _key, serialized_key, _value, _serialized_value, cluster: method(
        topic, serialized_key, cluster)


def _with_partitions(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda topic, _key, serialized_key, _value, _serialized_value, cluster: function(
        serialized_key,
        sorted(cluster.partitions_for_topic(topic) or ()),
        sorted(cluster.available_partitions_for_topic(topic) or ()))


def _checked(result: Any, name: str, topic: str) -> int:
    if result is None:
        raise ValueError(f"partitioner {name} returned None for topic {topic!r}; it must return a partition")
    try:
        partition = operator.index(result)
    except TypeError:
        raise TypeError(f"partitioner {name} returned {type(result).__name__} for topic {topic!r}, not int") from None
    if isinstance(result, bool):
        raise TypeError(f"partitioner {name} returned bool for topic {topic!r}, not int")
    if partition < 0:
        raise ValueError(f"partitioner {name} returned {partition} for topic {topic!r}; partitions begin at 0")
    return partition
