# SPDX-License-Identifier: Apache-2.0
"""Waiting for another thread such that an exception from a signal handler (Ctrl-C) may end it at any moment.

``threading.Condition`` and ``Event`` take and give back their locks in Python code: an exception in the midst of it
leaves a lock held for ever. Here a lock is taken by nothing but ``with``, which no signal handler can come between, and
none is held while a thread waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .native import Lock, RLock, acquire

__all__ = ["Latch", "Waiters", "lent"]


@contextmanager
def lent(*locks: Any) -> Iterator[None]:
    """Around a wait: those of these reentrant locks that the caller has are let go meanwhile, and taken again.

    It has them if it is a signal handler, or a finalizer, in the midst of a section that they guard; what it waits for
    may have to pass through that section.
    """
    held = [(lock, lock._release_save()) for lock in locks if lock._is_owned()]
    try:
        yield
    finally:
        for lock, state in held:
            lock._acquire_restore(state)


class Waiters:
    """Threads that wait for news.

    Attributes:
        lock: guards the news and the list of those who wait; reentrant.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._turns: set[Lock] = set()

    def enrol(self) -> Lock:
        """Join those who wait: no news from now on is missed. The lock is held; what comes back is for ``wait``."""
        turn = Lock()
        turn.acquire()
        self._turns.add(turn)
        return turn

    def wait(self, turn: Lock, timeout: float) -> None:
        """Sleep until the next ``notify_all``, for ``timeout`` seconds at most. The lock is lent meanwhile."""
        with lent(self.lock):
            if not acquire(turn, max(0.0, timeout)):
                with self.lock:
                    self._turns.discard(turn)

    def notify_all(self) -> None:
        """Wake everybody who has enrolled. The lock is held."""
        while self._turns:
            self._turns.pop().release()

    def renew(self) -> None:
        """In a forked child: a thread of the parent may have held the lock. Who waits, having forked in a signal
        handler, goes on when the time is up."""
        self.lock._at_fork_reinit()  # type: ignore[attr-defined]


class Latch:
    """Something that happens once."""

    def __init__(self) -> None:
        self._waiters = Waiters()
        self._set = False

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._set

    def set(self) -> None:
        """It has happened."""
        with self._waiters.lock:
            self._set = True
            self._waiters.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait for it, for ``timeout`` seconds at most; returns whether it has happened."""
        with self._waiters.lock:
            if self._set:
                return True
            turn = self._waiters.enrol()
        self._waiters.wait(turn, timeout)
        return self._set

    def renew(self) -> None:
        """In a forked child: see ``Waiters.renew``."""
        self._waiters.renew()
