# SPDX-License-Identifier: Apache-2.0
"""Name look-up, which may block for many seconds, on threads of its own."""

from __future__ import annotations

# getaddrinfo() imports it when it is first called; if another thread forks in that moment, the child can never have it.
import encodings.idna  # noqa: F401
import socket
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeAlias

from ..errors import KafkaConnectionError
from ..native import getaddrinfo, getnameinfo, new_thread
from ..option import host_port
from ..queue_thread import QueueThread

__all__ = ["Address", "Resolution", "Resolver"]

_MAX_PORT = 65_535
_PARTING_S = 0.1  # an idle thread ends at once; one in a look-up that hangs is not waited for


class Address(NamedTuple):
    """One socket address of a broker.

    ``host`` is the name to verify and to show: the one that was looked up, or the canonical one.
    """

    family: int
    sockaddr: tuple[Any, ...]
    host: str

    def __str__(self) -> str:
        return host_port(*self.sockaddr[:2])

    @property
    def is_loopback(self) -> bool:
        """Whether it is of the loopback device; this machine may have other addresses."""
        return ip_address(self.sockaddr[0]).is_loopback


class Resolution(NamedTuple):
    """The outcome of a look-up: addresses in the resolver's order, or an error and none."""

    host: str
    port: int
    addresses: tuple[Address, ...]
    error: KafkaConnectionError | None


ResolutionCallback: TypeAlias = Callable[[Resolution], None]
_Key: TypeAlias = tuple[str, int, bool]


class Resolver:
    """Looks names up without blocking the caller.

    ``resolve`` and ``run_callbacks`` belong to one thread, the sender. A name that is being looked up already is not
    looked up twice, so a hanging name server costs one thread per name. One thread more stands by from the first
    ``resolve`` on, for the look-ups that get none of their own: a system may be at its limit, and from Python 3.12 on
    an interpreter that is ending, while its exit handlers still deliver, starts no thread any more.

    Args:
        wake: called, on any thread, when callbacks are ready to run; maybe still in the moment of ``close``.
        lookup: ``socket.getaddrinfo`` or a stand-in.
        canonical_name: from a socket address to its host name, ``socket.getnameinfo`` or a stand-in.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        lookup: Callable[..., list[Any]] = getaddrinfo,
        canonical_name: Callable[..., tuple[str, str]] = getnameinfo,
    ) -> None:
        self._wake = wake
        self._lookup = lookup
        self._canonical_name = canonical_name
        self._waiting: dict[_Key, list[ResolutionCallback]] = {}
        self._closed = False
        self._done: deque[tuple[_Key, Resolution]] = deque()
        self._standby: QueueThread[_Key] = QueueThread("pykafka_fast-resolve", self._run)

    def resolve(self, host: str, port: int, callback: ResolutionCallback, *, canonical: bool = False) -> None:
        """Look ``host`` up and pass the outcome to ``callback`` from a later ``run_callbacks``.

        Args:
            host: a name or a literal address; literals are not looked up.
            port: goes into the socket addresses.
            callback: called exactly once, unless the resolver is closed before.
            canonical: give each address its canonical host name (``resolve_canonical_bootstrap_servers_only``).
        """
        key = (host, port, canonical)
        callbacks = self._waiting.setdefault(key, [])
        callbacks.append(callback)
        if len(callbacks) > 1:
            return
        self._standby.start()
        if not 0 < port <= _MAX_PORT:  # getaddrinfo would cut it to 16 bits
            error = KafkaConnectionError(f"{host_port(host, port)}: a port is a number from 1 to {_MAX_PORT}")
            self._post(key, Resolution(host, port, (), error))
            return
        literal = None if canonical else self._literal(host, port)
        if literal:
            self._post(key, Resolution(host, port, literal, None))
            return
        try:
            new_thread(f"pykafka_fast-resolve-{host}", lambda: self._run(key)).start()
        except RuntimeError as refusal:
            if self._standby.put(key):
                return
            error = KafkaConnectionError(f"{host_port(host, port)}: cannot resolve the host name: {refusal}")
            self._post(key, Resolution(host, port, (), error))

    def run_callbacks(self) -> int:
        """Run the callbacks of finished look-ups; returns how many ran."""
        count = 0
        while self._done:
            key, resolution = self._done.popleft()
            for callback in self._waiting.pop(key, ()):
                callback(resolution)
                count += 1
        return count

    def close(self) -> None:
        """Forget everything; running look-ups end unheard."""
        self._closed = True
        self._waiting.clear()
        self._done.clear()
        self._standby.close(_PARTING_S)

    def _literal(self, host: str, port: int) -> tuple[Address, ...]:
        try:
            found = getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            return ()
        return _addresses(found, host)

    def _run(self, key: _Key) -> None:
        host, port, canonical = key
        try:
            addresses = _addresses(self._lookup(host, port, type=socket.SOCK_STREAM), host)
            if canonical:
                addresses = tuple(self._with_canonical_name(address) for address in addresses)
            error = None if addresses else KafkaConnectionError(f"{host_port(host, port)}: the name has no address")
        except (OSError, UnicodeError) as failure:
            addresses = ()
            error = KafkaConnectionError(f"{host_port(host, port)}: cannot resolve the host name: {_reason(failure)}")
        self._post(key, Resolution(host, port, addresses, error))

    def _with_canonical_name(self, address: Address) -> Address:
        try:
            return address._replace(host=self._canonical_name(address.sockaddr, socket.NI_NAMEREQD)[0])
        except OSError:
            return address

    def _post(self, key: _Key, resolution: Resolution) -> None:
        self._done.append((key, resolution))
        if not self._closed:
            self._wake()


def _addresses(found: list[Any], host: str) -> tuple[Address, ...]:
    unique = dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found)
    return tuple(
        Address(family, sockaddr, host) for family, sockaddr in unique if family in (socket.AF_INET, socket.AF_INET6)
    )


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
