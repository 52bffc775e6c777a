# SPDX-License-Identifier: Apache-2.0
"""Metadata (3), v0-13: brokers, topics, leaders.

=========  =====================================================================================
request    array of {v10+: uuid topic id; string name, nullable from v10}; a null array means all
           topics (at v0 an empty one does), an empty one none;
           v4+: bool allow auto creation; v8-10: bool cluster operations; v8+: bool topic operations
response   v3+: int32 throttle ms;
           brokers {int32 id, string host, int32 port, v1+: nullable rack};
           v2+: nullable cluster id; v1+: int32 controller id;
           topics {int16 error, string name (nullable from v12), v10+: uuid, v1+: bool internal,
           partitions {int16 error, int32 index, int32 leader, v7+: int32 leader epoch,
           int32[] replicas, int32[] in sync, v5+: int32[] offline},
           v8+: int32 operations}; v8-10: int32 cluster operations; v13+: int16 error (KIP-1102)
flexible   v9+
=========  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import UnsupportedVersionError
from .api import ApiKey, is_flexible
from .message import ZERO_UUID, MessageReader, MessageWriter

__all__ = [
    "MetadataBroker",
    "MetadataPartition",
    "MetadataRequest",
    "MetadataRequestTopic",
    "MetadataResponse",
    "MetadataTopic",
]

_API = ApiKey.METADATA
_NO_OPERATIONS = -0x80000000


@dataclass(frozen=True, slots=True)
class MetadataRequestTopic:
    """One topic asked for, by name or (v12+, name None) by id."""

    name: str | None
    topic_id: bytes = ZERO_UUID


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """Asks about ``topics``: None means all, an empty tuple none (v0 cannot say "none" and asks for all)."""

    topics: tuple[MetadataRequestTopic, ...] | None
    allow_auto_topic_creation: bool = True

    @classmethod
    def for_topics(cls, names: Iterable[str], allow_auto_topic_creation: bool = True) -> MetadataRequest:
        """A request about the named topics."""
        return cls(tuple(MetadataRequestTopic(name) for name in names), allow_auto_topic_creation)

    def encode(self, version: int) -> bytes:
        """The body at ``version``.

        Raises:
            UnsupportedVersionError: before v4 nobody can say that no topic is to be created.
        """
        writer = MessageWriter(is_flexible(_API, version))
        if self.topics is None:
            writer.count(None if version >= 1 else 0)
        else:
            writer.count(len(self.topics))
            for topic in self.topics:
                _encode_request_topic(writer, topic, version)
        if version >= 4:
            writer.bool_(self.allow_auto_topic_creation)
        elif not self.allow_auto_topic_creation:
            raise UnsupportedVersionError(
                f"Metadata v{version} creates the topics it asks about; allow_auto_create_topics=False needs v4"
            )
        if 8 <= version <= 10:
            writer.bool_(False)
        if version >= 8:
            writer.bool_(False)
        writer.end()
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> MetadataRequest:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"Metadata request v{version}", is_flexible(_API, version))
        count = reader.optional_count(2)
        topics = None
        if count > 0 or (count == 0 and version >= 1):
            topics = tuple(_decode_request_topic(reader, version) for _ in range(count))
        allow_auto_topic_creation = reader.bool_() if version >= 4 else True
        if 8 <= version <= 10:
            reader.bool_()
        if version >= 8:
            reader.bool_()
        reader.end()
        return cls(topics, allow_auto_topic_creation)


def _encode_request_topic(writer: MessageWriter, topic: MetadataRequestTopic, version: int) -> None:
    if version >= 10:
        writer.uuid(topic.topic_id)
        writer.optional_text(topic.name)
    elif topic.name is None:
        raise ValueError(f"Metadata request v{version} cannot ask by topic id")
    else:
        writer.text(topic.name)
    writer.end()


def _decode_request_topic(reader: MessageReader, version: int) -> MetadataRequestTopic:
    topic_id = reader.uuid() if version >= 10 else ZERO_UUID
    topic = MetadataRequestTopic(reader.optional_text() if version >= 10 else reader.text(), topic_id)
    reader.end()
    return topic


@dataclass(frozen=True, slots=True)
class MetadataBroker:
    """A broker and where clients reach it."""

    node_id: int
    host: str
    port: int
    rack: str | None = None


@dataclass(frozen=True, slots=True)
class MetadataPartition:
    """A partition's leader (-1: none) and its epoch (-1: unknown)."""

    partition: int
    leader: int
    leader_epoch: int = -1
    error_code: int = 0
    replicas: tuple[int, ...] = ()
    in_sync_replicas: tuple[int, ...] = ()
    offline_replicas: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MetadataTopic:
    """A topic or the reason why nothing is known about it; ``name`` is None only for an unknown topic id (v12+)."""

    name: str | None
    partitions: tuple[MetadataPartition, ...] = ()
    error_code: int = 0
    topic_id: bytes = ZERO_UUID
    is_internal: bool = False


