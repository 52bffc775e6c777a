# SPDX-License-Identifier: Apache-2.0
"""The sender thread: decides what the wire thread may not, and talks to the cluster about anything but records.

It waits in one selector for events of the wire, for connections that are set up or carry control messages, and for its
own wake-up socket, with a time-out up to the next moment at which something is due. A healthy producer lets it sleep
for minutes::

    wait --> connections, finished look-ups, wire events --> what is due: metadata, producer id, dialing --> wait
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from contextlib import suppress

from ._core.accumulator import Accumulator
from ._core.future import report_unseen
from ._core.wire import Event, EventKind, Wire
from .brokers import Brokers
from .cluster import Broker, MetadataChanges
from .config import ProducerConfig
from .control import Control
from .errors import ClientCode, KafkaError, SenderDiedError, UnsupportedVersionError, code_of, exception_for, message_of
from .idempotence import NO_PRODUCER_ID, ProducerIdentity, Verdict
from .log import LogThread, get_logger
from .metadata import MetadataCache
from .native import RLock, Selector, get_ident, new_thread
from .net.backoff import ExponentialBackoff
from .net.link import Network
from .net.options import ConnectionOptions
from .net.resolver import Resolver
from .net.wakeup import Wakeup
from .own_thread import OwnThread
from .retry import Action
from .routes import Routes
from .settlement import Settlement
from .waiters import Latch

__all__ = ["Sender"]

_logger = get_logger(__name__)

_WAIT_SLICE_S = 0.05
_WAIT_MAX_S = 3600.0  # selectors take 24 days at most
_E_CLOSED = -5  # pkf_status: the wire closed the connection of its own accord


class Sender:
    """The sender thread of one producer.

    Args:
        config: the producer's options.
        accumulator, wire: the producer's.
        metadata: the producer's; made here if None.
        software_version: told to brokers.
        clock: monotonic nanoseconds.
        resolver: looks names up.
        log_thread: emits the thread's log lines; None: the thread does.

    Attributes:
        metadata: what is known of the cluster.
    """

    def __init__(
        self,
        config: ProducerConfig,
        accumulator: Accumulator,
        wire: Wire,
        metadata: MetadataCache | None = None,
        *,
        software_version: str = "unknown",
        clock: Callable[[], int] = time.monotonic_ns,
        resolver: Resolver | None = None,
        log_thread: LogThread | None = None,
    ) -> None:
        self._config = config
        self._accumulator = accumulator
        self._wire = wire
        self._clock = clock
        self._log_thread = log_thread
        self._wakeup = Wakeup()
        self._fatal: KafkaError | None = None
        self._said_plain = False
        self._routes = Routes(accumulator, wire)
        backoff = ExponentialBackoff(config.retry_backoff_ms, config.retry_backoff_max_ms)
        self.metadata = metadata or self._make_metadata(backoff)
        self._resolver = resolver or Resolver(self.wake)
        self._network = self._make_network(software_version)
        self._brokers = Brokers(
            self._network, wire, on_error=self.metadata.note_connection_error, refresh=self.metadata.request_update,
            on_reached=self.metadata.note_connection_ready, on_unsupported=self._on_produce_unsupported,
            on_old=self._on_old_broker, allow_headers=accumulator.allow_headers)
        self._identity = ProducerIdentity(backoff.delay_ns)
        self._settlement = self._make_settlement(backoff)
        self._control = Control(
            self._network, self._brokers, self.metadata, self._identity,
            allow_auto_create_topics=config.allow_auto_create_topics, publish=self._routes.publish,
            on_metadata=self._on_metadata, on_verdict=self._on_verdict)
        self._client_id = config.client_id
        self._thread = OwnThread(f"{config.client_id}-sender", self._run)
        self._start_lock = RLock()  # a signal handler may call in the midst of a start
        self._stopping, self._drained = False, Latch()
        self._handlers: dict[EventKind, Callable[[Event], None]] = {
            EventKind.NEED_CONNECTION: self._on_need_connection,
            EventKind.CONNECTION_LOST: self._on_connection_lost,
            EventKind.PARKED: self._on_parked,
            EventKind.NEED_PRODUCER_ID: self._on_need_producer_id,
            EventKind.GAP: self._on_gap,
            EventKind.UNKNOWN_LEADER: self._on_unknown_leader,
            EventKind.NODE: self._on_node,
            EventKind.UNSEEN: self._on_unseen,
            EventKind.DRAINED: lambda event: self._drained.set(),
        }
        self._brokers.update(self.metadata.snapshot)

    def _make_metadata(self, backoff: ExponentialBackoff) -> MetadataCache:
        config = self._config
        return MetadataCache(
            config.addresses,
            backoff_ns=backoff.delay_ns,
            max_age_ms=config.metadata_max_age_ms,
            max_idle_ms=config.metadata_max_idle_ms,
            rebootstrap_enabled=config.metadata_recovery_strategy == "rebootstrap",
            rebootstrap_trigger_ms=config.metadata_recovery_rebootstrap_trigger_ms,
            clock=self._clock,
            wake=self.wake,
            last_used_ns=self._accumulator.last_used_ns,
            publish=self._routes.publish,
        )

    def _make_network(self, software_version: str) -> Network:
        config = self._config
        return Network(
            self._resolver,
            ConnectionOptions.from_config(config.as_dict(), software_version),
            ExponentialBackoff(config.reconnect_backoff_ms, config.reconnect_backoff_max_ms),
            ExponentialBackoff(config.socket_connection_setup_timeout_ms,
                               config.socket_connection_setup_timeout_max_ms),
            canonical_names=config.client_dns_lookup == "resolve_canonical_bootstrap_servers_only",
            max_idle_ms=config.connections_max_idle_ms,
            clock=self._clock,
        )

    def _make_settlement(self, backoff: ExponentialBackoff) -> Settlement:
        return Settlement(
            self._wire,
            self.metadata,
            max_retries=self._config.retries,
            delivery_timeout_ms=self._config.delivery_timeout_ms,
            batch_size=self._config.batch_size,
            backoff_ms=backoff.delay_ms,
            batch_max_size=self._config.batch_max_size,
            set_ceiling=lambda topic, size: self._accumulator.topic(topic).set_batch_ceiling(size),
            clock=self._clock,
            publish=self._on_new_leader,
            on_fatal=lambda event: self._refuse_sends(exception_for(event.code, event.text)),
        )

    # Any thread

    @property
    def started(self) -> bool:
        """Whether the threads run, or have run."""
        return self._thread.started

    @property
    def fatal(self) -> KafkaError | None:
        """Why nothing can be sent any more, None while all is well; a new exception each time, so it may be raised."""
        fatal = self._fatal
        if fatal is None:
            return None
        error = exception_for(code_of(fatal), message_of(fatal))
        error.__cause__ = fatal.__cause__
        return error

    def ensure_started(self) -> None:
        """Start the wire thread and this one, if they do not run yet."""
        if self.started:
            return
        with self._start_lock:
            if self.started or self._stopping:
                return
            self._wire.start()
            self._thread.start()

    def is_current(self) -> bool:
        """Whether the caller is this thread, so a finalizer that the garbage collector runs on it."""
        return self._thread.is_current()

    def wake(self) -> None:
        """Have the thread look around now."""
        self._wakeup.signal()

    def request_metadata(self) -> None:
        """Fetch metadata soon, whatever its age."""
        self.metadata.request_update()
        self.wake()

    def bootstrap_connected(self) -> bool:
        """Whether any broker is connected now."""
        return self._brokers.is_connected

    # Closing, any thread

    def initiate_close(self) -> None:
        """Refuse appends, send what is left; ``wait_drained`` tells when that is done."""
        self._wire.close()

    def wait_drained(self, timeout: float | None = None) -> bool:
        """Wait, after ``initiate_close``, until nothing is left to deliver. False: the time (seconds) ran out.

        Signals are served while waiting.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.started and not self._drained.is_set():
            left = _WAIT_SLICE_S if deadline is None else min(_WAIT_SLICE_S, deadline - time.monotonic())
            if left <= 0:
                return False
            self._drained.wait(left)
        return True

    def force(self, code: int, text: str) -> None:
        """Fail everything that is not done, and whoever waits for metadata; ``wait_drained`` tells when it is done."""
        self._wire.abort(code, text)  # first: told to close, the wire would send what is to fail
        self._wire.close()
        self._wire.abort(code, text)  # what was appended meanwhile
        self.metadata.close()

    def stop(self, codec_s: float = 0.5) -> None:
        """End both threads and close all connections. Everything must be done: ``wait_drained`` or ``force`` before.

        A codec cannot be interrupted: if a worker has a batch for ``codec_s`` longer, the wire ends behind us.
        """
        with self._start_lock:
            self._stopping = True
            started = self.started
        self.metadata.close()
        self.wake()
        if started:
            self._thread.join(None)
        else:
            self._close_all()
        deadline = time.monotonic() + codec_s
        while not self._wire.stop(_WAIT_SLICE_S):
            if time.monotonic() >= deadline:
                with suppress(RuntimeError, MemoryError):  # no thread: the interpreter is ending, or the system is full
                    new_thread(f"{self._client_id}-end", self._wire.stop).start()
                return

    def abandon(self) -> None:
        """In a forked child: close our copies of the parent's descriptors and leave the rest alone."""
        self._stopping = True
        self._network.close()
        self._brokers.abandon()
        self._wakeup.close()
        self.metadata._waiters.renew()
        self._drained.renew()
        self._drained.set()

    # The thread

    def _run(self) -> None:
        if self._log_thread is not None:
            self._log_thread.adopt()
        self._accumulator.set_sender(get_ident())
        try:
            if self._stopping:  # since the start; if by a signal handler in the midst of it, all is closed already
                return
            self._network.watch_reader(self._wire.fileno(), self._on_wire_readable)
            self._network.watch_reader(self._wakeup.fileno(), self._wakeup.clear)
            timeout = self._advance()
            while not self._stopping:
                self._network.wait(timeout if timeout is None else min(timeout, _WAIT_MAX_S))
                timeout = self._advance()
        except BaseException as error:
            self._die(error)
        finally:
            self._close_all()
            self._accumulator.set_sender(0)

    def _on_wire_readable(self) -> None:
        for event in self._wire.events():
            self._handlers[event.kind](event)
        self._close_gaps()

    def _advance(self) -> float | None:
        """Begin what is due; returns the seconds until something is due again, None if only events can change that."""
        now_ns = self._clock()
        self._brokers.on_deadline(now_ns)
        moments = [self._control.advance(now_ns), self._brokers.dial_wanted(now_ns), self._brokers.deadline()]
        at_ns = min((moment for moment in moments if moment is not None), default=None)
        return None if at_ns is None else max(0, at_ns - self._clock()) / 1e9

    def _die(self, error: BaseException) -> None:
        """A defect: nothing may be left waiting for ever. What is appended this very moment is aborted too."""
        died = SenderDiedError(f"the sender thread ended with {message_of(error)}")
        died.__cause__ = error
        self._set_fatal(died)
        self._drained.set()
        with suppress(MemoryError):
            _logger.critical("The sender thread ended with an unexpected error; everything pending fails",
                             exc_info=error)
        with Selector() as selector:
            selector.register(self._wire.fileno(), selectors.EVENT_READ)
            selector.register(self._wakeup.fileno(), selectors.EVENT_READ)
            pending = True
            while not self._stopping:
                selector.select(_WAIT_SLICE_S if pending else None)
                self._wakeup.clear()
                with suppress(MemoryError):  # the next slice tries again
                    pending = bool(self._wire.events()) or pending
                    if pending:
                        self._wire.abort(ClientCode.SENDER_DIED, message_of(died))
                        pending = False

    def _close_all(self) -> None:
        self._network.close()
        self._brokers.close()
        self._resolver.close()
        self._wakeup.close()
        self._drained.set()

    def _refuse_sends(self, error: KafkaError) -> None:
        first, self._fatal = self._fatal is None, self._fatal or error
        self._accumulator.close()
        if first:
            _logger.error("The producer cannot go on: %s", error)

    def _set_fatal(self, error: KafkaError) -> None:
        self._refuse_sends(error)
        self._wire.abort(code_of(error), message_of(error))
        self.metadata.set_fatal(self.fatal or error)  # an exception of its own: send_many() adds the row to it

    def _abort_again(self) -> bool:
        """Whether all is lost; what was appended a moment before that was known fails too."""
        fatal = self._fatal
        if fatal is not None:
            self._wire.abort(code_of(fatal), message_of(fatal))
        return fatal is not None

    # Events of the wire

    def _on_need_connection(self, event: Event) -> None:
        if self._abort_again():
            self._wire.forget_connection(event.node)
        elif not self._brokers.want(event.node):
            self.metadata.request_update()

    def _on_connection_lost(self, event: Event) -> None:
        quiet = event.code == _E_CLOSED
        given_up = event.code < 0  # a status of ours; else the peer or the system ended it
        idle = not given_up and not event.in_doubt
        self._brokers.on_lost(event.node, event.text or "the connection was lost", quiet, idle, given_up)

    def _on_parked(self, event: Event) -> None:
        assert event.batch is not None
        if self._abort_again():
            return
        if self._settlement.settle(event.batch, event) is Action.FATAL:
            self._set_fatal(exception_for(event.code, event.text))

    def _on_need_producer_id(self, event: Event) -> None:
        if not self._abort_again():
            self._identity.need(self._clock())

    def _on_gap(self, event: Event) -> None:
        assert event.topic is not None
        if self._fatal is None:  # nothing will be sent any more, so nothing has to start anew
            self._identity.add_gap(event.topic, event.partition)

    def _on_unknown_leader(self, event: Event) -> None:
        assert event.topic is not None
        if self._abort_again():
            return
        self._routes.add_leaderless(event.topic)
        self.metadata.add_topic(event.topic, self._clock())
        self.metadata.request_update()

    def _on_node(self, event: Event) -> None:
        self._settlement.note_endpoint(event.node, event.text or "", event.code)

    def _on_unseen(self, event: Event) -> None:
        assert event.topic is not None
        report_unseen(self._accumulator, event.topic, event.code, event.text, event.in_doubt)

    def _close_gaps(self) -> None:
        """One bump for all partitions whose sequences have to start anew."""
        if self._identity.bump(self._clock()):
            self._announce_identity()

    def _announce_identity(self) -> None:
        self._wire.set_producer(self._identity.producer_id, self._identity.epoch)
        for topic, partition in self._identity.take_gaps():
            self._wire.restart(self._accumulator.topic(topic), partition)

    # Brokers

    def _on_produce_unsupported(self, broker: Broker, error: UnsupportedVersionError) -> None:
        text = f"{broker.address} cannot be sent records to: {message_of(error)}"
        _logger.error("%s", text)
        if self._config.enable_idempotence:
            self._set_fatal(UnsupportedVersionError(text))
        else:
            self._wire.abort(code_of(error), text)

    def _on_old_broker(self, reason: str) -> None:
        """What it is sent has no sequences, whatever other brokers of the cluster can do."""
        if "enable_idempotence" not in self._config.explicit:
            self._say_plain(reason)
        elif self._config.enable_idempotence:
            self._set_fatal(UnsupportedVersionError(f"no idempotence: {reason}; set enable_idempotence=False"))

    def _say_plain(self, reason: object) -> None:
        if self._config.enable_idempotence and not self._said_plain:
            _logger.warning("Idempotence is turned off, so that retries may write a record twice: %s", reason)
        self._said_plain = True

    # Answers

    def _on_new_leader(self, changes: MetadataChanges) -> None:
        if changes.brokers_changed:
            self._brokers.update(self.metadata.snapshot)
        self._routes.publish(changes)

    def _on_metadata(self) -> None:
        now_ns = self._clock()
        self._settlement.on_metadata()
        for topic in self._routes.answer_leaderless(self.metadata.snapshot, self.metadata.topic_error):
            self.metadata.add_topic(topic, now_ns)

    def _on_verdict(self, verdict: Verdict) -> None:
        error = self._identity.error
        if verdict is Verdict.KNOWN:
            _logger.debug("producer id %d, epoch %d", self._identity.producer_id, self._identity.epoch)
            self._announce_identity()
        elif verdict is Verdict.RETRY and error is not None:
            self._wire.explain(-1, message_of(error))
        elif verdict is Verdict.REFUSED and error is not None:
            self._wire.abort(code_of(error), message_of(error))
            self._wire.set_producer(NO_PRODUCER_ID, -1)  # so that it asks again when it needs one again
        elif verdict is Verdict.UNSUPPORTED and "enable_idempotence" not in self._config.explicit:
            self._say_plain(error)
            self._wire.disable_idempotence()
        elif error is not None and verdict in (Verdict.UNSUPPORTED, Verdict.FATAL):
            self._set_fatal(error)
