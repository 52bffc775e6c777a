# SPDX-License-Identifier: Apache-2.0
"""FindCoordinator (10), v0-4: which broker coordinates a consumer group or a transactional id.

=========  =====================================================================================
request    v0-3: string key; v1+: int8 key type; v4+: array of string keys (KIP-699)
response   v1+: int32 throttle ms; v0-3: one coordinator without its key {int16 error, v1+: nullable
           message, int32 node, string host, int32 port}; v4+: array of {string key, int32 node,
           string host, int32 port, int16 error, nullable message}
flexible   v3+
=========  =====================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from .api import ApiKey, is_flexible
from .message import MessageReader, MessageWriter

__all__ = ["Coordinator", "CoordinatorType", "FindCoordinatorRequest", "FindCoordinatorResponse"]

_API = ApiKey.FIND_COORDINATOR


class CoordinatorType(IntEnum):
    """What kind of key is looked up."""

    GROUP = 0
    TRANSACTION = 1


@dataclass(frozen=True, slots=True)
class FindCoordinatorRequest:
    """Asks for the coordinators of ``keys``; before v4 exactly one key, before v1 only groups."""

    keys: tuple[str, ...]
    key_type: int = CoordinatorType.GROUP

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        if version < 4:
            if len(self.keys) != 1:
                raise ValueError(f"FindCoordinator v{version} asks for one key, not {len(self.keys)}")
            writer.text(self.keys[0])
        if version >= 1:
            writer.int8(self.key_type)
        elif self.key_type != CoordinatorType.GROUP:
            raise ValueError("FindCoordinator v0 asks for groups only")
        if version >= 4:
            writer.count(len(self.keys))
            for key in self.keys:
                writer.text(key)
        writer.end()
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> FindCoordinatorRequest:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"FindCoordinator request v{version}", is_flexible(_API, version))
        keys: tuple[str, ...] = (reader.text(),) if version < 4 else ()
        key_type = reader.int8() if version >= 1 else CoordinatorType.GROUP
        if version >= 4:
            keys = tuple(reader.text() for _ in range(reader.count()))
        reader.end()
        return cls(keys, key_type)


@dataclass(frozen=True, slots=True)
class Coordinator:
    """Where one key's coordinator is, or why that is not known; ``key`` is empty before v4."""

    key: str = ""
    node_id: int = -1
    host: str = ""
    port: int = -1
    error_code: int = 0
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class FindCoordinatorResponse:
    """One coordinator per key asked for."""

    coordinators: tuple[Coordinator, ...]
    throttle_time_ms: int = 0

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        writer = MessageWriter(is_flexible(_API, version))
        if version >= 1:
            writer.int32(self.throttle_time_ms)
        if version >= 4:
            writer.count(len(self.coordinators))
            for coordinator in self.coordinators:
                _encode_coordinator(writer, coordinator)
        else:
            (only,) = self.coordinators
            writer.int16(only.error_code)
            if version >= 1:
                writer.optional_text(only.error_message)
            writer.int32(only.node_id)
            writer.text(only.host)
            writer.int32(only.port)
        writer.end()
        return writer.getvalue()

    @classmethod
    def decode(cls, data: bytes | memoryview, version: int, offset: int = 0) -> FindCoordinatorResponse:
        """Reads a body at ``version`` that starts at ``offset``."""
        reader = MessageReader(data, offset, f"FindCoordinator response v{version}", is_flexible(_API, version))
        throttle_time_ms = reader.int32() if version >= 1 else 0
        if version >= 4:
            coordinators = tuple(_decode_coordinator(reader) for _ in range(reader.count(13)))
        else:
            error_code = reader.int16()
            error_message = reader.optional_text() if version >= 1 else None
            node_id, host, port = reader.int32(), reader.text(), reader.int32()
            coordinators = (Coordinator("", node_id, host, port, error_code, error_message),)
        reader.end()
        return cls(coordinators, throttle_time_ms)


def _encode_coordinator(writer: MessageWriter, coordinator: Coordinator) -> None:
    writer.text(coordinator.key)
    writer.int32(coordinator.node_id)
    writer.text(coordinator.host)
    writer.int32(coordinator.port)
    writer.int16(coordinator.error_code)
    writer.optional_text(coordinator.error_message)
    writer.end()


def _decode_coordinator(reader: MessageReader) -> Coordinator:
    coordinator = Coordinator(
        reader.text(), reader.int32(), reader.text(), reader.int32(), reader.int16(), reader.optional_text()
    )
    reader.end()
    return coordinator
