# SPDX-License-Identifier: Apache-2.0
"""Connecting TCP sockets, without blocking, to one address of several after the other."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from ..native import Socket
from .options import ConnectionOptions
from .resolver import Address

__all__ = ["Dialer", "is_connected"]

_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR)


class Dialer:
    """Goes through a broker's addresses and remembers what was wrong with each.

    Attributes:
        address: the one being tried.
        failures: one line per address that failed.
    """

    __slots__ = ("_options", "_remaining", "address", "failures")

    def __init__(self, addresses: Sequence[Address], options: ConnectionOptions) -> None:
        self._remaining = list(reversed(addresses))
        self._options = options
        self.address: Address | None = None
        self.failures: list[str] = []

    def dial_next(self) -> socket.socket | None:
        """A socket that is connecting to the next address; it belongs to the caller. None if no address is left."""
        while self._remaining:
            self.address = self._remaining.pop()
            try:
                return self._dial(self.address)
            except OSError as error:
                self.failed(error.strerror or str(error))
        return None

    def failed(self, reason: str) -> None:
        """Note why the current address does not work."""
        self.failures.append(f"{self.address}: {reason}")

    def _dial(self, address: Address) -> socket.socket:
        sock = Socket(address.family, socket.SOCK_STREAM)
        try:
            self._options.apply(sock, address)
            code = sock.connect_ex(address.sockaddr)
            if code and code not in _IN_PROGRESS:
                raise OSError(code, os.strerror(code))
        except BaseException:
            sock.close()
            raise
        return sock


def is_connected(sock: socket.socket) -> bool:
    """Whether a connecting socket is connected by now.

    Raises:
        OSError: it never will be.
    """
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    try:
        peer = sock.getpeername()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return False
        raise
    if sock.getsockname() == peer:
        # Nobody listens there, but the system gave us the very port we dialled and TCP joined us to ourselves.
        raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    return True
