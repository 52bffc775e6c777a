# SPDX-License-Identifier: Apache-2.0
"""The system's own threads, locks, sockets and selectors, also where gevent has put greenlets in their place.

Greenlets run in turns on one thread. A wait of the C core would stop all of them, those of the producer included, which
are what it waits for. So the producer's threads are threads even after ``gevent.monkey.patch_all()``, before or after
this package was imported, and who waits for them lets the other greenlets run meanwhile (``rest``).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

__all__ = [
    "Lock", "RLock", "Selector", "SimpleQueue", "Socket", "Thread", "acquire", "get_ident", "getaddrinfo",
    "getnameinfo", "has_eventlet", "has_greenlets", "local", "new_thread", "rest", "socketpair",
]

_REST_S = 0.001
_REST_EACH_S = 20e-6  # so many rests a second are made at most, over all greenlets: some percent of a processor


def _original(module: str, name: str) -> Any:
    """The standard library's own, whatever has been put in its place."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(import_module(module), name) if monkey is None else monkey.get_original(module, name)


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
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return _BareThread(run)
    return threading.Thread(target=run, name=name, daemon=True)


class _BareThread:
    """A thread that ``threading`` knows nothing of, since what that starts are greenlets."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self._alive = Lock()
        self.ident: int | None = None

    def start(self) -> None:
        self._alive.acquire()
        try:
            _start_new_thread(self._begin, ())
        except BaseException:
            self._alive.release()
            raise

    def _begin(self) -> None:
        self.ident = get_ident()
        try:
            self._run()
        except SystemExit:
            pass
        except BaseException:
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        finally:
            del self._run  # it may refer to whatever refers to this
            self._alive.release()

    def is_alive(self) -> bool:
        return self._alive.locked()

    def join(self, timeout: float | None = None) -> None:
        if self._alive.acquire(timeout=-1 if timeout is None else timeout):
            self._alive.release()


# ---- waiting among greenlets ----------------------------------------------------------------------------------------

_resting = 0


def has_greenlets() -> bool:
    """Whether greenlets run in turns on this thread, and the caller is one that may give its turn away."""
    hubs = sys.modules.get("gevent._hub_local")
    hub = None if hubs is None else hubs.get_hub_if_exists()
    return hub is not None and hub is not sys.modules["gevent"].getcurrent()


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
        sys.modules["gevent"].sleep(max(_REST_S, _resting * _REST_EACH_S))
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
