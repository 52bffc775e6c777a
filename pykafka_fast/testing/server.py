# SPDX-License-Identifier: Apache-2.0
"""The sockets: one thread, one selector, the listeners of all nodes and every client's connection."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from .connection import Answer, Connection, FrameError

__all__ = ["Server", "Service"]

log = logging.getLogger(__name__)
_T = TypeVar("_T")
_BACKLOG = 128
_CALL_TIMEOUT = 30.0


class Service(Protocol):
    """What the server asks of whoever answers the requests. All called on the server's thread."""

    def answer(self, connection: Connection, frame: bytearray) -> Answer | None:
        """The answer to a request; None for a request that wants none."""

    def bad_frame(self, connection: Connection, problem: str) -> None:
        """A client broke the framing; its connection is being closed."""

    def is_held(self, api: int, node_id: int) -> bool:
        """Whether answers are being held back."""

    def is_muted(self, node_id: int) -> bool:
        """Whether nothing is to be read from clients of this node."""

    def split_size(self) -> int | None:
        """Bytes per system call when answers are sent, None for as many as possible."""


class Server:
    """Accepts, reads, asks the service, writes.

    Args:
        service: answers the requests.
        host: address to listen on.
        max_frame: largest request in bytes; a client that announces more is disconnected.
    """

    def __init__(self, service: Service, host: str, max_frame: int) -> None:
        self._service = service
        self._host = host
        self._max_frame = max_frame
        self._selector = selectors.DefaultSelector()
        self._listeners: dict[int, socket.socket] = {}
        self._places: dict[int, socket.socket] = {}  # keep a stopped node's port from being given to others
        self._connections: dict[int, Connection] = {}
        self._count = 0
        self._calls: list[Callable[[], None]] = []
        self._calls_lock = threading.Lock()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ, None)
        self._running = False
        self._thread = threading.Thread(target=self._run, name="embedded-broker", daemon=True)

    # Called from any thread

    def bind(self, node_id: int, port: int = 0) -> int:
        """Listen for a node, before :meth:`start`; the port."""
        sock = self._bound(port)
        sock.listen(_BACKLOG)
        self._listeners[node_id] = sock
        self._selector.register(sock, selectors.EVENT_READ, node_id)
        return int(sock.getsockname()[1])

    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """Close everything and end the thread. May be called again."""
        if self._thread.is_alive():
            self.call(self._halt)
            self._thread.join(_CALL_TIMEOUT)
        if self._selector.get_map() is None:
            return
        for sock in (*self._listeners.values(), *self._places.values()):
            sock.close()
        for connection in list(self._connections.values()):
            connection.close()
        self._connections.clear()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def call(self, function: Callable[[], _T]) -> _T:
        """Run ``function`` on the server's thread and wait for its result. The caller must hold no lock."""
        if not self._running or threading.current_thread() is self._thread:
            return function()
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        with self._calls_lock:
            self._calls.append(run)
        self.wake()
        return future.result(_CALL_TIMEOUT)

    def wake(self) -> None:
        """Have the thread look at everything again."""
        with contextlib.suppress(OSError):  # it is awake already, or closed
            self._wake_in.send(b"\0")

    # On the server's thread

    def close_connections(self, node_id: int | None = None, reset: bool = False) -> int:
        """Close the connections to one node, or all; how many there were."""
        chosen = [c for c in self._connections.values() if node_id in (None, c.node_id)]
        for connection in chosen:
            self._close(connection, reset)
        return len(chosen)

    def stop_listening(self, node_id: int) -> None:
        """Refuse connections to a node, keeping its port."""
        sock = self._listeners.pop(node_id, None)
        if sock is None:
            return
        port = sock.getsockname()[1]
        self._selector.unregister(sock)
        sock.close()
        self._places[node_id] = self._bound(port)

    def listen_again(self, node_id: int) -> None:
        """Accept connections to a node again, on the port it had."""
        sock = self._places.pop(node_id, None)
        if sock is None:
            return
        sock.listen(_BACKLOG)
        self._listeners[node_id] = sock
        self._selector.register(sock, selectors.EVENT_READ, node_id)

    def retry_waiting(self) -> None:
        """Ask again for answers that wait for records."""
        now = time.monotonic()
        for connection in self._connections.values():
            for answer in connection.answers:
                if answer.data is None and answer.retry is not None:
                    answer.data = answer.retry(now >= answer.deadline)

    def _bound(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((self._host, port))
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        return sock

    def _halt(self) -> None:
        self._running = False

    def _run(self) -> None:
        while self._running:
            try:
                self._round()
            except Exception:
                log.exception("embedded broker: a round failed")
        self.close_connections()

    def _round(self) -> None:
        for key, events in self._selector.select(self._timeout()):
            if key.data is None:
                self._drain_wake()
            elif isinstance(key.data, Connection):
                if events & selectors.EVENT_WRITE:
                    key.data.blocked = False
                if events & selectors.EVENT_READ:
                    self._read(key.data)
            else:
                self._accept(key.fileobj, key.data)  # type: ignore[arg-type]
        with self._calls_lock:
            calls, self._calls = self._calls, []
        for call in calls:
            call()
        self.retry_waiting()
        for connection in list(self._connections.values()):
            self._write(connection)

    def _timeout(self) -> float | None:
        held, now = self._service.is_held, time.monotonic()
        times = [
            due
            for connection in self._connections.values()
            if (due := connection.next_due()) is not None and not held(connection.answers[0].api, connection.node_id)
        ]
        return max(0.0, min(times) - now) if times else None

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)

    def _accept(self, listener: socket.socket, node_id: int) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        self._count += 1
        connection = Connection(sock, self._count, node_id, self._max_frame)
        self._connections[self._count] = connection
        self._set_interest(connection, selectors.EVENT_READ)

    def _read(self, connection: Connection) -> None:
        if connection.number not in self._connections or not self._wants(connection) & selectors.EVENT_READ:
            return
        try:
            for frame in connection.receive():
                answer = self._service.answer(connection, frame)
                if answer is not None:
                    connection.answers.append(answer)
                    if answer.close:
                        break
        except BlockingIOError:
            return
        except FrameError as error:
            self._service.bad_frame(connection, str(error))
            self._close(connection)
        except (EOFError, OSError):
            if connection.has_unfinished_frame():
                log.info("connection %d ended within a frame", connection.number)
            self._close(connection)

    def _write(self, connection: Connection) -> None:
        try:
            last = None
            if not connection.blocked:
                last = connection.send_due(self._service.is_held, self._service.split_size())
        except OSError:
            self._close(connection)
            return
        if last is not None:
            self._close(connection, last.reset)
        else:
            self._set_interest(connection, self._wants(connection))

    def _wants(self, connection: Connection) -> int:
        silent = connection.is_closing or self._service.is_muted(connection.node_id)
        return (0 if silent else selectors.EVENT_READ) | (selectors.EVENT_WRITE if connection.blocked else 0)

    def _set_interest(self, connection: Connection, events: int) -> None:
        if events == connection.interest:
            return
        if connection.interest == 0:
            self._selector.register(connection.sock, events, connection)
        elif events == 0:
            self._selector.unregister(connection.sock)
        else:
            self._selector.modify(connection.sock, events, connection)
        connection.interest = events

    def _close(self, connection: Connection, reset: bool = False) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        self._set_interest(connection, 0)
        connection.close(reset)
