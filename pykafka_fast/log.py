# SPDX-License-Identifier: Apache-2.0
"""Log lines of threads that must not wait for anybody: the sender's and the delivery thread's.

A handler may itself send to Kafka: then whoever logs holds its lock while it waits for the very producer whose thread
would have to wait for that lock to say what is wrong. A line that finds a lock taken is left to another thread, and so
are those behind it. What handlers and filters raise ends nothing. ::

    _logger.warning() --> the handlers of the logger of that name, at once
                      '-> on a thread with a LogThread, if a handler is busy: queue --> LogThread --> the handlers
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import TypeAlias

from .queue_thread import QueueThread

__all__ = ["LogThread", "forget_log_thread", "get_logger"]

_WAITING_MAX = 1000  # lines
_local = threading.local()
_Line: TypeAlias = tuple[logging.Logger, logging.LogRecord]


class LogThread:
    """Emits lines in order; those that would have to wait on a daemon thread, which the first of them starts.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._lines = QueueThread[_Line](name, lambda line: _emit(*line))
        self._closed = False

    def adopt(self) -> None:
        """Take the lines of the calling thread from now on."""
        _local.log_thread = self

    def take(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        """Emit it now or soon, or not at all if handlers are so slow that a thousand lines wait. Raises nothing."""
        waiting = self._lines.unfinished
        if not waiting and _emit_without_waiting(logger, record):
            return
        if self._closed or not self._lines.start():
            _emit(logger, record)  # the interpreter is ending, or a callback takes longer than close() would wait
        elif waiting <= _WAITING_MAX:
            self._lines.put((logger, record))

    def close(self, timeout: float) -> None:
        """Emit what waits, for ``timeout`` seconds at most, and end the thread when that is done."""
        self._closed = True
        self._lines.close(timeout)


def _emit(logger: logging.Logger, record: logging.LogRecord) -> None:
    """What a handler or a filter raises is told as it would be of any thread, and harms nobody."""
    try:
        logger.handle(record)
    except BaseException:
        with suppress(BaseException):
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


def _emit_without_waiting(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """False: another thread has the lock of a handler, and nothing was emitted."""
    with ExitStack() as locks:
        for handler in _handlers(logger):
            if handler.lock is None:
                continue
            if not handler.lock.acquire(blocking=False):
                return False
            locks.callback(handler.lock.release)
        _emit(logger, record)
    return True


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None
    if logging.lastResort is not None:
        yield logging.lastResort


class _Logger(logging.Logger):
    """Stands before the logger of its name, whose level, filters and handlers count."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._named = logging.getLogger(name)

    def isEnabledFor(self, level: int) -> bool:  # logging's name
        return self._named.isEnabledFor(level)

    def handle(self, record: logging.LogRecord) -> None:
        log_thread: LogThread | None = getattr(_local, "log_thread", None)
        if log_thread is None:
            self._named.handle(record)
        else:
            log_thread.take(self._named, record)


def forget_log_thread() -> None:
    """In a forked child: the thread that took the lines of this one is the parent's."""
    _local.log_thread = None


def get_logger(name: str) -> logging.Logger:
    """As ``logging.getLogger()``, for modules whose code runs on the producer's own threads."""
    return _Logger(name)
