# SPDX-License-Identifier: Apache-2.0
"""ListOffsets: the ends of a partition, and the offset at a time."""

from __future__ import annotations

from ...protocol.list_offsets import (
    EARLIEST_LOCAL_TIMESTAMP,
    EARLIEST_TIMESTAMP,
    LATEST_TIMESTAMP,
    MAX_TIMESTAMP,
    ListOffsetsRequest,
    ListOffsetsResponse,
    PartitionOffsetRequest,
    PartitionOffsetResponse,
    TopicOffsetResponse,
)
from ..cluster import Partition, Topic
from ..codes import Code
from .context import Context
from .leadership import check_leadership

__all__ = ["answer"]


def answer(context: Context) -> bytes:
    """An offset per partition asked for."""
    request = ListOffsetsRequest.decode(context.body, context.version, context.offset)
    context.partitions = [(topic.name, part.partition) for topic in request.topics for part in topic.partitions]
    faults = context.faults()
    topics = []
    for asked in request.topics:
        topic = context.cluster.topics.get(asked.name)
        found = []
        for part in asked.partitions:
            fault = faults.get((asked.name, part.partition))
            if fault is not None:
                found.append(PartitionOffsetResponse(part.partition, error_code=fault.error))
            else:
                found.append(_look_up(context, topic, part))
        topics.append(TopicOffsetResponse(asked.name, tuple(found)))
    return ListOffsetsResponse(tuple(topics), context.throttle_ms).encode(context.version)


def _look_up(context: Context, topic: Topic | None, asked: PartitionOffsetRequest) -> PartitionOffsetResponse:
    partition = topic.partition(asked.partition) if topic is not None else None
    code = check_leadership(partition, context.node.node_id, asked.current_leader_epoch)
    if partition is None or code != Code.NONE:
        return PartitionOffsetResponse(asked.partition, error_code=code)
    if asked.timestamp < EARLIEST_LOCAL_TIMESTAMP:
        return PartitionOffsetResponse(asked.partition, error_code=Code.UNSUPPORTED_VERSION)
    offset, timestamp = _find(partition, asked.timestamp)
    epoch = partition.leader_epoch if offset >= 0 else -1
    return PartitionOffsetResponse(asked.partition, offset, timestamp, leader_epoch=epoch)


def _find(partition: Partition, timestamp: int) -> tuple[int, int]:
    """Offset and timestamp."""
    if timestamp == LATEST_TIMESTAMP:
        return partition.log.end_offset, -1
    if timestamp in (EARLIEST_TIMESTAMP, EARLIEST_LOCAL_TIMESTAMP):
        return partition.log.start_offset, -1
    if timestamp == MAX_TIMESTAMP:
        return partition.log.max_timestamp()
    return partition.log.find_timestamp(timestamp)
