# SPDX-License-Identifier: Apache-2.0
"""What metadata says about topics, passed on to the accumulator and the wire thread."""

from __future__ import annotations

from collections.abc import Callable

from ._core.accumulator import Accumulator
from ._core.wire import Wire
from .cluster import ClusterSnapshot, MetadataChanges, TopicRoute
from .protocol.message import ZERO_UUID
from .retry import description

__all__ = ["Routes"]

NO_LEADER = -1
UNKNOWN_EPOCH = -1


class Routes:
    """Keeps partitions and leaders down in C as the snapshot has them. Belongs to the sender thread.

    Args:
        accumulator: is told how many partitions there are, and which have a leader.
        wire: is told who leads them.
    """

    def __init__(self, accumulator: Accumulator, wire: Wire) -> None:
        self._accumulator = accumulator
        self._wire = wire
        self._leaderless: set[str] = set()

    def publish(self, changes: MetadataChanges) -> None:
        """Pass changes on."""
        for route in changes.routes:
            self._put(route)
        for name in changes.removed:
            self._remove(name)

    def _put(self, route: TopicRoute) -> None:
        topic = self._accumulator.topic(route.topic)
        topic.set_route(route.leaders)
        self._wire.set_leaders(topic, route.leaders, route.leader_epochs, route.topic_id)

    def _remove(self, name: str) -> None:
        """Nothing is known of it any more: what is queued waits for a leader, the next send for metadata."""
        topic = self._accumulator.topic(name)
        count = topic.partition_count
        if count:
            self._wire.set_leaders(topic, [NO_LEADER] * count, [UNKNOWN_EPOCH] * count, ZERO_UUID)
        topic.forget()

    def add_leaderless(self, name: str) -> None:
        """The wire has records for a partition of this topic that nobody leads; it says so once per answer."""
        self._leaderless.add(name)

    def answer_leaderless(self, snapshot: ClusterSnapshot, error_of: Callable[[str], int | None]) -> list[str]:
        """After an answer: let the wire look, and ask, again; what is not found is explained.

        Args:
            snapshot: what is known now.
            error_of: the number with which the cluster refused a topic, None if it did not.

        Returns:
            Topics with records that nothing is known about yet.
        """
        unknown = []
        for name in sorted(self._leaderless):
            topic, leaders = snapshot.topic(name), snapshot.reachable_leaders(name)
            if topic is not None and leaders is not None:
                self._put(TopicRoute(name, topic.topic_id, leaders, topic.leader_epochs))
            else:
                unknown.append(name)
        pending = self._accumulator.lost() if unknown else {}
        needed = [name for name in unknown if name in pending]
        self._leaderless = set(needed)
        for name in needed:
            code = error_of(name)
            if code is not None:
                said = f"Metadata answers {description(code, None)}"
                self._wire.explain(-1, said, self._accumulator.topic(name))
        return needed
