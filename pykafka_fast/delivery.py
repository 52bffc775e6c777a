# SPDX-License-Identifier: Apache-2.0
"""The delivery thread: runs callbacks and interceptors' acknowledgements, so that a slow one never delays the wire."""

from __future__ import annotations

import threading
import time

from ._core.accumulator import Accumulator
from ._core.delivery import Deliveries
from ._core.future import forget_starter, set_starter
from .interceptor import InterceptorChain
from .log import LogThread

_IDLE_S = 3600.0
_SLICE_S = 0.05


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
        self._lock = threading.RLock()  # a signal handler may call in the midst of a start
        self._name = name
        self._log_thread = log_thread
        self._thread: threading.Thread | None = None
        set_starter(accumulator, self.ensure_started)

    def ensure_started(self) -> None:
        """Start the thread unless it runs. Any thread may call this."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=_run, args=(self._deliveries, self._log_thread), name=self._name,
                                          daemon=True)
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # not for Ctrl-C: the thread runs then
                    self._thread = None
                    raise

    def is_current(self) -> bool:
        """Whether the caller is this thread, so a callback or an interceptor."""
        return threading.current_thread() is self._thread

    def close(self, timeout: float | None) -> bool:
        """Deliver what is done, then end; False if that took longer than ``timeout`` seconds. Serves signals."""
        self._accumulator.close_delivery()
        forget_starter(self._accumulator)
        thread = self._thread
        if thread is None or self.is_current():
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        while thread.is_alive():
            left = _SLICE_S if deadline is None else min(_SLICE_S, deadline - time.monotonic())
            if left <= 0:
                return False
            thread.join(left)
        return True


def _run(deliveries: Deliveries, log_thread: LogThread) -> None:
    log_thread.adopt()
    deliveries.adopt_thread()
    while deliveries.deliver(_IDLE_S):
        pass
