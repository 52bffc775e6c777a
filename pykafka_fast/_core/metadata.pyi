# SPDX-License-Identifier: Apache-2.0
"""What became of a record: read from its batch when somebody asks, and written nowhere before."""

from collections.abc import Iterator
from typing import Any, final

from ..types import TopicPartition

@final
class RecordMetadata:
    """Where a record went: the nine fields of kafka-python's named tuple, computed when they are read.

    It is no tuple, but unpacks, indexes, compares and hashes as one.

    offset is -1 when unknown (acks=0, a recognised duplicate, a failure); timestamp is the broker's under
    LogAppendTime, else the record's, in ms, -1 on failure; sizes are in bytes, -1 for what is absent.
    """

    _fields: tuple[str, ...]
    def __init__(
        self,
        topic: str,
        partition: int,
        topic_partition: TopicPartition | None = None,
        offset: int = -1,
        timestamp: int = -1,
        checksum: None = None,
        serialized_key_size: int = -1,
        serialized_value_size: int = -1,
        serialized_header_size: int = -1,
    ) -> None: ...
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def topic_partition(self) -> TopicPartition: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def checksum(self) -> None: ...
    @property
    def serialized_key_size(self) -> int: ...
    @property
    def serialized_value_size(self) -> int: ...
    @property
    def serialized_header_size(self) -> int: ...
    def _asdict(self) -> dict[str, Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...
