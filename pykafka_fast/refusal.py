# SPDX-License-Identifier: Apache-2.0
"""Why the C library did not take a record, as an exception with cause and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._core.producer_base import CLOSED, EXHAUSTED, NO_HEADERS, TOO_LARGE
from .errors import (
    BufferExhaustedError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosedError,
    UnsupportedVersionError,
)

if TYPE_CHECKING:
    from ._core.accumulator import Accumulator

__all__ = ["refusal", "size_of"]


def size_of(data: Any) -> int:
    """Bytes of a serialized key or value."""
    return 0 if data is None else memoryview(data).nbytes


def refusal(outcome: int, topic: str, size: int | None, options: Mapping[str, Any],
            accumulator: Accumulator) -> KafkaError | MemoryError:
    """The exception for what an append answered.

    Args:
        outcome: one of TOO_LARGE, EXHAUSTED, NO_HEADERS and CLOSED; anything else means no memory.
        topic: of the record.
        size: bytes of its key and value, None if unknown.
        options: the producer's.
        accumulator: that refused it.
    """
    said = "" if size is None else f" ({size} bytes of key and value)"
    if outcome == TOO_LARGE:
        return MessageSizeTooLargeError(
            f"a record{said} for topic {topic!r} is larger than max_request_size={options['max_request_size']} or "
            f"buffer_memory={options['buffer_memory']} allow; raise them, or send less at once")
    if outcome == EXHAUSTED:
        stats = accumulator.pool_stats()
        if accumulator.callbacks_full():
            return BufferExhaustedError(
                f"{accumulator.pending_callbacks()} callbacks wait to be run, and none ended within "
                f"max_block_ms={options['max_block_ms']} to make room for that of a record for topic {topic!r}; do "
                "less in callbacks, or raise max_block_ms")
        return BufferExhaustedError(
            f"no memory for a record for topic {topic!r} within max_block_ms={options['max_block_ms']}: "
            f"{stats['acquired']} of buffer_memory={stats['budget']} bytes wait for the brokers, "
            f"{stats['waiting']} threads wait for memory; send more slowly, or raise buffer_memory or max_block_ms")
    if outcome == NO_HEADERS:
        return UnsupportedVersionError(
            f"a record for topic {topic!r} has headers, and the cluster has a broker that is too old for them: "
            "they need Kafka 0.11; send it without")
    if outcome == CLOSED:
        return ProducerClosedError("the producer was closed while a send was in progress")
    return MemoryError("the system has no memory left for a record")
