# SPDX-License-Identifier: Apache-2.0
"""A thread for what the caller must not wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from .native import RLock, SimpleQueue
from .own_thread import OwnThread

__all__ = ["QueueThread"]

_T = TypeVar("_T")


class QueueThread(Generic[_T]):
    """A daemon thread that works off a queue, in order, and exists from the first ``start()`` or ``put()`` on.

    Args:
        name: of the thread.
        work: called on the thread with each item; must not raise.
    """

    def __init__(self, name: str, work: Callable[[_T], None]) -> None:
        self._work = work
        self._thread = OwnThread(name, self._run)
        self._items: SimpleQueue[_T | None] = SimpleQueue()
        self._lock = RLock()  # a signal handler may call close() in the midst of a put()
        self._unfinished = 0
        self._closed = False

    @property
    def unfinished(self) -> int:
        """Items that were put and are not worked off; the one that is being worked on counts."""
        return self._unfinished

    def start(self) -> bool:
        """Start the thread, if that is still to do. False: the system, or an interpreter that is ending, has none."""
        if self._closed:
            return False
        try:
            self._thread.start()
        except RuntimeError:
            return False
        return True

    def put(self, item: _T) -> bool:
        """Leave ``item`` to the thread. False: there is none, or none any more."""
        if not self.start():
            return False
        with self._lock:
            if self._closed:
                return False
            self._unfinished += 1
            self._items.put(item)
        return True

    def close(self, timeout: float) -> None:
        """End the thread when what waits is done, and wait for that, ``timeout`` seconds at most."""
        with self._lock:
            self._closed = True
            self._items.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        for item in iter(self._items.get, None):
            self._work(item)
            with self._lock:
                self._unfinished -= 1
