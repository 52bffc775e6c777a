# SPDX-License-Identifier: Apache-2.0
"""What a producer is made of, how it comes to life on the first send, and how it ends.

None of this holds the producer itself, so one that is dropped without close() can be collected, and says so.
"""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ._core.accumulator import Accumulator
from ._core.wire import Wire
from .config import ProducerConfig
from .counters import sample
from .delivery import DeliveryThread
from .errors import ClientCode, KafkaConfigurationError, KafkaError, KafkaTimeoutError, ProducerForkedError
from .interceptor import InterceptorChain
from .log import LogThread, forget_log_thread, get_logger
from .metrics import MetricsWindow
from .native import RLock, acquire, caller, has_eventlet, has_greenlets, new_thread, rest
from .sender import Sender
from .version import __version__
from .waiters import lent

if TYPE_CHECKING:
    from .metadata import MetadataCache

logger = get_logger(__name__)

_PATIENCE_MS = 5.0  # how long a sendable batch waits at least behind one in flight
_PACE_MS = 0.5  # between two batches of a partition that are not full: costs up to that in latency; more gains no rate
_SLICE_S = 0.05  # signals are served at least this often
_LOG_S = 1.0  # what the last log lines may take; a handler may wait for the very thread that closes
_LAST = -100  # exit priority in a child of multiprocessing: behind whatever may still send
_FORCED_S = 5.0  # what ending the threads may take once everything has been failed


def _seconds_until(deadline: float) -> float | None:
    """What is left until then, in ``time.monotonic()``; None for ever."""
    return None if deadline == math.inf else max(0.0, deadline - time.monotonic())


