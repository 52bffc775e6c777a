# SPDX-License-Identifier: Apache-2.0
"""Produce: check, append, answer, partition by partition."""

from __future__ import annotations

from ...protocol.produce import (
    NodeEndpoint,
    PartitionProduceRequest,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    RecordError,
    TopicProduceRequest,
    TopicProduceResponse,
)
from ..batch import BatchError, BatchHeader, peek
from ..cluster import Partition, Topic, now_ms
from ..codes import Code, code_name
from ..message_set import to_batch
from ..script import Fault
from .context import Context
from .leadership import check_leadership

__all__ = ["answer"]

_HINT_VERSION = 10
_TOPIC_ID_VERSION = 13
_ACKS = (-1, 0, 1)
_BATCH_VERSION = 3
_ZSTD = 4
_ZSTD_VERSION = 7
_OF_THE_LOG = (Code.OUT_OF_ORDER_SEQUENCE_NUMBER, Code.INVALID_PRODUCER_EPOCH, Code.UNKNOWN_PRODUCER_ID)


def answer(context: Context) -> bytes | None:
    """What became of each batch. With acks=0 nothing is answered; an error closes the connection, as in Kafka."""
    request = ProduceRequest.decode(context.body, context.version, context.offset)
    context.acks = request.acks
    if request.acks not in _ACKS:
        context.violation(f"acks={request.acks}, must be 0, 1 or -1")
    names = [_name(context, topic) for topic in request.topics]
    context.partitions = [
        (name, part.partition) for name, topic in zip(names, request.topics, strict=True) for part in topic.partitions
    ]
    context.batches = [peek(part.records or b"") for topic in request.topics for part in topic.partitions]
    faults = context.faults()
    seen: set[tuple[str, int]] = set()
    topics = []
    for asked in request.topics:
        parts = tuple(_produce(context, request, asked, part, faults, seen) for part in asked.partitions)
        topics.append(TopicProduceResponse(asked.name, parts, asked.topic_id))
    if request.acks == 0:
        context.close = any(part.error_code for topic in topics for part in topic.partitions)
        return None
    endpoints = _endpoints(context, topics)
    return ProduceResponse(tuple(topics), context.throttle_ms, endpoints).encode(context.version)


def _topic(context: Context, asked: TopicProduceRequest) -> Topic | None:
    if context.version >= _TOPIC_ID_VERSION:
        return context.cluster.topic_by_id(asked.topic_id)
    return context.cluster.topics.get(asked.name)


def _name(context: Context, asked: TopicProduceRequest) -> str:
    topic = _topic(context, asked)
    if topic is not None:
        return topic.name
    return asked.name or f"topic id {asked.topic_id.hex()}"


def _produce(
    context: Context,
    request: ProduceRequest,
    asked: TopicProduceRequest,
    part: PartitionProduceRequest,
    faults: dict[tuple[str, int | None], Fault],
    seen: set[tuple[str, int]],
) -> PartitionProduceResponse:
    """One partition's part of the request."""
    topic = _topic(context, asked)
    target = (_name(context, asked), part.partition)
    partition = topic.partition(part.partition) if topic is not None else None
    try:
        if target in seen:
            raise BatchError(Code.INVALID_REQUEST, "the partition occurs twice in the request")
        seen.add(target)
        if request.acks not in _ACKS:
            raise BatchError(Code.INVALID_REQUIRED_ACKS, f"acks={request.acks}", violation=False)
        _check_target(context, asked, partition)
        assert topic is not None
        assert partition is not None
        records = part.records or b""
        if context.version < _BATCH_VERSION:
            records = to_batch(records, context.version)
        return _append(context, topic, partition, records, faults.get(target))
    except BatchError as error:
        if partition is not None and not error.violation:
            partition.log.note_refused(part.records or b"")
        if error.violation:
            context.violation(f"{target[0]}-{target[1]}: {error.text}; answered {code_name(error.code)}")
        return _refusal(context, part.partition, partition, error, _log_start(partition, faults.get(target), error))


def _check_target(context: Context, asked: TopicProduceRequest, partition: Partition | None) -> None:
    by_id = context.version >= _TOPIC_ID_VERSION
    if by_id and context.cluster.topic_by_id(asked.topic_id) is None:
        strangers = context.cluster.policy.strangers
        issued = strangers or context.cluster.was_issued(asked.topic_id) or not any(asked.topic_id)
        raise BatchError(Code.UNKNOWN_TOPIC_ID, "a topic id nobody was ever given", violation=not issued)
    code = check_leadership(partition, context.node.node_id)
    if code != Code.NONE:
        raise BatchError(code, "not served by this node", violation=False)


def _append(
    context: Context, topic: Topic, partition: Partition, records: bytes, fault: Fault | None
) -> PartitionProduceResponse:
    log, clock = partition.log, now_ms()

    def accept(header: BatchHeader) -> None:
        _check_claims(context, header)

    if fault is not None and not fault.after_append:
        log.check(records, topic.policy, clock, accept)
        raise _scripted(fault)
    before = log.end_offset
    result = log.append(records, topic.policy, clock, accept, partition.leader_epoch, context.connection)
    context.record_count += log.end_offset - before
    for remark in result.remarks:
        context.violation(f"{topic.name}-{partition.index}: {remark}; accepted")
    if fault is not None:
        raise _scripted(fault)
    return PartitionProduceResponse(
        partition.index, Code.NONE, result.base_offset, result.append_time, log.start_offset
    )


def _check_claims(context: Context, header: BatchHeader) -> None:
    """Check what the batch says against the request and the cluster."""
    if header.codec == _ZSTD and context.version < _ZSTD_VERSION:
        raise BatchError(Code.UNSUPPORTED_COMPRESSION_TYPE, f"zstd in Produce v{context.version}, allowed from v7 on")
    known = context.cluster.policy.strangers or context.cluster.knows_producer_id(header.producer_id)
    if header.producer_id >= 0 and not known:
        raise BatchError(Code.UNKNOWN_PRODUCER_ID, f"producer id {header.producer_id} was never given to anybody")


def _scripted(fault: Fault) -> BatchError:
    return BatchError(fault.error, fault.message or "", violation=False, record_errors=fault.record_errors)


def _log_start(partition: Partition | None, fault: Fault | None, error: BatchError) -> int:
    """Brokers say where the log starts when they refuse a sequence, but not when they refuse before they look there."""
    if fault is not None:
        return fault.log_start
    return partition.log.start_offset if partition is not None and error.code in _OF_THE_LOG else -1


def _refusal(
    context: Context, index: int, partition: Partition | None, error: BatchError, log_start: int
) -> PartitionProduceResponse:
    leader = None
    moved = partition is not None and error.code == Code.NOT_LEADER_OR_FOLLOWER and partition.hint
    if moved and partition is not None and partition.leader != context.node.node_id:
        leader = (partition.leader, partition.leader_epoch)
    return PartitionProduceResponse(
        index,
        error.code,
        log_start_offset=log_start,
        record_errors=tuple(RecordError(number, text) for number, text in sorted(error.record_errors.items())),
        error_message=error.text or None,
        current_leader=leader if context.version >= _HINT_VERSION else None,
    )


def _endpoints(context: Context, topics: list[TopicProduceResponse]) -> tuple[NodeEndpoint, ...]:
    leaders = {part.current_leader[0] for topic in topics for part in topic.partitions if part.current_leader}
    nodes = [node for node_id, node in sorted(context.cluster.nodes.items()) if node_id in leaders and node.running]
    return tuple(NodeEndpoint(node.node_id, node.host, node.port) for node in nodes)