@dataclass(frozen=True, slots=True)
class MetadataResponse:
    """The cluster as one broker sees it. ``version`` is the one it was read at; epochs count from v9 on only."""

    brokers: tuple[MetadataBroker, ...] = ()
    topics: tuple[MetadataTopic, ...] = ()
    cluster_id: str | None = None
    controller_id: int = -1
    throttle_time_ms: int = 0
    error_code: int = 0
    version: int = 13

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        if version >= 3:
            writer.int32(self.throttle_time_ms)
        writer.count(len(self.brokers))
        for broker in self.brokers:
            _encode_broker(writer, broker, version)
        if version >= 2:
            writer.optional_text(self.cluster_id)
        if version >= 1:
            writer.int32(self.controller_id)
        writer.count(len(self.topics))
        for topic in self.topics:
            _encode_topic(writer, topic, version)
        if 8 <= version <= 10:
            writer.int32(_NO_OPERATIONS)
        if version >= 13:
            writer.int16(self.error_code)
        writer.end()
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> MetadataResponse:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"Metadata response v{version}", is_flexible(_API, version))
        throttle_time_ms = reader.int32() if version >= 3 else 0
        brokers = tuple(_decode_broker(reader, version) for _ in range(reader.count(9)))
        cluster_id = reader.optional_text() if version >= 2 else None
        controller_id = reader.int32() if version >= 1 else -1
        topics = tuple(_decode_topic(reader, version) for _ in range(reader.count(4)))
        if 8 <= version <= 10:
            reader.int32()
        error_code = reader.int16() if version >= 13 else 0
        reader.end()
        return cls(brokers, topics, cluster_id, controller_id, throttle_time_ms, error_code, version)


def _encode_broker(writer: MessageWriter, broker: MetadataBroker, version: int) -> None:
    writer.int32(broker.node_id)
    writer.text(broker.host)
    writer.int32(broker.port)
    if version >= 1:
        writer.optional_text(broker.rack)
    writer.end()


def _decode_broker(reader: MessageReader, version: int) -> MetadataBroker:
    node_id, host, port = reader.int32(), reader.text(), reader.int32()
    rack = reader.optional_text() if version >= 1 else None
    reader.end()
    return MetadataBroker(node_id, host, port, rack)


def _encode_topic(writer: MessageWriter, topic: MetadataTopic, version: int) -> None:
    writer.int16(topic.error_code)
    if version >= 12:
        writer.optional_text(topic.name)
    else:
        writer.text(topic.name or "")
    if version >= 10:
        writer.uuid(topic.topic_id)
    if version >= 1:
        writer.bool_(topic.is_internal)
    writer.count(len(topic.partitions))
    for partition in topic.partitions:
        _encode_partition(writer, partition, version)
    if version >= 8:
        writer.int32(_NO_OPERATIONS)
    writer.end()


def _decode_topic(reader: MessageReader, version: int) -> MetadataTopic:
    error_code = reader.int16()
    name = reader.optional_text() if version >= 12 else reader.text()
    topic_id = reader.uuid() if version >= 10 else ZERO_UUID
    is_internal = reader.bool_() if version >= 1 else False
    partitions = tuple(_decode_partition(reader, version) for _ in range(reader.count(12)))
    if version >= 8:
        reader.int32()
    reader.end()
    return MetadataTopic(name, partitions, error_code, topic_id, is_internal)


def _encode_partition(writer: MessageWriter, partition: MetadataPartition, version: int) -> None:
    writer.int16(partition.error_code)
    writer.int32(partition.partition)
    writer.int32(partition.leader)
    if version >= 7:
        writer.int32(partition.leader_epoch)
    lists = [partition.replicas, partition.in_sync_replicas]
    if version >= 5:
        lists.append(partition.offline_replicas)
    for nodes in lists:
        writer.count(len(nodes))
        for node_id in nodes:
            writer.int32(node_id)
    writer.end()


def _decode_partition(reader: MessageReader, version: int) -> MetadataPartition:
    error_code, index, leader = reader.int16(), reader.int32(), reader.int32()
    leader_epoch = reader.int32() if version >= 7 else -1
    replicas, in_sync = reader.int32_array(), reader.int32_array()
    offline = reader.int32_array() if version >= 5 else ()
    reader.end()
    return MetadataPartition(index, leader, leader_epoch, error_code, replicas, in_sync, offline)
