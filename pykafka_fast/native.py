# SPDX-License-Identifier: Apache-2.0
"""The system's own threads, locks, sockets and selectors, also where gevent has put greenlets in their place.

Greenlets run in turns on one thread. A wait of the C core would stop all of them, those of the producer included, which
are what it waits for. So the producer's threads are threads even after ``gevent.monkey.patch_all()``, before or after
this package was imported, and who waits for them lets the other greenlets run meanwhile (``rest``).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

__all__ = [
    "Lock", "RLock", "Selector", "SimpleQueue", "Socket", "Thread", "acquire", "caller", "get_ident", "getaddrinfo",
    "getnameinfo", "has_eventlet", "has_greenlets", "leave_thread", "local", "new_thread", "rest", "socketpair",
]

_REST_S = 0.001
_REST_EACH_S = 20e-6  # the more rest, the longer: all of them together look 50,000 times a second at most


def _of(module: str, name: str) -> Any:
    """A function of gevent's, None if it is not imported, or another thread is about to import it."""
    return getattr(sys.modules.get(module), name, None)


def _original(module: str, name: str) -> Any:
    """The standard library's own, whatever has been put in its place."""
    get_original = _of("gevent.monkey", "get_original")
    return getattr(import_module(module), name) if get_original is None else get_original(module, name)


if TYPE_CHECKING:
    from queue import SimpleQueue
    from selectors import DefaultSelector as Selector
    from socket import getaddrinfo, getnameinfo, socketpair
    from socket import socket as Socket
    from threading import Lock, RLock, get_ident, local
else:
    Lock = _original("_thread", "allocate_lock")
    RLock = _original("_thread", "RLock")
    get_ident = _original("_thread", "get_ident")
    local = _original("_thread", "_local")
    SimpleQueue = _original("queue", "SimpleQueue")
    Selector = _original("selectors", "DefaultSelector")
    Socket = _original("socket", "socket")
    socketpair = _original("_socket", "socketpair")  # the one of ``socket`` makes patched sockets
    getaddrinfo = _original("socket", "getaddrinfo")
    getnameinfo = _original("socket", "getnameinfo")

_start_new_thread: Callable[[Callable[[], None], tuple[()]], int] = _original("_thread", "start_new_thread")


# ---- threads --------------------------------------------------------------------------------------------------------


class Thread(Protocol):
    """What is used of ``threading.Thread``."""

    @property
    def ident(self) -> int | None: ...
    def start(self) -> None: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...


def new_thread(name: str, run: Callable[[], object]) -> Thread:
    """A daemon thread of the system, to be started."""
    is_patched = _of("gevent.monkey", "is_module_patched")
    if is_patched is not None and is_patched("threading"):
        return _BareThread(run)
    return threading.Thread(target=run, name=name, daemon=True)


def leave_thread() -> None:
    """At the end of a thread: let go of what gevent makes for one that waits its way, as a callback may."""
    hub = _hub()
    if hub is not None:
        hub.destroy(destroy_loop=True)


class _BareThread:
    """A thread that ``threading`` knows nothing of, since what that starts are greenlets."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self._running = Lock()
        self._process = os.getpid()
        self.ident: int | None = None

    def start(self) -> None:
        _start_new_thread(self._begin, ())

    def _begin(self) -> None:
        with self._running:
            self.ident = get_ident()
            try:
                self._run()
            except SystemExit:
                pass
            except BaseException:
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            finally:
                del self._run  # it may refer to whatever refers to this

    def is_alive(self) -> bool:
        """Whether it runs; in a forked child it does not."""
        return self._running.locked() and self._process == os.getpid()

    def join(self, timeout: float | None = None) -> None:
        if self.is_alive() and self._running.acquire(timeout=-1 if timeout is None else timeout):
            self._running.release()


# ---- waiting among greenlets ----------------------------------------------------------------------------------------

_resting = 0


def _hub() -> Any:
    """What gives greenlets of this thread their turns; None if none ever waited on it."""
    get_hub = _of("gevent._hub_local", "get_hub_if_exists")
    return None if get_hub is None else get_hub()


def caller() -> object:
    """Who runs: this thread, or the greenlet that has the turn on it."""
    return get_ident() if _hub() is None else sys.modules["greenlet"].getcurrent()


def has_greenlets() -> bool:
    """Whether greenlets run in turns on this thread, and the caller is one that may give its turn away."""
    hub = _hub()
    return hub is not None and hub is not sys.modules["greenlet"].getcurrent()


def has_eventlet() -> bool:
    """Whether eventlet has put its own in the place of threads, sockets or selectors; nothing here gets behind that."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and any(patcher.is_monkey_patched(name) for name in ("thread", "socket", "select"))


def rest() -> None:
    """Between two looks at what is waited for: let the other greenlets of this thread run, if it has any."""
    global _resting
    if not has_greenlets():
        return
    _resting += 1
    try:
        sys.modules["gevent.hub"].sleep(max(_REST_S, _resting * _REST_EACH_S))
    finally:
        _resting -= 1


def acquire(lock: Any, timeout: float) -> bool:
    """``lock.acquire(timeout=timeout)``; other greenlets run meanwhile."""
    if not has_greenlets():
        return bool(lock.acquire(timeout=timeout))
    deadline = time.monotonic() + timeout
    while not lock.acquire(blocking=False):
        if time.monotonic() >= deadline:
            return False
        rest()
    return True
