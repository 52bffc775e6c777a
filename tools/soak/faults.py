# SPDX-License-Identifier: Apache-2.0
"""Faults for a cluster of three nodes, drawn from a seed; at most one node is down at a time."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tools.brokers.kafka import KafkaCluster
from tools.brokers.processes import wait_for

RECOVERY = 120.0
# Shorter than the cluster's own, so that a schedule has more kills to the minute; small segments, because what is not
# flushed is read again after a kill, and a segment is flushed when it is full.
PROPERTIES = {
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "log.segment.bytes": str(16 << 20),
    "log.retention.bytes": "-1",
}
WEIGHTS = {"kill": 6, "suspend": 2, "stop": 1, "elect": 2}


class Step(NamedTuple):
    """One fault. The node is whoever leads `partition` when its time has come."""

    kind: str
    partition: int
    pause: float
    """Seconds until it is undone."""
    rest: float
    """Seconds until the next one."""

    def __str__(self) -> str:
        return f"{self.kind} at partition {self.partition} for {self.pause:.3f} s, rest {self.rest:.3f} s"


def draw(seed: int, partitions: int) -> Iterator[Step]:
    """The schedule of a seed, without end. A kill comes first, and after one more of any kind at the latest again."""
    rng = random.Random(seed)
    longest = {"kill": 5.0, "suspend": 8.0, "stop": 2.0, "elect": 0.0}
    kind = "elect"
    while True:
        kinds = dict(WEIGHTS) if kind == "kill" else {"kill": 1}
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        yield Step(kind, rng.randrange(partitions), rng.uniform(0, longest[kind]), rng.uniform(0, 1))


class ClusterFaults:
    """Carries steps out and returns when every replica is in sync again.

    Attributes:
        done: how many of each kind.
        log: a line for each step, with the time since the start and the node.
    """

    def __init__(self, cluster: KafkaCluster, topic: str, partitions: int):
        self.done: Counter[str] = Counter()
        self.log: list[str] = []
        self._cluster = cluster
        self._topic = topic
        self._partitions = partitions
        self._began = time.monotonic()
        options: dict[str, Any] = {"bootstrap.servers": cluster.bootstrap, "log_level": 0, "error_cb": lambda _: None}
        self._admin = AdminClient(options)

    def run(self, step: Step) -> str:
        """One step; what was done, which is also in `log`.

        Raises:
            TimeoutError: the cluster did not recover within 120 s.
        """
        at = time.monotonic() - self._began
        if step.kind == "elect":
            node = 0
            self._elect()
        else:
            node = self._leader(step.partition)
            self._hit(step, node)
        self._recover()
        self.done[step.kind] += 1
        took = time.monotonic() - self._began - at
        said = f"{at:8.3f} {step}: node {node or 'any'}, whole after {took:.3f} s"
        self.log.append(said)
        time.sleep(step.rest)
        return said

    def _hit(self, step: Step, node: int) -> None:
        if step.kind == "suspend":
            self._cluster.suspend(node)
            time.sleep(step.pause)
            self._cluster.resume(node)
            return
        (self._cluster.kill if step.kind == "kill" else self._cluster.stop)(node)
        time.sleep(step.pause)
        self._cluster.restart(node)

    def _leader(self, partition: int) -> int:
        found: list[int] = []

        def known() -> bool:
            found[:] = [self._cluster.leader(self._topic, partition)]
            return found[0] >= 1

        wait_for(known, f"a leader of {self._topic}-{partition}", RECOVERY)
        return found[0]

    def _elect(self) -> None:
        """Leadership back to the preferred replicas, from which kills have driven it."""
        wanted = [TopicPartition(self._topic, partition) for partition in range(self._partitions)]

        def elected() -> bool:
            try:
                self._admin.elect_leaders(ElectionType.PREFERRED, wanted).result(RECOVERY)
            except KafkaException:
                return False
            return True

        wait_for(elected, "a preferred leader election", RECOVERY)

    def _recover(self) -> None:
        def whole() -> bool:
            try:
                self._cluster.heal()
            except (TimeoutError, KafkaException):
                return False
            return True

        wait_for(whole, "all replicas in sync", RECOVERY)
