# SPDX-License-Identifier: Apache-2.0
"""The way to one broker: name look-up, connection, hand-shake, and the pause before the next attempt.

::

    idle --open()--> looking up --> connecting, shaking hands --> ready --detach()--> idle
      ^___________________ any failure, close(); back-off ______________|
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import KafkaConnectionError
from ..native import Selector
from ..option import host_port
from .backoff import ExponentialBackoff, ReconnectState
from .connection import BrokerConnection, ConnectionState, Detached
from .options import ConnectionOptions
from .resolver import Address, Resolution, Resolver
from .wiredump import WireDump

__all__ = ["Link", "Network"]

_NS_PER_MS = 1_000_000


@dataclass
class Network:
    """What all links of a producer share. Belongs to one thread.

    Attributes:
        resolver: looks names up.
        options: of all connections.
        reconnect: ``reconnect_backoff_ms`` to ``reconnect_backoff_max_ms``.
        setup_timeout: ``socket_connection_setup_timeout_ms`` to ``..._max_ms``.
        canonical_names: ``client_dns_lookup`` is ``resolve_canonical_bootstrap_servers_only``.
        max_idle_ms: an idle connection is closed after so long, never if negative.
        clock: monotonic nanoseconds.
        selector: where connections wait.
        wire_dump: logs messages.
        ask_oldest: addresses where our newest ApiVersions made the broker hang up, as one may that does not know it.
        begin_with: of a name with several addresses, by "host:port": where it answered last, or what is behind the one
            that failed last.
    """

    resolver: Resolver
    options: ConnectionOptions
    reconnect: ExponentialBackoff
    setup_timeout: ExponentialBackoff
    canonical_names: bool = False
    max_idle_ms: int = -1
    clock: Callable[[], int] = time.monotonic_ns
    selector: selectors.BaseSelector = field(default_factory=Selector)
    wire_dump: WireDump = field(default_factory=WireDump)
    ask_oldest: set[str] = field(default_factory=set)
    begin_with: dict[str, Address] = field(default_factory=dict)
    _closed: bool = False

    def watch(self, connection: BrokerConnection) -> None:
        """Let the selector wait for what the connection wants now. To be called after anything that may change that."""
        fd, wants = connection.fileno(), connection.wants()
        if fd < 0 or not wants:
            return  # forget() was called when the descriptor went
        known = self.selector.get_map().get(fd)
        if known is None:
            self.selector.register(fd, wants, connection)
        elif known.events != wants or known.data is not connection:
            self.selector.modify(fd, wants, connection)

    def forget(self, fd: int) -> None:
        """A descriptor is about to stop being ours."""
        if not self._closed and fd in self.selector.get_map():
            self.selector.unregister(fd)

    def watch_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``fd`` is readable."""
        self.selector.register(fd, selectors.EVENT_READ, callback)

    def wait(self, timeout: float | None) -> None:
        """Wait for anything to happen, up to ``timeout`` seconds, and act on it."""
        for key, events in self.selector.select(timeout):
            if callable(key.data):
                key.data()
            else:
                self._serve(key.data, events)
        self.resolver.run_callbacks()

    def _serve(self, connection: BrokerConnection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            connection.on_writable()
        if events & selectors.EVENT_READ:
            connection.on_readable()
        self.watch(connection)

    def close(self) -> None:
        """Wait for nothing more. In a forked child the parent's selector is not touched."""
        self._closed = True
        self.selector.close()


class Link:
    """One broker, reached for one purpose.

    Args:
        node_id: the broker's id, negative for a bootstrap server.
        host, port: its address.
        network: what is shared.
        on_ready: called when requests may be submitted, or the connection detached.
        on_failed: called when an attempt failed or an established connection was lost; not after ``close``.
        reconnect: the address's back-off, if it is to outlive the link.
    """

    def __init__(
        self,
        node_id: int,
        host: str,
        port: int,
        network: Network,
        on_ready: Callable[[Link], None],
        on_failed: Callable[[Link, KafkaConnectionError], None],
        reconnect: ReconnectState | None = None,
    ) -> None:
        self.node_id = node_id
        self.host = host
        self.port = port
        self.reconnect = reconnect or ReconnectState(network.reconnect, network.setup_timeout)
        self.connection: BrokerConnection | None = None
        self.ended_idle = False
        """Whether the last connection ended while nothing was asked: brokers close those that are not used."""
        self._network = network
        self._on_ready = on_ready
        self._on_failed = on_failed
        self._addresses: Sequence[Address] = ()
        self._handed_over: Address | None = None
        self._attempt = 0  # counts; a look-up of an earlier one is of no interest any more
        self._looking_up = False

    def __str__(self) -> str:
        return f"{self.address} (node {self.node_id})" if self.node_id >= 0 else self.address

    @property
    def address(self) -> str:
        """Host and port, as messages name them."""
        return host_port(self.host, self.port)

    @property
    def is_ready(self) -> bool:
        """Whether requests may be submitted."""
        return self.connection is not None and self.connection.state is ConnectionState.READY

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is under way or a connection is there."""
        return self._looking_up or self.connection is not None

    def can_open(self, now_ns: int) -> bool:
        """Whether an attempt may begin."""
        return not self.is_busy and self.reconnect.can_connect(now_ns)

    def open(self) -> None:
        """Begin an attempt."""
        self._attempt += 1
        attempt = self._attempt
        self._looking_up = True
        self.reconnect.on_attempt(self._network.clock())
        canonical = self._network.canonical_names and self.node_id < 0
        self._network.resolver.resolve(
            self.host, self.port, lambda found: self._on_addresses(attempt, found), canonical=canonical
        )

    def close(self, reason: str = "closed by the client") -> None:
        """Give up whatever is under way, without telling ``on_failed``. Requests in flight fail."""
        self._attempt += 1
        self._looking_up = False
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close(reason)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connection."""
        if self.connection is not None:
            self.connection.abandon()

    def detach(self) -> Detached:
        """Hand the ready connection over."""
        assert self.connection is not None
        connection, self.connection = self.connection, None
        self._handed_over = connection.address
        return connection.detach()

    def lost(self, given_up: bool = False) -> None:
        """The connection that was detached has ended: the next attempt waits for the back-off. If we ended it, it
        begins with another address: this one may be good for the small requests of a handshake alone."""
        if given_up:
            self._begin_with(self._handed_over, 1)
        self.reconnect.on_closed(self._network.clock(), True)

    def deadline(self) -> int | None:
        """When ``on_deadline`` is due; None if only the selector is waited for."""
        if self.connection is None:
            return None
        if self.is_ready and self.connection.in_flight_count == 0:
            return self._idle_at_ns(self.connection)
        return self.connection.deadline()

    def on_deadline(self, now_ns: int) -> None:
        """Act on what is overdue."""
        connection = self.connection
        if connection is None:
            return
        idle_at_ns = self._idle_at_ns(connection)
        if self.is_ready and connection.in_flight_count == 0:
            if idle_at_ns is not None and now_ns >= idle_at_ns:
                self.close("idle for connections_max_idle_ms")
            return
        connection.on_deadline(now_ns)
        self._network.watch(connection)

    def _idle_at_ns(self, connection: BrokerConnection) -> int | None:
        max_idle_ms = self._network.max_idle_ms
        return None if max_idle_ms < 0 else connection.last_activity_ns + max_idle_ms * _NS_PER_MS

    def _on_addresses(self, attempt: int, found: Resolution) -> None:
        if attempt != self._attempt:
            return
        self._looking_up = False
        if found.error is not None:
            self.ended_idle = False
            self._fail(found.error, False)
            return
        self._addresses = found.addresses
        begin_with = self._network.begin_with.get(self.address)
        first = found.addresses.index(begin_with) if begin_with in found.addresses else 0
        self.connection = connection = BrokerConnection(
            self.node_id,
            self.host,
            self.port,
            found.addresses[first:] + found.addresses[:first],
            self._network.options,
            self._network.clock,
            setup_timeout_ms=self.reconnect.setup_timeout_ms(),
            ask_oldest=self.address in self._network.ask_oldest,
            on_ready=self._ready,
            on_closed=self._closed,
            forget_fd=self._network.forget,
            wire_dump=self._network.wire_dump,
        )
        connection.start()
        self._network.watch(connection)

    def _ready(self, connection: BrokerConnection) -> None:
        if connection is self.connection:
            self.reconnect.on_ready()
            self._begin_with(connection.address, 0)
            self._on_ready(self)

    def _begin_with(self, address: Address | None, offset: int) -> None:
        """The next attempt begins with this address, or so many behind it."""
        addresses = self._addresses
        if len(addresses) > 1 and address in addresses:
            self._network.begin_with[self.address] = addresses[(addresses.index(address) + offset) % len(addresses)]

    def _closed(self, connection: BrokerConnection, error: KafkaConnectionError) -> None:
        if connection is self.connection:
            self.connection = None
            self.ended_idle = connection.ended_idle
            if not connection.was_useful:  # or an address that accepts and never answers would hide the others
                self._begin_with(connection.address, 1)
            if connection.hung_up:
                self._network.ask_oldest ^= {self.address}  # in turn: it may have had another reason
            self._fail(error, connection.tcp_connected)

    def _fail(self, error: KafkaConnectionError, tcp_connected: bool) -> None:
        self.reconnect.on_closed(self._network.clock(), tcp_connected)
        self._on_failed(self, error)
