# SPDX-License-Identifier: Apache-2.0
"""Fetch without sessions: whole batches from an offset on, waiting for them if asked to."""

from __future__ import annotations

from ...protocol.fetch import (
    FetchRequest,
    FetchResponse,
    PartitionFetchRequest,
    PartitionFetchResponse,
    TopicFetchRequest,
    TopicFetchResponse,
)
from ..cluster import Topic
from ..codes import Code
from ..script import Fault
from .context import Context, Waiting
from .leadership import check_leadership

__all__ = ["answer"]


def answer(context: Context) -> bytes | Waiting:
    """The records there are, or a wait until there are enough, something is wrong or the time is over."""
    request = FetchRequest.decode(context.body, context.version, context.offset)
    context.partitions = [
        (_name(context, topic), part.partition) for topic in request.topics for part in topic.partitions
    ]
    faults = context.faults()

    def retry(last_chance: bool) -> bytes | None:
        topics, size, wrong = _read(context, request, faults)
        if not last_chance and not wrong and size < request.min_bytes:
            return None
        return FetchResponse(topics, throttle_time_ms=context.throttle_ms).encode(context.version)

    body = retry(request.max_wait_ms <= 0)
    return body if body is not None else Waiting(retry, context.received + request.max_wait_ms / 1000)


def _topic(context: Context, asked: TopicFetchRequest) -> Topic | None:
    if context.version >= 13:
        return context.cluster.topic_by_id(asked.topic_id)
    return context.cluster.topics.get(asked.name)


def _name(context: Context, asked: TopicFetchRequest) -> str:
    topic = _topic(context, asked)
    return topic.name if topic is not None else asked.name


def _read(
    context: Context, request: FetchRequest, faults: dict[tuple[str, int | None], Fault]
) -> tuple[tuple[TopicFetchResponse, ...], int, bool]:
    """The answer's topics, the bytes of records in it, and whether any partition has an error."""
    topics = []
    size, wrong = 0, False
    for asked in request.topics:
        topic = _topic(context, asked)
        name = topic.name if topic is not None else asked.name
        parts = []
        for part in asked.partitions:
            fault = faults.get((name, part.partition))
            if fault is not None:
                found = PartitionFetchResponse(part.partition, error_code=fault.error)
            else:
                found = _read_partition(context, topic, part, request.max_bytes - size, size == 0)
            size += len(found.records or b"")
            wrong = wrong or found.error_code != Code.NONE
            parts.append(found)
        topics.append(TopicFetchResponse(asked.name, tuple(parts), asked.topic_id))
    return tuple(topics), size, wrong


def _read_partition(
    context: Context, topic: Topic | None, asked: PartitionFetchRequest, room: int, is_first: bool
) -> PartitionFetchResponse:
    if topic is None and context.version >= 13:
        return PartitionFetchResponse(asked.partition, error_code=Code.UNKNOWN_TOPIC_ID)
    partition = topic.partition(asked.partition) if topic is not None else None
    code = check_leadership(partition, context.node.node_id, asked.current_leader_epoch)
    if partition is None or code != Code.NONE:
        return PartitionFetchResponse(asked.partition, error_code=code)
    log = partition.log
    records = b""
    if not log.start_offset <= asked.fetch_offset <= log.end_offset:
        code = Code.OFFSET_OUT_OF_RANGE
    elif asked.fetch_offset < log.end_offset:
        records = b"".join(log.read(asked.fetch_offset, min(asked.max_bytes, room), is_first))
    return PartitionFetchResponse(asked.partition, records, log.end_offset, log.end_offset, log.start_offset, code)
