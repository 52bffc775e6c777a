# SPDX-License-Identifier: Apache-2.0
"""What a connection can be, what it carries, and what is left of it for whoever takes it over."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

__all__ = ["ConnectionState", "Detached", "Request"]


class ConnectionState(Enum):
    """Where a connection is in its life."""

    CONNECTING = "connecting"
    CHECKING_API_VERSIONS = "checking API versions"
    READY = "ready"
    DETACHED = "detached"
    CLOSED = "closed"


class Request(Protocol):
    """A message that can be written at any version of its API."""

    def encode(self, version: int) -> bytes:
        """The body at ``version``."""
        ...


class Detached(NamedTuple):
    """A ready connection that belongs to somebody else now.

    ``fd`` is a connected, non-blocking socket with nothing unread and nothing unwritten, to be closed by its owner.
    ``throttle_ms`` is for how long the broker wants to be left alone.
    """

    fd: int
    next_correlation_id: int
    api_versions: dict[int, tuple[int, int]]
    throttle_ms: int = 0
