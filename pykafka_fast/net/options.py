# SPDX-License-Identifier: Apache-2.0
"""What every connection of a producer has in common."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..types import SocketOption
from .resolver import Address

__all__ = ["ConnectionOptions"]

# Bytes. The system lets it grow to some MB, for networks where much is under way. Here nothing is, and what lies in so
# much has left the processor's caches before the broker reads it.
_LOOPBACK_SEND_BUFFER = 256 * 1024


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Settings of connections, under the producer's option names.

    Attributes:
        client_id: sent with every request.
        request_timeout_ms: a request without an answer for so long ends the connection.
        receive_message_max_bytes: a larger response ends the connection.
        send_buffer_bytes: SO_SNDBUF. None: 256 KiB to a loopback address, else as the system has it; -1: as the system
            has it.
        receive_buffer_bytes: SO_RCVBUF; None or -1: as the system has it.
        socket_options: further ``setsockopt`` triples, applied last.
        software_name, software_version: told to the broker (KIP-511).
    """

    client_id: str | None = None
    request_timeout_ms: int = 30_000
    receive_message_max_bytes: int = 100_000_000
    send_buffer_bytes: int | None = None
    receive_buffer_bytes: int | None = None
    socket_options: Sequence[SocketOption] = ()
    software_name: str = "pykafka-fast"
    software_version: str = "unknown"

    @classmethod
    def from_config(cls, config: Mapping[str, Any], software_version: str = "unknown") -> ConnectionOptions:
        """The connections' share of a producer's resolved options."""
        return cls(
            client_id=config["client_id"],
            request_timeout_ms=config["request_timeout_ms"],
            receive_message_max_bytes=config["receive_message_max_bytes"],
            send_buffer_bytes=config["send_buffer_bytes"],
            receive_buffer_bytes=config["receive_buffer_bytes"],
            socket_options=tuple(config["socket_options"] or ()),
            software_version=software_version,
        )

    def apply(self, sock: socket.socket, address: Address) -> None:
        """Set the options on a new socket, before it connects: buffer sizes take part in TCP's hand-shake."""
        send_buffer = self.send_buffer_bytes
        if send_buffer is None and address.is_loopback:
            send_buffer = _LOOPBACK_SEND_BUFFER
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, size in ((socket.SO_SNDBUF, send_buffer), (socket.SO_RCVBUF, self.receive_buffer_bytes)):
            if size is not None and size >= 0:
                sock.setsockopt(socket.SOL_SOCKET, name, size)
        for option in self.socket_options:
            try:
                sock.setsockopt(*option)
            except OSError as error:
                raise OSError(error.errno, f"socket_options holds {option}: {error.strerror}") from error
