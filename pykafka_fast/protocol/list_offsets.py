# SPDX-License-Identifier: Apache-2.0
"""ListOffsets (2), v1-8, as a broker sees it: requests are decoded, responses encoded.

=========  =====================================================================================
request    int32 replica id; v2+: int8 isolation level; topics {string name; partitions {int32
           index, v4+: int32 current leader epoch, int64 timestamp}}
response   v2+: int32 throttle ms; topics {string name; partitions {int32 index, int16 error,
           int64 timestamp, int64 offset, v4+: int32 leader epoch}}
timestamp  ms, or -1 latest, -2 earliest, -3 the largest timestamp's (v7+), -4 earliest local (v8+)
flexible   v6+
=========  =====================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from .api import ApiKey, is_flexible
from .message import MessageReader, MessageWriter

__all__ = [
    "EARLIEST_LOCAL_TIMESTAMP",
    "EARLIEST_TIMESTAMP",
    "LATEST_TIMESTAMP",
    "MAX_TIMESTAMP",
    "ListOffsetsRequest",
    "ListOffsetsResponse",
    "PartitionOffsetRequest",
    "PartitionOffsetResponse",
    "TopicOffsetRequest",
    "TopicOffsetResponse",
]

_API = ApiKey.LIST_OFFSETS

LATEST_TIMESTAMP = -1
EARLIEST_TIMESTAMP = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL_TIMESTAMP = -4


@dataclass(frozen=True, slots=True)
class PartitionOffsetRequest:
    """Asks for the first offset at or after ``timestamp``."""

    partition: int
    timestamp: int
    current_leader_epoch: int = -1


@dataclass(frozen=True, slots=True)
class TopicOffsetRequest:
    """One topic's partitions."""

    name: str
    partitions: tuple[PartitionOffsetRequest, ...]


@dataclass(frozen=True, slots=True)
class ListOffsetsRequest:
    """Offsets asked for. ``isolation_level`` 1 is read committed."""

    topics: tuple[TopicOffsetRequest, ...]
    replica_id: int = -1
    isolation_level: int = 0

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> ListOffsetsRequest:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"ListOffsets request v{version}", is_flexible(_API, version))
        replica_id = reader.int32()
        isolation_level = reader.int8() if version >= 2 else 0
        topics = tuple(_decode_topic(reader, version) for _ in range(reader.count(2)))
        reader.end()
        return cls(topics, replica_id, isolation_level)


def _decode_topic(reader: MessageReader, version: int) -> TopicOffsetRequest:
    name = reader.text()
    partitions = tuple(_decode_partition(reader, version) for _ in range(reader.count(12)))
    reader.end()
    return TopicOffsetRequest(name, partitions)


def _decode_partition(reader: MessageReader, version: int) -> PartitionOffsetRequest:
    index = reader.int32()
    epoch = reader.int32() if version >= 4 else -1
    partition = PartitionOffsetRequest(index, reader.int64(), epoch)
    reader.end()
    return partition


@dataclass(frozen=True, slots=True)
class PartitionOffsetResponse:
    """The offset found and its record's timestamp, -1 and -1 if there is none."""

    partition: int
    offset: int = -1
    timestamp: int = -1
    error_code: int = 0
    leader_epoch: int = -1


@dataclass(frozen=True, slots=True)
class TopicOffsetResponse:
    """One topic's partitions."""

    name: str
    partitions: tuple[PartitionOffsetResponse, ...]


@dataclass(frozen=True, slots=True)
class ListOffsetsResponse:
    """The answer to a whole request."""

    topics: tuple[TopicOffsetResponse, ...]
    throttle_time_ms: int = 0

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        if version >= 2:
            writer.int32(self.throttle_time_ms)
        writer.count(len(self.topics))
        for topic in self.topics:
            writer.text(topic.name)
            writer.count(len(topic.partitions))
            for partition in topic.partitions:
                _encode_partition(writer, partition, version)
            writer.end()
        writer.end()
        return writer.getvalue()


def _encode_partition(writer: MessageWriter, partition: PartitionOffsetResponse, version: int) -> None:
    writer.int32(partition.partition)
    writer.int16(partition.error_code)
    writer.int64(partition.timestamp)
    writer.int64(partition.offset)
    if version >= 4:
        writer.int32(partition.leader_epoch)
    writer.end()
