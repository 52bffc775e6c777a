# SPDX-License-Identifier: Apache-2.0
"""What the future of a send_many() leads to: metadata and failures, made when somebody reads them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from ..errors import KafkaError
from .metadata import RecordMetadata
from .range import RangeFuture

class RangeMetadata(Sequence[RecordMetadata]):
    """The RecordMetadata of every row of a send_many(), in order, made when they are read. A slice is a list."""

    def __init__(self, future: RangeFuture) -> None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int) -> RecordMetadata: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordMetadata]: ...

class RangeFailures(Mapping[int, KafkaError]):
    """Index to exception of the records of a send_many() that have failed, in order; exceptions are made when read."""

    def __init__(self, future: RangeFuture) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...
    def __getitem__(self, row: int) -> KafkaError: ...
