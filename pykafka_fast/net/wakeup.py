# SPDX-License-Identifier: Apache-2.0
"""Waking a thread that waits in a selector."""

from __future__ import annotations

import contextlib
import socket

from ..native import socketpair

__all__ = ["NO_SIGPIPE", "Wakeup"]

NO_SIGPIPE = getattr(socket, "MSG_NOSIGNAL", 0)  # the process may have set SIGPIPE to end it


class Wakeup:
    """A pair of connected sockets. ``signal`` may be called from any thread, the rest belongs to the one that waits."""

    def __init__(self) -> None:
        self._reader, self._writer = socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._signalled = False

    def fileno(self) -> int:
        """Readable after ``signal``."""
        return self._reader.fileno()

    def signal(self) -> None:
        """Wake the waiting thread; harmless after ``close``."""
        if self._signalled:
            return
        self._signalled = True
        try:
            self._writer.send(b"\0", NO_SIGPIPE)
        except OSError:  # full, so that it is readable anyway, or closed
            return

    def clear(self) -> None:
        """Wait for the next signal. To be called before looking at what it announces."""
        with contextlib.suppress(OSError):  # nothing left
            while self._reader.recv(64):
                pass
        # Last: a signal from before this line needs no byte, since its news is looked at after it. The other way round
        # its byte could be read above while the mark it left kept all later ones quiet.
        self._signalled = False

    def close(self) -> None:
        """No more signals."""
        self._writer.close()  # first: a signal in between finds it closed, not a broken pair
        self._reader.close()
