# SPDX-License-Identifier: Apache-2.0
"""Fetch (1), v4-13, as a broker sees it: requests are decoded, responses encoded.

=========  =====================================================================================
request    int32 replica id, int32 max wait ms, int32 min bytes, int32 max bytes, int8 isolation
           level; v7+: int32 session id, int32 session epoch (KIP-227);
           topics {string name, from v13 uuid; partitions {int32 index, v9+: int32 current leader
           epoch, int64 fetch offset, v12+: int32 last fetched epoch, v5+: int64 log start offset,
           int32 max bytes}};
           v7+: forgotten topics {string name, from v13 uuid; int32[] partitions}; v11+: string rack
response   int32 throttle ms; v7+: int16 error, int32 session id;
           topics {string name, from v13 uuid; partitions {int32 index, int16 error, int64 high
           watermark, int64 last stable offset, v5+: int64 log start offset, aborted transactions
           (nullable) {int64 producer id, int64 first offset}, v11+: int32 preferred replica,
           nullable record bytes; v12+ tag 1: current leader {int32 id, int32 epoch}}}
flexible   v12+
=========  =====================================================================================

A broker that answers with session id 0 does without incremental fetch sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

from .api import ApiKey, is_flexible
from .message import ZERO_UUID, MessageReader, MessageWriter

__all__ = [
    "FetchRequest",
    "FetchResponse",
    "ForgottenTopic",
    "PartitionFetchRequest",
    "PartitionFetchResponse",
    "TopicFetchRequest",
    "TopicFetchResponse",
]

_API = ApiKey.FETCH
_CURRENT_LEADER_TAG = 1


@dataclass(frozen=True, slots=True)
class PartitionFetchRequest:
    """Where to read in one partition and how much at most."""

    partition: int
    fetch_offset: int
    max_bytes: int
    current_leader_epoch: int = -1
    last_fetched_epoch: int = -1
    log_start_offset: int = -1


@dataclass(frozen=True, slots=True)
class TopicFetchRequest:
    """One topic, by name (before v13, topic id zero) or by id (name empty)."""

    name: str
    topic_id: bytes
    partitions: tuple[PartitionFetchRequest, ...]


@dataclass(frozen=True, slots=True)
class ForgottenTopic:
    """Partitions the consumer takes out of its session."""

    name: str
    topic_id: bytes
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What a consumer wants to read."""

    topics: tuple[TopicFetchRequest, ...]
    max_wait_ms: int = 0
    min_bytes: int = 0
    max_bytes: int = 0x7FFFFFFF
    isolation_level: int = 0
    replica_id: int = -1
    session_id: int = 0
    session_epoch: int = -1
    forgotten_topics: tuple[ForgottenTopic, ...] = ()
    rack_id: str = ""

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> FetchRequest:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"Fetch request v{version}", is_flexible(_API, version))
        replica_id, max_wait_ms, min_bytes, max_bytes = reader.int32(), reader.int32(), reader.int32(), reader.int32()
        isolation_level = reader.int8()
        session_id, session_epoch = (reader.int32(), reader.int32()) if version >= 7 else (0, -1)
        topics = tuple(_decode_topic(reader, version) for _ in range(reader.count(2)))
        forgotten: tuple[ForgottenTopic, ...] = ()
        if version >= 7:
            forgotten = tuple(_decode_forgotten(reader, version) for _ in range(reader.count(2)))
        rack_id = reader.text() if version >= 11 else ""
        reader.end()
        return cls(
            topics,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation_level,
            replica_id,
            session_id,
            session_epoch,
            forgotten,
            rack_id,
        )


def _decode_name(reader: MessageReader, version: int) -> tuple[str, bytes]:
    return ("", reader.uuid()) if version >= 13 else (reader.text(), ZERO_UUID)


def _decode_topic(reader: MessageReader, version: int) -> TopicFetchRequest:
    name, topic_id = _decode_name(reader, version)
    partitions = tuple(_decode_partition(reader, version) for _ in range(reader.count(16)))
    reader.end()
    return TopicFetchRequest(name, topic_id, partitions)


def _decode_partition(reader: MessageReader, version: int) -> PartitionFetchRequest:
    index = reader.int32()
    leader_epoch = reader.int32() if version >= 9 else -1
    fetch_offset = reader.int64()
    last_fetched_epoch = reader.int32() if version >= 12 else -1
    log_start_offset = reader.int64() if version >= 5 else -1
    max_bytes = reader.int32()
    reader.end()
    return PartitionFetchRequest(index, fetch_offset, max_bytes, leader_epoch, last_fetched_epoch, log_start_offset)


def _decode_forgotten(reader: MessageReader, version: int) -> ForgottenTopic:
    name, topic_id = _decode_name(reader, version)
    topic = ForgottenTopic(name, topic_id, reader.int32_array())
    reader.end()
    return topic


@dataclass(frozen=True, slots=True)
class PartitionFetchResponse:
    """Records of one partition. ``current_leader`` is (id, epoch), where the broker knows better (v12+)."""

    partition: int
    records: bytes | None = b""
    high_watermark: int = -1
    last_stable_offset: int = -1
    log_start_offset: int = -1
    error_code: int = 0
    aborted_transactions: tuple[tuple[int, int], ...] | None = None
    preferred_read_replica: int = -1
    current_leader: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class TopicFetchResponse:
    """One topic's partitions; ``topic_id`` counts from v13 on, ``name`` before."""

    name: str
    partitions: tuple[PartitionFetchResponse, ...]
    topic_id: bytes = ZERO_UUID


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """The answer to a whole request; session id 0 means there is no session."""

    topics: tuple[TopicFetchResponse, ...] = ()
    error_code: int = 0
    session_id: int = 0
    throttle_time_ms: int = 0

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        writer.int32(self.throttle_time_ms)
        if version >= 7:
            writer.int16(self.error_code)
            writer.int32(self.session_id)
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
        writer.end()
        return writer.getvalue()


def _encode_partition(writer: MessageWriter, partition: PartitionFetchResponse, version: int) -> None:
    writer.int32(partition.partition)
    writer.int16(partition.error_code)
    writer.int64(partition.high_watermark)
    writer.int64(partition.last_stable_offset)
    if version >= 5:
        writer.int64(partition.log_start_offset)
    aborted = partition.aborted_transactions
    writer.count(None if aborted is None else len(aborted))
    for producer_id, first_offset in aborted or ():
        writer.int64(producer_id)
        writer.int64(first_offset)
        writer.end()
    if version >= 11:
        writer.int32(partition.preferred_read_replica)
    writer.optional_blob(partition.records)
    if partition.current_leader is not None:
        leader = MessageWriter(flexible=True)
        leader.int32(partition.current_leader[0])
        leader.int32(partition.current_leader[1])
        leader.end()
        writer.end({_CURRENT_LEADER_TAG: leader.getvalue()})
    else:
        writer.end()