class Lifecycle:
    """The parts of one producer.

    Args:
        config: the resolved options.

    Attributes:
        accumulator: where records are appended.
        metadata: what is known of the cluster.
        interceptors: the user's.
        delivery: the thread that runs callbacks.
    """

    def __init__(self, config: ProducerConfig) -> None:
        if has_eventlet():
            raise KafkaConfigurationError(
                "eventlet.monkey_patch() has put greenlets in the place of threads or sockets, among which a producer "
                "cannot wait: use gevent instead, or monkey_patch() without thread, socket and select")
        self._config = config
        self.interceptors = InterceptorChain(config.interceptors)
        builtin = isinstance(config.partitioner, str)
        self.accumulator = Accumulator(
            buffer_memory=config.buffer_memory, batch_size=config.batch_size, batch_max_size=config.batch_max_size,
            max_request_size=config.max_request_size, linger_ms=config.linger_ms,
            delivery_timeout_ms=config.delivery_timeout_ms,
            partitioner=config.partitioner if builtin else "sticky",
            ignore_keys=config.partitioner_ignore_keys, adaptive=config.partitioner_adaptive_partitioning_enable,
            codec_of=config.codec_of)
        self._wire = Wire(
            self.accumulator, client_id=config.client_id, acks=config.acks, idempotent=config.enable_idempotence,
            max_in_flight=config.max_in_flight_requests_per_connection, request_timeout_ms=config.request_timeout_ms,
            idle_timeout_ms=config.connections_max_idle_ms, patience_ms=max(config.linger_ms, _PATIENCE_MS),
            receive_max=config.receive_message_max_bytes, pace_ms=min(config.linger_ms, _PACE_MS),
            workers=config.compression_threads)
        self._log_thread = LogThread(f"{config.client_id}-log")
        self._sender = Sender(config, self.accumulator, self._wire, software_version=__version__,
                              log_thread=self._log_thread)
        self.metadata: MetadataCache = self._sender.metadata
        self.delivery = DeliveryThread(self.accumulator, self.interceptors, f"{config.client_id}-delivery",
                                       self._log_thread)
        self._metrics = MetricsWindow(config.metrics_num_samples, config.metrics_sample_window_ms)
        self._metrics_lock = RLock()
        self._send_errors: Counter[str] = Counter()
        self._flush_ns = 0
        self._metadata_wait_ns = 0
        # Of these locks a thread may find itself the holder: in a signal handler, which may call anything.
        self._close_lock: Any = RLock()  # typed without _is_owned()
        self._closing: object = None  # who closes
        self._started = False
        self._ended = False
        self._elsewhere = False  # a thread was started that ends it
        self._finalizer: Any = None  # in a child of multiprocessing

    # ---- while it lives --------------------------------------------------------------------------------------------

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a child of the one it was made in, to which it belongs."""
        return self.accumulator.is_inherited

    @property
    def fatal(self) -> KafkaError | None:
        """Why nothing can be sent any more, or None."""
        return self._sender.fatal

    def wait_for_topic(self, topic: str, partition: int | None, deadline: float, check: Callable[[], None]) -> None:
        """Wait until the accumulator knows the topic (and the partition, if one is given).

        Args:
            topic: the topic.
            partition: one that has to exist, or None.
            deadline: in ``time.monotonic()``.
            check: called again and again while waiting; may raise.

        Raises:
            RuntimeError: the first call comes when the interpreter starts no thread any more.
        """
        if self._sender.is_current():
            raise KafkaTimeoutError(f"metadata of topic {topic!r} cannot be waited for on the producer's own thread, "
                                    "on which the garbage collector runs a finalizer that sends")
        if not self._started and sys.is_finalizing():  # before Python 3.12 the start of a thread would hang
            raise RuntimeError("the interpreter is ending and starts no thread any more: send records before that")
        self._started = True
        self._sender.ensure_started()

        def go_on() -> None:
            if self.is_inherited:
                raise ProducerForkedError("the process was forked while this call waited for metadata")
            check()

        began_ns = time.monotonic_ns()
        self.metadata.wait_for_topic(topic, partition, int(deadline * 1e9), go_on)
        with self._metrics_lock:
            self._metadata_wait_ns += time.monotonic_ns() - began_ns

    def may_wait(self) -> bool:
        """False on the thread that would have to end the wait: garbage may be collected there, and have finalizers."""
        return not self._sender.is_current()

    def bootstrap_connected(self) -> bool:
        """Whether a broker is connected now; False before the first send, which begins to connect."""
        return self._sender.bootstrap_connected()

    def count_send_error(self, topic: str) -> None:
        """One more send() failed before anything was appended. Of topics that were never there, all as one."""
        with self._metrics_lock:
            self._send_errors["" if self.accumulator.known_topic(topic) is None else topic] += 1

    def metrics(self) -> dict[str, dict[str, float]]:
        """The metrics of the current window."""
        with self._metrics_lock:
            now = sample(self.accumulator, self._wire, self.metadata, self._send_errors)
            now |= {"flush_ns": self._flush_ns, "metadata_wait_ns": self._metadata_wait_ns}
            return self._metrics.metrics(now)

    def flush(self, timeout: float | None) -> bool:
        """Send everything now and wait for it; False when ``timeout`` (seconds) ran out.

        Raises:
            KafkaTimeoutError: it cannot be waited for on this thread.
        """
        if not self.may_wait():
            raise KafkaTimeoutError("flush() cannot wait on the producer's own thread, on which the garbage collector "
                                    "runs a finalizer that calls it")
        began_ns = time.monotonic_ns()
        try:
            with self._lent():
                return self.accumulator.flush(timeout)
        finally:
            with self._metrics_lock:
                self._flush_ns += time.monotonic_ns() - began_ns

    def describe_live(self) -> str:
        """How many records of which topics have no outcome yet, in words."""
        lost = self.accumulator.lost()
        topics = ", ".join(f"{count} of {topic!r}" for topic, count in sorted(lost.items()))
        return f"{sum(lost.values())} records ({topics})" if lost else "no records"

    # ---- the end ---------------------------------------------------------------------------------------------------

    @property
    def is_left(self) -> bool:
        """Whether it has ended, a thread of its own ends it, or the parent process will."""
        return self._ended or self._elsewhere or self.is_inherited

    def close(self, timeout: float | None) -> None:
        """Deliver what can be delivered within ``timeout`` seconds (None: no limit), fail the rest, end the threads."""
        calling = self.delivery.is_calling()
        if calling:
            logger.warning("close() was called in a callback: records that are not delivered yet are failed at once")
            timeout = 0
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        self.accumulator.close()
        if not self.may_wait() or (self.delivery.is_current() and not calling):  # in a finalizer
            self._close_elsewhere(timeout)
            return
        with self._lent():
            in_time = self._outwait_greenlet(deadline)
            nested = self._close_lock._is_owned()
            try:
                if in_time and (nested or self._take_close_lock(deadline)):
                    self._close_locked(deadline)
                else:
                    self._force()  # another thread is closing, and has not finished in our time
            finally:
                if not nested and self._close_lock._is_owned():  # an interrupt may come just behind its taking
                    self._close_lock.release()

    def _lent(self) -> AbstractContextManager[None]:
        """Around what waits, maybe in a signal handler in the midst of another call."""
        return lent(self.metadata.lock, self._metrics_lock)

    def _close_locked(self, deadline: float) -> None:
        if self._closing is not None:  # in a signal handler, in the midst of a close() that goes on when it returns
            self._drain(deadline)
            return
        try:
            self._closing = caller()
            if self._ended:
                self.delivery.close(_seconds_until(deadline))  # an earlier close() may not have had the time
                self._close_log(deadline)
            else:
                self._end(deadline)
        finally:
            self._closing = None

    def _outwait_greenlet(self, deadline: float) -> bool:
        """The lock is the thread's, so another greenlet of it that is closing has to be waited for without."""
        while self._closing not in (None, caller()) and self._close_lock._is_owned() and has_greenlets():
            if time.monotonic() >= deadline:
                return False
            rest()
        return True

    def _take_close_lock(self, deadline: float) -> bool:
        if self.delivery.is_current():
            return bool(self._close_lock.acquire(blocking=False))
        while not acquire(self._close_lock, _SLICE_S):
            if time.monotonic() >= deadline:
                return False
        return True

    def _end(self, deadline: float) -> None:
        try:
            self._drain(deadline)
            self._end_threads(deadline)
        finally:  # Ctrl-C somewhere in it: end all the same, then pass it on
            if not self._ended:
                try:
                    self._force()
                finally:
                    self._end_threads(time.monotonic() + _FORCED_S)

    def _end_threads(self, deadline: float) -> None:
        if not self.is_inherited:
            self._sender.stop()
        if self.is_inherited:  # by a signal handler, before that or in it: the rest is the parent's
            return
        self.delivery.close(_seconds_until(deadline))
        self._close_log(deadline)
        self._unguard()
        self._ended = True
        self._close_plugins()

    def _close_log(self, deadline: float) -> None:
        self._log_thread.close(min(_LOG_S, max(_LOG_S / 10, deadline - time.monotonic())))

    def _drain(self, deadline: float) -> None:
        """Send what is left; what has no outcome at the deadline fails."""
        if not self._started:
            self.metadata.close()
            return
        left = _seconds_until(deadline)
        if left != 0:
            self._sender.initiate_close()
        if left == 0 or not self._sender.wait_drained(left):
            self._force()
        self.metadata.close()

    def _force(self) -> None:
        if not self._started or self.is_inherited:
            return
        try:
            self._tell_lost()
        finally:  # whatever a filter of the log raises
            self._sender.force(ClientCode.CLOSED_FORCEFULLY, "Producer is closed forcefully.")
            self._sender.wait_drained(_FORCED_S)

    def _tell_lost(self) -> None:
        if self.accumulator.lost():
            logger.warning("Producer %s is closed before %s had an outcome", self._config.client_id,
                           self.describe_live())

    def _close_plugins(self) -> None:
        self.interceptors.close()
        for plugin in (self._config.key_serializer, self._config.value_serializer, self._config.partitioner):
            close = getattr(plugin, "close", None)
            if not callable(close):
                continue
            try:
                close()
            except Exception:
                logger.exception("%r failed in close()", plugin)

    # ---- ends that nobody asked for --------------------------------------------------------------------------------

    def guard(self, producer: Any) -> None:
        """Deliver for ``exit_timeout_ms`` when the interpreter ends without close()."""
        self._producer = weakref.ref(producer)
        _alive.add(self)
        atexit.register(self._at_exit)
        util: Any = sys.modules.get("multiprocessing.util")
        if hasattr(util, "Finalize"):  # else nobody has imported it, and this is no child of it
            util.register_after_fork(self, Lifecycle._guard_child)
            self._guard_child()

    def _guard_child(self) -> None:
        """The same in a child of multiprocessing, which ends by os._exit() and runs no exit handlers but its own.

        Called again when a child begins, which has forgotten by then what it inherited; there the producer begins anew
        when it is used, which threads may do at the very end.
        """
        if self._ended or not _is_worker():
            return
        if self._finalizer is not None:
            self._finalizer.cancel()
        util = sys.modules["multiprocessing.util"]
        self._finalizer = util.Finalize(None, self._at_child_exit, exitpriority=_LAST)

    def _unguard(self) -> None:
        atexit.unregister(self._at_exit)
        if self._finalizer is not None:
            self._finalizer.cancel()

    def _at_child_exit(self) -> None:
        try:
            if sys.version_info < (3, 13):  # from then on finalizers run behind it
                threading._shutdown()  # type: ignore[attr-defined]  # first the user's threads end: they may send
        finally:
            self._at_exit()

    def _at_exit(self) -> None:
        producer = self._producer()  # None: it was collected, and the thread that ends the rest would end with us
        if self.is_inherited and (producer is None or producer._parts.is_inherited):
            return  # nothing was sent here
        deadline = time.monotonic() + self._exit_timeout_s()
        parts = self if producer is None else producer._parts
        try:
            (self if producer is None else producer).close(timeout=_seconds_until(deadline))
        except BaseException:
            logger.exception("close() failed at the end of the program")
        finally:  # whatever a subclass makes of close(), the records leave
            if not parts._ended:
                parts.close(_seconds_until(deadline))

    def _exit_timeout_s(self) -> float:
        return min(self._config.exit_timeout_ms / 1000, threading.TIMEOUT_MAX)

    def abandon(self, name: str) -> None:
        """The producer was collected without close(): say so, and end its threads without waiting here."""
        if not self._started:
            self.discard()
            return
        try:
            warnings.warn(f"unclosed producer {name}", ResourceWarning, stacklevel=3)
        finally:  # which may be an error
            if sys.is_finalizing():  # made by an exit handler; before Python 3.12 the start of a thread would hang
                self._tell_lost()
            else:
                self._close_elsewhere(self._exit_timeout_s())

    def _close_elsewhere(self, timeout: float | None) -> None:
        try:
            new_thread("pykafka_fast-close", lambda: self.close(timeout)).start()
            self._elsewhere = True
        except RuntimeError:  # the interpreter is ending; its threads end with it
            logger.debug("no thread could be started to end %s", self._config.client_id)

    def discard(self) -> None:
        """End what never began: nothing was sent, nobody waits."""
        self._unguard()
        self.delivery.close(0)
        self._sender.stop()
        self._log_thread.close(0)
        self._ended = True

    def orphan(self) -> None:
        """In a forked child: leave all to the parent, without asking for a lock that its threads may have held."""
        if self in _inherited:
            return
        _inherited.add(self)
        _alive.discard(self)
        forget_log_thread()
        self._unguard()
        self.accumulator.orphan()
        self._wire.orphan()
        self._sender.abandon()


