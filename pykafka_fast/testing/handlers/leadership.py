# SPDX-License-Identifier: Apache-2.0
"""Whether a node may serve a partition."""

from __future__ import annotations

from ..cluster import Partition
from ..codes import Code

__all__ = ["check_leadership"]


def check_leadership(partition: Partition | None, node_id: int, known_epoch: int = -1) -> Code:
    """The error of asking this node about a partition, NONE if it leads it.

    Args:
        partition: None if there is no such partition.
        node_id: the node that was asked.
        known_epoch: leader epoch the client says it knows, -1 for none.
    """
    if partition is None:
        return Code.UNKNOWN_TOPIC_OR_PARTITION
    if partition.leader != node_id:
        return Code.NOT_LEADER_OR_FOLLOWER
    if known_epoch == -1 or known_epoch == partition.leader_epoch:
        return Code.NONE
    return Code.FENCED_LEADER_EPOCH if known_epoch < partition.leader_epoch else Code.UNKNOWN_LEADER_EPOCH
