# SPDX-License-Identifier: Apache-2.0
"""Produce (0), v0-13, as a broker sees it: requests are decoded, responses encoded. The client's side is C.

=========  =====================================================================================
request    v3+: nullable transactional id; int16 acks; int32 timeout ms; topics {string name, from
           v13 uuid instead; partitions {int32 index, nullable record bytes}}; the bytes are a record
           batch, before v3 a message set
response   topics {string name, from v13 uuid; partitions {int32 index, int16 error, int64 base
           offset, v2+: int64 log append time, v5+: int64 log start offset, v8+: record errors {int32
           index in batch, nullable message}, v8+: nullable message; v10+ tag 0: current leader
           {int32 id, int32 epoch}}}; v1+: int32 throttle ms; v10+ tag 0: endpoints {int32 node, string
           host, int32 port, nullable rack} (KIP-951)
flexible   v9+
=========  =====================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from .api import ApiKey, is_flexible
from .message import ZERO_UUID, MessageReader, MessageWriter

__all__ = [
    "NodeEndpoint",
    "PartitionProduceRequest",
    "PartitionProduceResponse",
    "ProduceRequest",
    "ProduceResponse",
    "RecordError",
    "TopicProduceRequest",
    "TopicProduceResponse",
]

_API = ApiKey.PRODUCE
_CURRENT_LEADER_TAG = 0
_NODE_ENDPOINTS_TAG = 0


@dataclass(frozen=True, slots=True)
class PartitionProduceRequest:
    """The record batch, or before v3 the message set, for one partition."""

    partition: int
    records: bytes | None


@dataclass(frozen=True, slots=True)
class TopicProduceRequest:
    """One topic, by name (before v13, topic id zero) or by id (name empty)."""

    name: str
    topic_id: bytes
    partitions: tuple[PartitionProduceRequest, ...]


@dataclass(frozen=True, slots=True)
class ProduceRequest:
    """Records for some partitions. ``acks`` 0 wants no response, 1 the leader's, -1 all in-sync replicas'."""

    transactional_id: str | None
    acks: int
    timeout_ms: int
    topics: tuple[TopicProduceRequest, ...]

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> ProduceRequest:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"Produce request v{version}", is_flexible(_API, version))
        transactional_id = reader.optional_text() if version >= 3 else None
        acks, timeout_ms = reader.int16(), reader.int32()
        topics = tuple(_decode_topic(reader, version) for _ in range(reader.count(2)))
        reader.end()
        return cls(transactional_id, acks, timeout_ms, topics)


def _decode_topic(reader: MessageReader, version: int) -> TopicProduceRequest:
    name = "" if version >= 13 else reader.text()
    topic_id = reader.uuid() if version >= 13 else ZERO_UUID
    partitions = tuple(_decode_partition(reader) for _ in range(reader.count(5)))
    reader.end()
    return TopicProduceRequest(name, topic_id, partitions)


def _decode_partition(reader: MessageReader) -> PartitionProduceRequest:
    partition = PartitionProduceRequest(reader.int32(), reader.optional_blob())
    reader.end()
    return partition


@dataclass(frozen=True, slots=True)
class RecordError:
    """Why one record made its batch be refused (KIP-467)."""

    batch_index: int
    message: str | None = None


@dataclass(frozen=True, slots=True)
class PartitionProduceResponse:
    """What became of a partition's batch. ``current_leader`` is (id, epoch), where the broker knows better (v10+)."""

    partition: int
    error_code: int = 0
    base_offset: int = -1
    log_append_time_ms: int = -1
    log_start_offset: int = -1
    record_errors: tuple[RecordError, ...] = ()
    error_message: str | None = None
    current_leader: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class TopicProduceResponse:
    """One topic's partitions; ``topic_id`` counts from v13 on, ``name`` before."""

    name: str
    partitions: tuple[PartitionProduceResponse, ...]
    topic_id: bytes = ZERO_UUID


@dataclass(frozen=True, slots=True)
class NodeEndpoint:
    """Where a leader named in the same response is reached."""

    node_id: int
    host: str
    port: int
    rack: str | None = None


@dataclass(frozen=True, slots=True)
class ProduceResponse:
    """The answer to a whole request."""

    topics: tuple[TopicProduceResponse, ...] = ()
    throttle_time_ms: int = 0
    node_endpoints: tuple[NodeEndpoint, ...] = ()

    def encode(self, version: int) -> bytes:
        """The body at ``version``; what the version does not carry is left out."""
        writer = MessageWriter(is_flexible(_API, version))
        writer.count(len(self.topics))
        for topic in self.topics:
            if version >= 13:
                writer.uuid(topic.topic_id)
            else:
                writer.text(topic.name)
            writer.count(len(topic.partitions))
            for partition in topic.partitions:
                _encode_partition(writer, partition, version)
            writer.end()
        if version >= 1:
            writer.int32(self.throttle_time_ms)
        with_endpoints = version >= 10 and self.node_endpoints
        writer.end({_NODE_ENDPOINTS_TAG: _encode_endpoints(self.node_endpoints)} if with_endpoints else None)
        return writer.getvalue()


def _encode_partition(writer: MessageWriter, partition: PartitionProduceResponse, version: int) -> None:
    writer.int32(partition.partition)
    writer.int16(partition.error_code)
    writer.int64(partition.base_offset)
    if version >= 2:
        writer.int64(partition.log_append_time_ms)
    if version >= 5:
        writer.int64(partition.log_start_offset)
    if version >= 8:
        writer.count(len(partition.record_errors))
        for record_error in partition.record_errors:
            writer.int32(record_error.batch_index)
            writer.optional_text(record_error.message)
            writer.end()
        writer.optional_text(partition.error_message)
    if version >= 10 and partition.current_leader is not None:
        writer.end({_CURRENT_LEADER_TAG: _encode_leader(*partition.current_leader)})
    else:
        writer.end()


def _encode_leader(leader: int, epoch: int) -> bytes:
    writer = MessageWriter(flexible=True)
    writer.int32(leader)
    writer.int32(epoch)
    writer.end()
    return writer.getvalue()


def _encode_endpoints(endpoints: tuple[NodeEndpoint, ...]) -> bytes:
    writer = MessageWriter(flexible=True)
    writer.count(len(endpoints))
    for endpoint in endpoints:
        writer.int32(endpoint.node_id)
        writer.text(endpoint.host)
        writer.int32(endpoint.port)
        writer.optional_text(endpoint.rack)
        writer.end()
    return writer.getvalue()