def _is_worker() -> bool:
    """Whether this is a child of multiprocessing, or of Celery's billiard, which ends in the same way."""
    billiard = sys.modules.get("billiard.process")
    return (sys.modules["multiprocessing.process"].parent_process() is not None
            or (billiard is not None and billiard.current_process()._parent_pid is not None))


_alive: weakref.WeakSet[Lifecycle] = weakref.WeakSet()
_inherited: set[Lifecycle] = set()  # left to the parent; never collected
_beginning: Any = RLock()  # typed without _at_fork_reinit()


def begin_anew(producer: Any) -> None:
    """In a forked child, when the producer is used first. Before that it has no descriptor that somebody, who becomes a
    daemon, might close."""
    with _beginning:
        if not producer._parts.is_inherited:  # another thread was here first
            return
        producer._parts.orphan()
        parts = Lifecycle(producer._resolved)
        if producer._parts.is_inherited:
            producer._begin(parts)
        else:  # a signal handler was
            parts.discard()


def _orphan_all() -> None:
    """In a forked child: records of the parent are its own."""
    _beginning._at_fork_reinit()
    for lifecycle in list(_alive):
        try:
            lifecycle.orphan()
        except Exception:
            logger.exception("What a producer of the parent process has open stays open in this one")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_orphan_all)
