# SPDX-License-Identifier: Apache-2.0
"""The delivery thread: runs callbacks and interceptors' acknowledgements, so that a slow one never delays the wire."""

from __future__ import annotations

from ._core.accumulator import Accumulator
from ._core.delivery import Deliveries
from ._core.future import forget_starter, set_starter
from .interceptor import InterceptorChain
from .log import LogThread, get_logger
from .own_thread import OwnThread

logger = get_logger(__name__)

_IDLE_S = 3600.0


class DeliveryThread:
    """Delivers one producer's completed records; started by the first callback, listener or await.

    It holds the accumulator and the interceptors, never the producer, so that an abandoned producer can be collected.

    Args:
        accumulator: whose completed batches it takes.
        interceptors: told of every record, before its callback.
        name: of the thread.
        log_thread: emits its log lines.
    """

    def __init__(self, accumulator: Accumulator, interceptors: InterceptorChain, name: str,
                 log_thread: LogThread) -> None:
        self._accumulator = accumulator
        self._deliveries = Deliveries(
            accumulator, interceptors.on_acknowledgement if interceptors.acknowledges else None)
        self._log_thread = log_thread
        self._thread = OwnThread(name, self._run)

    def begin(self) -> None:
        """From now on callbacks, listeners and awaits find it, and it stays until close()."""
        set_starter(self._accumulator, self.ensure_started)

    def ensure_started(self) -> None:
        """Start the thread unless it runs. Any thread may call this."""
        self._thread.start()

    def is_current(self) -> bool:
        """Whether the caller is this thread, so a callback, an interceptor, or a finalizer."""
        return self._thread.is_current()

    def is_calling(self) -> bool:
        """Whether the caller is a callback or an interceptor, or a finalizer in the midst of one."""
        return self.is_current() and self._deliveries.calling

    def close(self, timeout: float | None) -> bool:
        """Deliver what is done, then end; False if that took longer than ``timeout`` seconds. Serves signals."""
        self._accumulator.close_delivery()
        forget_starter(self._accumulator)
        return self.is_current() or self._thread.join(timeout)

    def _run(self) -> None:
        self._log_thread.adopt()
        self._deliveries.adopt_thread()
        while True:
            try:
                while self._deliveries.deliver(_IDLE_S):
                    pass
                return
            except BaseException:  # thrown at the thread by another one
                logger.exception("The thread that runs callbacks goes on after an exception that was meant to end it")
