# SPDX-License-Identifier: Apache-2.0
"""One connection to one broker, driven by its owner's selector and clock.

::

    CONNECTING --TCP up--> CHECKING_API_VERSIONS --versions known--> READY --detach()--> DETACHED
         \\____________________________ any failure, close() ____________________________/ --> CLOSED

Nothing blocks and nothing is called from other threads. The owner registers ``fileno()`` for ``wants()``, calls
``on_readable`` and ``on_writable`` as the selector says and ``on_deadline`` when ``deadline()`` has come, and looks at
all three again after every call, because any call may change them.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..errors import BrokerResponseError, IllegalStateError, KafkaConnectionError, KafkaError, KafkaProtocolError
from ..option import host_port
from ..protocol.api import APIS, ApiKey, api_name, negotiate
from ..protocol.header import encode_request
from .dialer import Dialer, is_connected
from .frames import FrameBuffer
from .handshake import ApiVersionsHandshake
from .in_flight import InFlightRequest, InFlightRequests
from .options import ConnectionOptions
from .resolver import Address
from .state import ConnectionState, Detached, Request
from .wakeup import NO_SIGPIPE
from .wiredump import WireDump

__all__ = ["BrokerConnection", "ConnectionState", "Detached", "Request"]

_NS_PER_MS = 1_000_000
_READ_SIZE = 65_536
_READS_PER_EVENT = 16
_MAX_CORRELATION_ID = 0x7FFFFFF0  # the few above are kept for SASL, as Java does

Response = TypeVar("Response")


class BrokerConnection:
    """Connects, learns the broker's versions, then sends requests and hands out responses.

    Every failure closes the connection and is told once, as one KafkaConnectionError that names the broker, what was
    under way and why: first to the callbacks of all requests in flight, oldest first, then to ``on_closed``.

    Args:
        node_id: the broker's id; negative for a bootstrap server.
        host, port: the broker's name, for messages.
        addresses: where to connect, tried in turn; at least one.
        options: what all connections have in common.
        clock: monotonic nanoseconds.
        setup_timeout_ms: how long each address may take to connect (KIP-601: grows with failures, see ReconnectState).
        on_ready: called when ``api_versions`` is known and requests may be submitted.
        on_closed: called once with the reason when the connection has failed or was closed, not when detached.
        ask_oldest: ask for the versions at the oldest version of that question.
        forget_fd: called with ``fileno()`` right before that number stops being ours (another address is tried, or
            the connection ends), so that the owner unregisters it in time.
        wire_dump: logs messages.
    """

    def __init__(
        self,
        node_id: int,
        host: str,
        port: int,
        addresses: Sequence[Address],
        options: ConnectionOptions,
        clock: Callable[[], int] = time.monotonic_ns,
        *,
        setup_timeout_ms: int = 10_000,
        ask_oldest: bool = False,
        on_ready: Callable[[BrokerConnection], None] | None = None,
        on_closed: Callable[[BrokerConnection, KafkaConnectionError], None] | None = None,
        forget_fd: Callable[[int], None] | None = None,
        wire_dump: WireDump | None = None,
    ) -> None:
        self.node_id = node_id
        self.host = host
        self.port = port
        self.state = ConnectionState.CONNECTING
        self.error: KafkaConnectionError | None = None
        """Why the connection is CLOSED."""
        self.api_versions: dict[int, tuple[int, int]] = {}
        """What the broker speaks; known once READY."""
        self.ended_idle = False
        """Whether the peer, or the system, ended it while it was READY and nothing was in flight."""
        self.hung_up = False
        """Whether the peer ended it instead of telling its versions."""
        self.tcp_connected = False
        """Whether TCP came up, whatever happened later."""
        self.throttled_until_ns = 0
        """The broker asked for no further request before this time (KIP-219)."""
        self.last_activity_ns = clock()
        """When bytes were last sent or received."""
        self._options = options
        self._clock = clock
        self._setup_timeout_ms = setup_timeout_ms
        self._on_ready = on_ready
        self._on_closed = on_closed
        self._forget_fd = forget_fd
        self._wire_dump = wire_dump or WireDump(False)
        self._dialer = Dialer(addresses, options)
        self._handshake = ApiVersionsHandshake(options.software_name, options.software_version, ask_oldest)
        self._socket: socket.socket | None = None
        self._setup_deadline_ns = 0
        self._outgoing = bytearray()
        self._frames = FrameBuffer(options.receive_message_max_bytes)
        self._in_flight = InFlightRequests()
        self._answered = False  # anything but ApiVersions
        self._next_correlation_id = 1

    def __str__(self) -> str:
        node = f" (node {self.node_id})" if self.node_id >= 0 else ""
        return f"{host_port(self.host, self.port)}{node}"

    # What the owner's selector needs to know

    def fileno(self) -> int:
        """The socket's number, -1 without one."""
        return -1 if self._socket is None else self._socket.fileno()

    def wants(self) -> int:
        """The ``selectors`` events to wait for; 0 without a socket."""
        if self._socket is None:
            return 0
        if self.state is ConnectionState.CONNECTING:
            return selectors.EVENT_WRITE
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)

    def deadline(self) -> int | None:
        """When ``on_deadline`` is due; None if nothing is waited for."""
        if self._socket is None:
            return None
        if self.state is ConnectionState.CONNECTING:
            return self._setup_deadline_ns
        return self._in_flight.deadline()

    @property
    def address(self) -> Address | None:
        """The address it is connected to, or tried last."""
        return self._dialer.address

    @property
    def was_useful(self) -> bool:
        """Whether it answered more than the question for its versions, or ended before it was asked more."""
        return self._answered or self.ended_idle

    @property
    def in_flight_count(self) -> int:
        """Requests that wait for a response."""
        return len(self._in_flight)

    @property
    def waiting_since_ns(self) -> int | None:
        """When the oldest request that waits for a response was sent; None without one."""
        oldest = self._in_flight.oldest
        return None if oldest is None else oldest.deadline_ns - oldest.timeout_ms * _NS_PER_MS

    # Life

    def start(self) -> None:
        """Begin connecting. May close at once, if no address can even be tried."""
        if self._socket is not None or self.state is not ConnectionState.CONNECTING:
            raise IllegalStateError(f"{self}: started twice")
        self._dial_next()

    def close(self, reason: str | KafkaConnectionError = "closed by the client") -> None:
        """Give the connection up; requests in flight fail with ``reason``. Harmless if it has ended already."""
        if self.state not in (ConnectionState.CLOSED, ConnectionState.DETACHED):
            error = reason if isinstance(reason, KafkaConnectionError) else KafkaConnectionError(f"{self}: {reason}")
            self._end(error)

    def abandon(self) -> None:
        """In a forked child: close our copy of the descriptor; nobody is told, the parent's connection goes on."""
        self.state = ConnectionState.CLOSED
        self._drop_socket()

    def detach(self) -> Detached:
        """Hand the socket over. Only a READY connection with nothing in flight, unsent or unread can be detached."""
        if self.state is not ConnectionState.READY or self._socket is None:
            raise IllegalStateError(f"{self}: cannot detach a connection that is {self.state.value}")
        if self._in_flight or self._outgoing or len(self._frames):
            raise IllegalStateError(f"{self}: cannot detach a connection that is in use")
        self._forget()
        fd = self._socket.detach()
        self._socket = None
        self.state = ConnectionState.DETACHED
        throttle_ms = -(-max(0, self.throttled_until_ns - self._clock()) // _NS_PER_MS)
        return Detached(fd, self._next_correlation_id, self.api_versions, throttle_ms)

    # Requests

    def submit(
        self,
        api: ApiKey,
        request: Request,
        decode: Callable[[bytes, int, int], Response],
        callback: Callable[[Response | None, KafkaError | None], None],
        *,
        max_version: int | None = None,
        timeout_ms: int | None = None,
    ) -> int:
        """Send ``request`` at the newest version both sides know.

        Args:
            api: which API.
            request: the message.
            decode: reads the body: ``decode(data, version, offset)``.
            callback: called exactly once, never before ``submit`` returns: ``callback(response, None)`` or
                ``callback(None, error)``.
            max_version: use no newer version.
            timeout_ms: instead of ``request_timeout_ms``.

        Returns:
            The version used.

        Raises:
            UnsupportedVersionError: broker and client have no version in common.
            IllegalStateError: the connection is not READY.
        """
        if self.state is not ConnectionState.READY:
            raise IllegalStateError(f"{self}: cannot send {api_name(api)} while {self.state.value}")
        version = negotiate(api, self.api_versions.get(api), max_version)
        self._send(api, version, request, decode, callback, timeout_ms or self._options.request_timeout_ms)
        return version

    def _send(
        self,
        api: ApiKey,
        version: int,
        request: Request,
        decode: Callable[[bytes, int, int], Any],
        callback: Callable[[Any, KafkaError | None], None],
        timeout_ms: int,
    ) -> None:
        correlation_id = self._next_correlation_id
        frame = encode_request(api, version, correlation_id, self._options.client_id, request.encode(version))
        self._next_correlation_id = correlation_id % _MAX_CORRELATION_ID + 1
        deadline_ns = self._clock() + timeout_ms * _NS_PER_MS
        self._in_flight.add(InFlightRequest(api, version, correlation_id, decode, callback, deadline_ns, timeout_ms))
        self._wire_dump.sent(str(self), api, version, correlation_id, request)
        idle = not self._outgoing
        self._outgoing += frame
        if idle:
            # An error is reported by the selector again, outside of submit, where callbacks may run.
            with contextlib.suppress(OSError):
                self._write()

    # Events

    def on_writable(self) -> None:
        """The selector says: connected, failed to, or room for more bytes."""
        if self.state is ConnectionState.CONNECTING:
            self._check_connected()
        elif self._socket is not None:
            try:
                self._write()
            except OSError as error:
                self.on_readable()  # whatever the broker said before it closed explains more
                if self._socket is not None:
                    self._ended(_reason(error), error)

    def on_readable(self) -> None:
        """The selector says: bytes, or the end of them."""
        if self.state is ConnectionState.CONNECTING:
            return
        for _ in range(_READS_PER_EVENT):
            if self._socket is None:
                return
            try:
                chunk = self._socket.recv(_READ_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._ended(_reason(error), error)
                return
            if not chunk:
                self._ended("the broker closed the connection")
                return
            self.last_activity_ns = self._clock()
            self._frames.feed(chunk)
            self._deliver()

    def on_deadline(self, now_ns: int) -> None:
        """Act on what is overdue at ``now_ns``; the socket is read before a request is called overdue."""
        if self.state is ConnectionState.CONNECTING:
            if self._socket is not None and now_ns >= self._setup_deadline_ns:
                self._try_next_address(f"no connection within {self._setup_timeout_ms} ms")
            return
        self.on_readable()
        overdue = self._in_flight.overdue(now_ns)
        if overdue is not None and self._socket is not None:
            reason = f"no response within {overdue.timeout_ms} ms"
            if self.state is ConnectionState.CHECKING_API_VERSIONS:
                reason += "; is this a Kafka broker?"
            self._fail(reason)

    # Connecting

    def _dial_next(self) -> None:
        sock = self._dialer.dial_next()
        self._drop_socket()
        if sock is None:
            failures = "; ".join(self._dialer.failures) or "no address"
            self._end(KafkaConnectionError(f"{self}: could not connect: {failures}"))
            return
        self._socket = sock
        self._setup_deadline_ns = self._clock() + self._setup_timeout_ms * _NS_PER_MS

    def _check_connected(self) -> None:
        if self._socket is None:
            return
        try:
            if not is_connected(self._socket):
                return
        except OSError as error:
            self._try_next_address(_reason(error))
            return
        self.tcp_connected = True
        self.state = ConnectionState.CHECKING_API_VERSIONS
        self._ask_api_versions()

    def _try_next_address(self, reason: str) -> None:
        self._dialer.failed(reason)
        self._dial_next()

    # Shaking hands

    def _ask_api_versions(self) -> None:
        self._send(
            ApiKey.API_VERSIONS,
            self._handshake.version,
            self._handshake.request,
            lambda data, _version, offset: data[offset:],
            self._on_api_versions,
            self._options.request_timeout_ms,
        )

    def _on_api_versions(self, body: bytes | None, _error: KafkaError | None) -> None:
        if body is None:
            return  # the connection has failed and says so through on_closed
        try:
            response = self._handshake.on_response(body)
        except KafkaError as error:
            self._fail(_text(error), error, during="ApiVersions")
            return
        if response is None:
            self._ask_api_versions()
            return
        if len(self._frames):
            self._fail("bytes that nobody asked for", during="ApiVersions")
            return
        self._note_throttle(ApiKey.API_VERSIONS, self._handshake.version, response)
        self.api_versions = response.api_versions
        self.state = ConnectionState.READY
        if self._on_ready is not None:
            self._on_ready(self)

    # Bytes

    def _write(self) -> None:
        while self._outgoing and self._socket is not None:
            try:
                sent = self._socket.send(self._outgoing, NO_SIGPIPE)
            except (BlockingIOError, InterruptedError):
                return
            del self._outgoing[:sent]
            self.last_activity_ns = self._clock()

    def _deliver(self) -> None:
        """Give every whole response to its callback."""
        while self._socket is not None:
            try:
                frame = self._frames.next_frame()
                if frame is None:
                    return
                request, response = self._in_flight.match(frame)
            except KafkaProtocolError as error:
                self._fail(_text(error), error)
                return
            self._wire_dump.received(str(self), request.api, request.version, request.correlation_id, response)
            self._note_throttle(request.api, request.version, response)
            self._answered = self._answered or self.state is ConnectionState.READY
            request.callback(response, None)

    def _note_throttle(self, api: int, version: int, response: object) -> None:
        throttle_ms = getattr(response, "throttle_time_ms", 0)
        throttle_version = APIS[api].throttle_version
        if throttle_ms > 0 and throttle_version is not None and version >= throttle_version:
            throttle_ns = throttle_ms * _NS_PER_MS
            self.throttled_until_ns = max(self.throttled_until_ns, self._clock() + throttle_ns)
            self._in_flight.extend(throttle_ns)

    # The end

    def _fail(self, reason: str, cause: BaseException | None = None, during: str = "") -> None:
        oldest = self._in_flight.oldest
        during = during or (api_name(oldest.api) if oldest else "idle")
        error = KafkaConnectionError(f"{self}: {during}: {reason}")
        error.__cause__ = cause
        self._end(error)

    def _ended(self, reason: str, cause: BaseException | None = None) -> None:
        if self.state is ConnectionState.CHECKING_API_VERSIONS:
            self.hung_up = True
            reason += " instead of answering; is this a TLS or SASL listener, or no Kafka broker?"
        elif self._in_flight and not self._answered:
            reason += " at the first request; is this a SASL listener?"
        self.ended_idle = self.state is ConnectionState.READY and not self._in_flight
        self._fail(reason, cause)

    def _end(self, error: KafkaConnectionError) -> None:
        self.state = ConnectionState.CLOSED
        self.error = error
        self._drop_socket()
        self._outgoing.clear()
        for request in self._in_flight.take_all():
            request.callback(None, error)
        if self._on_closed is not None:
            self._on_closed(self, error)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._forget()
            self._socket.close()
            self._socket = None

    def _forget(self) -> None:
        if self._forget_fd is not None:
            self._forget_fd(self.fileno())


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _text(error: KafkaError) -> str:
    """The error's message without its class, which means nothing inside of another message."""
    return f"{error.message}: {error.args[0]}" if isinstance(error, BrokerResponseError) else str(error.args[0])
