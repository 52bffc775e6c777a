# SPDX-License-Identifier: Apache-2.0
"""A thread of the producer's own: started once, and known again, whatever signal handlers and finalizers do."""

from __future__ import annotations

import time
from collections.abc import Callable

from .native import Lock, Thread, get_ident, has_greenlets, leave_thread, new_thread, rest

__all__ = ["OwnThread"]

_SLICE_S = 0.05  # signals are served at least this often


class OwnThread:
    """A daemon thread.

    An exception of a signal handler may end ``Thread.start()`` at any moment; a handler, or a finalizer that the
    garbage collector runs, may in the midst of it be in need of the very thread. So whoever finds none starts one: the
    first to run is it, and any other ends at once.

    Args:
        name: of the thread.
        run: its work.
    """

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self._name = name
        self._run = run
        self._claims: dict[str, Thread] = {}  # at most one
        self._thread: Thread | None = None
        self._over = False

    @property
    def started(self) -> bool:
        """Whether it runs, or has run."""
        return self._thread is not None

    def start(self) -> None:
        """Start it unless it runs, or has run.

        Raises:
            RuntimeError: the system, or an interpreter that is ending, has no thread for us.
        """
        while self._thread is None:
            claimed = Lock()
            claimed.acquire()
            self._start_one(claimed)
            claimed.acquire()

    def _start_one(self, claimed: Lock) -> None:
        thread = new_thread(self._name, lambda: self._claim(thread, claimed))
        thread.start()

    def _claim(self, me: Thread, claimed: Lock) -> None:
        self._thread = self._claims.setdefault("thread", me)  # which is atomic
        claimed.release()
        if self._thread is me:
            try:
                self._run()
            finally:
                leave_thread()

    def is_current(self) -> bool:
        """Whether the caller is this thread, be it while its thread-local objects are let go, when it is nobody else's
        idea of the current one any more."""
        thread = self._thread
        return thread is not None and thread.ident == get_ident() and not self._over

    def join(self, timeout: float | None) -> bool:
        """Wait until it has ended, ``timeout`` seconds at most, and serve signals meanwhile.

        Returns:
            Whether it has ended, or never ran. On the thread itself False, at once.
        """
        thread = self._thread
        if thread is None:
            return True
        if self.is_current():
            return False
        deadline = None if timeout is None else time.monotonic() + timeout
        while thread.is_alive():
            left = _SLICE_S if deadline is None else min(_SLICE_S, deadline - time.monotonic())
            if left <= 0:
                return False
            thread.join(0 if has_greenlets() else left)
            rest()
        self._over = True
        return True
