# SPDX-License-Identifier: Apache-2.0
"""A thread for what the caller must not wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["QueueThread"]

_T = TypeVar("_T")


class QueueThread(Generic[_T]):
    """A daemon thread that works off a queue, in order, and exists from the first ``start()`` or ``put()`` on.

    Args:
        name: of the thread.
        work: called on the thread with each item; must not raise.
    """

    def __init__(self, name: str, work: Callable[[_T], None]) -> None:
        self._name = name
        self._work = work
        self._items: queue.SimpleQueue[_T | None] = queue.SimpleQueue()
        self._lock = threading.RLock()  # a signal handler may call close() in the midst of one
        self._thread: threading.Thread | None = None
        self._unfinished = 0
        self._closed = False

    @property
    def unfinished(self) -> int:
        """Items that were put and are not worked off; the one that is being worked on counts."""
        return self._unfinished

    def start(self) -> bool:
        """Start the thread, if that is still to do. False: the system, or an interpreter that is ending, has none."""
        with self._lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
            return not self._closed

    def put(self, item: _T) -> bool:
        """Leave ``item`` to the thread. False: there is none, or none any more."""
        with self._lock:
            if not self.start():
                return False
            self._unfinished += 1
            self._items.put(item)
        return True

    def close(self, timeout: float) -> None:
        """End the thread when what waits is done, and wait for that, ``timeout`` seconds at most."""
        with self._lock:
            self._closed = True
            self._items.put(None)
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        for item in iter(self._items.get, None):
            self._work(item)
            with self._lock:
                self._unfinished -= 1
