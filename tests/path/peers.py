# SPDX-License-Identifier: Apache-2.0
"""Servers that are not Kafka."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket], None]

HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nBad Request"
TLS_ALERT = bytes.fromhex("15030100020246")  # fatal: protocol version


def silence(connection: socket.socket) -> None:
    """Read what comes, say nothing."""
    while connection.recv(65536):
        pass


def close_at_once(connection: socket.socket) -> None:
    """Not a word."""


def answering(answer: bytes) -> Behaviour:
    """Say `answer` to the first bytes, then end."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        silence(connection)

    return behave


def pouring(data: bytes) -> Behaviour:
    """Say `data` again and again."""

    def behave(connection: socket.socket) -> None:
        while True:
            connection.sendall(data)

    return behave


PEERS: dict[str, Behaviour] = {
    "http": answering(HTTP),
    "tls": answering(TLS_ALERT),
    "garbage": answering(bytes(range(1, 256)) * 8),
    "zeros": answering(bytes(64)),
    "negative size": answering(b"\xff" * 64),
    "huge size": pouring(b"\x7f\xff\xff\xff" * 64),
    "wrong correlation id": answering(b"\0\0\0\x0a" + b"\x01" * 10),
    "half an answer": answering(b"\0\0\0\x40" + bytes(5)),
    "silence": silence,
    "closes at once": close_at_once,
}


def _serve(listener: socket.socket, behave: Behaviour, connections: list[socket.socket]) -> None:
    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            behave(connection)

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connections.append(connection)
        threading.Thread(target=one, args=(connection,), daemon=True).start()


@contextlib.contextmanager
def serving(behave: Behaviour, port: int = 0) -> Iterator[tuple[str, list[socket.socket]]]:
    """The address of a server that behaves so, and its connections so far."""
    connections: list[socket.socket] = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, behave, connections), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", connections
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
