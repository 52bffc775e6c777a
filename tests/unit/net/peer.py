# SPDX-License-Identifier: Apache-2.0
"""The other end of a connection under test, scripted by the test in the same thread, and a clock that stands still."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from pykafka_fast.errors import KafkaConnectionError
from pykafka_fast.net.connection import BrokerConnection, ConnectionState
from pykafka_fast.net.options import ConnectionOptions
from pykafka_fast.net.resolver import Address
from pykafka_fast.protocol.api import APIS
from pykafka_fast.protocol.api_versions import ApiVersionsResponse
from pykafka_fast.protocol.header import RequestHeader, encode_response

DEADLINE_S = 10.0
MS = 1_000_000
RANGES = {int(key): (spec.min_version, spec.max_version) for key, spec in APIS.items()}


class FakeClock:
    """Monotonic nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000 * MS

    def __call__(self) -> int:
        return self.now_ns

    def advance_ms(self, duration_ms: int) -> int:
        self.now_ns += duration_ms * MS
        return self.now_ns


class Listener:
    """A port on loopback."""

    def __init__(self, family: int = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.socket.listen()
        self.socket.settimeout(DEADLINE_S)
        self.address = Address(family, self.socket.getsockname(), "localhost")
        self.port = self.address.sockaddr[1]

    def accept(self) -> Peer:
        return Peer(self.socket.accept()[0])

    def close(self) -> None:
        self.socket.close()


class Peer:
    """One accepted connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(DEADLINE_S)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.socket.recv(size - len(data))
            assert chunk, "the client closed the connection"
            data += chunk
        return data

    def request(self) -> tuple[RequestHeader, bytes]:
        """The next request: its header and its body."""
        (size,) = struct.unpack(">i", self.read(4))
        frame = self.read(size)
        header, offset = RequestHeader.decode(frame)
        return header, frame[offset:]

    def answer(self, header: RequestHeader, body: bytes) -> None:
        self.send(encode_response(header.api, header.version, header.correlation_id, body))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def shake_hands(self, ranges: dict[int, tuple[int, int]] = RANGES) -> RequestHeader:
        header, _ = self.request()
        self.answer(header, ApiVersionsResponse(0, ranges).encode(header.version))
        return header

    def close(self) -> None:
        self.socket.close()


class Client:
    """A connection under test and everything it told."""

    def __init__(self, addresses: list[Address], options: ConnectionOptions | None = None, **kwargs: Any) -> None:
        self.clock = FakeClock()
        self.ready = 0
        self.closed: list[KafkaConnectionError] = []
        self.forgotten: list[int] = []
        self.results: list[tuple[Any, Any]] = []
        self.connection = BrokerConnection(
            1,
            "localhost",
            addresses[0].sockaddr[1] if addresses else 1,
            addresses,
            options or ConnectionOptions(client_id="me"),
            self.clock,
            **{"on_ready": self.on_ready, "on_closed": self.on_closed, "forget_fd": self.forgotten.append, **kwargs},
        )

    def on_ready(self, connection: BrokerConnection) -> None:
        assert connection is self.connection
        assert connection.state is ConnectionState.READY
        self.ready += 1

    def on_closed(self, connection: BrokerConnection, error: KafkaConnectionError) -> None:
        assert connection.state is ConnectionState.CLOSED
        assert connection.error is error
        assert connection.fileno() == -1
        assert connection.wants() == 0
        assert connection.deadline() is None
        self.closed.append(error)

    def on_result(self, response: Any, error: Any) -> None:
        self.results.append((response, error))

    @property
    def state(self) -> ConnectionState:
        return self.connection.state

    def turn(self, timeout_s: float) -> bool:
        """One round of an owner's loop; False if nothing happened in time."""
        fd, wants = self.connection.fileno(), self.connection.wants()
        if fd < 0:
            return False
        readable, writable, _ = select.select([fd] * (wants & 1), [fd] * (wants >> 1 & 1), [], timeout_s)
        if writable:
            self.connection.on_writable()
        if readable:
            self.connection.on_readable()
        return bool(readable or writable)

    def run_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"still waiting; {self.state}"
            self.turn(0.1)

    def run_until_closed(self) -> str:
        """Runs until the connection has failed, and returns what it says."""
        self.run_until(lambda: self.state is ConnectionState.CLOSED)
        (error,) = self.closed
        return str(error)
