# SPDX-License-Identifier: Apache-2.0
"""InitProducerId (22), v0-5: a producer id and epoch for idempotence (KIP-98) and transactions.

=========  =====================================================================================
request    nullable transactional id; int32 transaction timeout ms; v3+: int64 producer id,
           int16 epoch to be bumped (KIP-360), -1 and -1 for a new one
response   int32 throttle ms; int16 error; int64 producer id; int16 epoch
flexible   v2+
=========  =====================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from .api import ApiKey, is_flexible
from .message import MessageReader, MessageWriter

__all__ = ["InitProducerIdRequest", "InitProducerIdResponse"]

_API = ApiKey.INIT_PRODUCER_ID


@dataclass(frozen=True, slots=True)
class InitProducerIdRequest:
    """Asks for a producer id; the defaults are those of a producer without transactions."""

    transactional_id: str | None = None
    transaction_timeout_ms: int = 0x7FFFFFFF
    producer_id: int = -1
    producer_epoch: int = -1

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        writer.optional_text(self.transactional_id)
        writer.int32(self.transaction_timeout_ms)
        if version >= 3:
            writer.int64(self.producer_id)
            writer.int16(self.producer_epoch)
        writer.end()
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> InitProducerIdRequest:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"InitProducerId request v{version}", is_flexible(_API, version))
        transactional_id = reader.optional_text()
        timeout_ms = reader.int32()
        producer_id, producer_epoch = (reader.int64(), reader.int16()) if version >= 3 else (-1, -1)
        reader.end()
        return cls(transactional_id, timeout_ms, producer_id, producer_epoch)


@dataclass(frozen=True, slots=True)
class InitProducerIdResponse:
    """The id and epoch, -1 and -1 with an error."""

    error_code: int = 0
    producer_id: int = -1
    producer_epoch: int = -1
    throttle_time_ms: int = 0

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        writer.int32(self.throttle_time_ms)
        writer.int16(self.error_code)
        writer.int64(self.producer_id)
        writer.int16(self.producer_epoch)
        writer.end()
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> InitProducerIdResponse:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"InitProducerId response v{version}", is_flexible(_API, version))
        throttle_time_ms = reader.int32()
        response = cls(reader.int16(), reader.int64(), reader.int16(), throttle_time_ms)
        if response.error_code == 0 and (response.producer_id < 0 or response.producer_epoch < 0):
            raise reader.malformed(
                f"producer id {response.producer_id} with epoch {response.producer_epoch} and without an error"
            )
        reader.end()
        return response
