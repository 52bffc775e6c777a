# SPDX-License-Identifier: Apache-2.0
"""Log lines of threads that must not wait for anybody: the sender's and the delivery thread's.

A handler may be slow, wait for another thread, or send to Kafka: then it waits for the very producer whose thread has
something to say. So these threads leave their lines to one of their own, and what handlers and filters raise ends
nothing. ::

    _logger.warning() --> the handlers of the logger of that name
                      '-> on a thread with a LogThread: queue --> LogThread --> the handlers
"""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import suppress
from typing import Any, TypeAlias

from .native import local
from .queue_thread import QueueThread

__all__ = ["LogThread", "forget_log_thread", "get_logger"]

_WAITING_MAX = 1000  # lines
_local = local()
_Line: TypeAlias = tuple[logging.Logger, logging.LogRecord]


class LogThread:
    """Emits lines in order, on a daemon thread, which the first of them starts.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._lines: QueueThread[_Line] = QueueThread(name, self._work)
        self._left_out = 0

    @property
    def unfinished(self) -> int:
        """Lines that were taken and are not emitted; the one that a handler is busy with counts."""
        return self._lines.unfinished

    def adopt(self) -> None:
        """Take the lines of the calling thread from now on."""
        _local.log_thread = self

    def take(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        """Emit it soon, or not at all if handlers are so slow that a thousand lines wait. Raises nothing."""
        if self.unfinished >= _WAITING_MAX:
            self._left_out += 1
        elif not self._lines.put((logger, record)):
            _emit(logger, record)  # the interpreter is ending, or a callback takes longer than close() would wait

    def close(self, timeout: float) -> None:
        """Emit what waits, for ``timeout`` seconds at most, and end the thread when that is done."""
        self._lines.close(timeout)

    def _work(self, line: _Line) -> None:
        _emit(*line)
        if self._left_out and self.unfinished == 1:
            logger, text = logging.getLogger(__name__), "%d lines are missing: logging handlers are too slow"
            if logger.isEnabledFor(logging.WARNING):
                _emit(logger, logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (self._left_out,), None))
            self._left_out = 0


def _emit(logger: logging.Logger, record: logging.LogRecord) -> None:
    """What a handler or a filter raises is told as it would be of any thread, and harms nobody."""
    try:
        logger.handle(record)
    except BaseException:
        _tell_of_exception()


def _tell_of_exception() -> None:
    with suppress(BaseException):
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


class _Logger(logging.Logger):
    """Stands before the logger of its name, whose level, filters and handlers count."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._named = logging.getLogger(name)

    def isEnabledFor(self, level: int) -> bool:  # logging's names from here on
        # The named logger's own method may take a lock, which logging.config holds while it closes handlers.
        named = self._named
        return not named.disabled and named.manager.disable < level and level >= named.getEffectiveLevel()

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        try:
            return super().makeRecord(*args, **kwargs)
        except BaseException:
            if getattr(_local, "log_thread", None) is None:
                raise
            _tell_of_exception()
            return logging.LogRecord(*args[:7])  # without the factory, whose fault it is

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
