# SPDX-License-Identifier: Apache-2.0
"""When to ask the cluster for metadata, about which topics, and what its answers change.

The sender drives it: ``time_to_next_update`` and ``build_request``, then ``on_response`` or ``on_failure``. Threads
that send wait in ``wait_for_topic``. Every method may be called from any thread; ``snapshot`` is read without a lock.
Only ``wait_for_topic`` wakes the sender. Every point in time is an int in nanoseconds of the clock passed in
(``time.monotonic_ns``). Nothing is asked for before the first topic is added or an update is requested.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, NoReturn

from .cluster import Broker, ClusterSnapshot, LeaderUpdate, MetadataChanges, TopicMetadata, TopicRoute, changes_between
from .errors import (
    InvalidTopicError,
    KafkaError,
    KafkaProtocolError,
    KafkaTimeoutError,
    MetadataEmptyBrokerList,
    ProducerClosedError,
    TopicAuthorizationFailedError,
    for_code,
)
from .protocol.metadata import MetadataResponse, MetadataTopic
from .waiters import Waiters

__all__ = ["NEVER", "ClusterSnapshot", "MetadataCache", "MetadataChanges", "TopicRoute"]

_NS_PER_MS = 1_000_000
_WAIT_SLICE_NS = 50 * _NS_PER_MS
_SHORTEST_TRIGGER_MS = 100  # bootstrap servers, too, need some time to answer
_EPOCHS_RELIABLE_VERSION = 9
_REBOOTSTRAP_REQUIRED = 129

NEVER = (1 << 63) - 1
"""The answer of ``time_to_next_update`` while a request is under way or after ``close``."""


class _Fetch(NamedTuple):
    """The request under way and what had been asked for when it was built."""

    partial: bool
    full_version: int


class _TopicError(NamedTuple):
    """A topic's last error and the update that brought it."""

    code: int
    update_version: int


class MetadataCache:
    """The cluster's current snapshot and the rules by which it is refreshed.

    Args:
        bootstrap: (host, port) of the bootstrap servers; they get the ids -1, -2, ...
        backoff_ns: delay after so many earlier failures (``ExponentialBackoff.delay_ns`` over ``retry_backoff_ms``).
        max_age_ms: a snapshot is refreshed when it is older (``metadata_max_age_ms``).
        max_idle_ms: a topic nobody used for so long is forgotten (``metadata_max_idle_ms``).
        rebootstrap_enabled: ``metadata_recovery_strategy`` is ``rebootstrap`` (KIP-899).
        rebootstrap_trigger_ms: without an answer for so long, start over (KIP-1102).
        clock, wake: monotonic nanoseconds; what wakes the sender, called without a lock held.
        last_used_ns: when a topic's last record was appended, for topics that are sent to without coming by here.
        publish: passes an answer's changes on before waiting threads see them; called with the lock held.
        waiters: where threads wait for topics.
    """

    def __init__(
        self,
        bootstrap: Sequence[tuple[str, int]],
        *,
        backoff_ns: Callable[[int], int],
        max_age_ms: int = 300_000,
        max_idle_ms: int = 300_000,
        rebootstrap_enabled: bool = True,
        rebootstrap_trigger_ms: int = 300_000,
        clock: Callable[[], int] = time.monotonic_ns,
        wake: Callable[[], None] = lambda: None,
        last_used_ns: Callable[[str], int | None] = lambda topic: None,
        publish: Callable[[MetadataChanges], None] = lambda changes: None,
        waiters: Waiters | None = None,
    ) -> None:
        self._bootstrap = {-1 - i: Broker(-1 - i, host, port) for i, (host, port) in enumerate(bootstrap)}
        self._backoff_ns = backoff_ns
        self._max_age_ns = max_age_ms * _NS_PER_MS
        self._max_idle_ns = max_idle_ms * _NS_PER_MS
        self._rebootstrap_enabled = rebootstrap_enabled
        self._rebootstrap_trigger_ns = max(rebootstrap_trigger_ms, _SHORTEST_TRIGGER_MS) * _NS_PER_MS
        self._clock = clock
        self._wake = wake
        self._last_used_ns = last_used_ns
        self._publish = publish
        self.snapshot = ClusterSnapshot(self._bootstrap, {}, is_bootstrap=True)
        """What is known now."""
        self.update_version = 0
        """Counts answers."""
        self.last_success_ns: int | None = None
        """When the last full answer came; None before the first."""
        # Everything below, and every change of the above, is guarded by the waiters' lock.
        self._waiters = waiters or Waiters()
        self.lock = self._waiters.lock
        self._closed = False
        self._fatal: KafkaError | None = None
        self._expiry_ns: dict[str, int] = {}  # every topic tracked
        self._new_topics: set[str] = set()  # those no answer has mentioned yet
        self._topic_errors: dict[str, _TopicError] = {}
        self._connection_errors: dict[str, str] = {}
        self._full_version = 0  # counts requests for full updates
        self._full_answered = 0
        self._fetch: _Fetch | None = None
        self._failures = 0
        self._equivalent_answers = 0
        self._failure_delay_until_ns: int | None = None
        self._equivalent_delay_until_ns: int | None = None
        self._attempts_since_ns: int | None = None

    # The sender's side

    def time_to_next_update(self, now_ns: int) -> int:
        """Nanoseconds until a request is due: 0 now, NEVER while one is under way."""
        with self.lock:
            return self._time_to_next_update(now_ns)

    def _time_to_next_update(self, now_ns: int) -> int:
        if self._closed or self._fetch is not None:
            return NEVER
        to_expiry = NEVER
        if self.last_success_ns is not None:
            to_expiry = max(0, self.last_success_ns + self._max_age_ns - now_ns)
        if to_expiry == 0:  # a periodic refresh never waits because earlier answers were alike
            self._equivalent_answers = 0
            self._equivalent_delay_until_ns = None
        delays = (self._failure_delay_until_ns, self._equivalent_delay_until_ns)
        permitted = max((until - now_ns for until in delays if until is not None), default=0)
        return max(0 if self.update_wanted() else to_expiry, permitted)

    def update_wanted(self) -> bool:
        """Whether somebody waits for news; otherwise they are only refreshed."""
        return self._full_version > self._full_answered or bool(self._new_topics)

    def build_request(self, now_ns: int) -> tuple[str, ...] | None:
        """The topics to ask about now, perhaps none of them; None if no request is due.

        After an answer other than None, ``on_response`` or ``on_failure`` has to follow.
        """
        with self.lock:
            if self._time_to_next_update(now_ns) > 0:
                return None
            self._note_attempt(now_ns)
            aged = self.last_success_ns is None or now_ns - self.last_success_ns >= self._max_age_ns
            partial = self._full_version == self._full_answered and not aged
            self._fetch = _Fetch(partial, self._full_version)
            return tuple(sorted(self._new_topics if partial else self._expiry_ns))

    def on_response(self, response: MetadataResponse, now_ns: int) -> MetadataChanges:
        """Take an answer; waiting threads look again."""
        with self.lock:
            try:
                changes = self._on_response(response, now_ns)
                self._publish(changes)
            finally:
                self._waiters.notify_all()
            return changes

    def on_failure(self, now_ns: int) -> None:
        """The request failed; the next one waits for the back-off."""
        with self.lock:
            self._fail(now_ns)

    def _fail(self, now_ns: int) -> None:
        self._fetch = None
        self._failures += 1
        self._equivalent_answers = 0
        self._set_delays(now_ns)

    def _set_delays(self, now_ns: int) -> None:
        self._failure_delay_until_ns = now_ns + self._backoff_ns(max(0, self._failures - 1))
        alike = self._equivalent_answers
        self._equivalent_delay_until_ns = now_ns + self._backoff_ns(alike - 1) if alike else None

    def _on_response(self, response: MetadataResponse, now_ns: int) -> MetadataChanges:
        fetch = self._fetch or _Fetch(False, self._full_version)
        if response.error_code == _REBOOTSTRAP_REQUIRED and self._rebootstrap_enabled:
            self._fail(now_ns)
            return MetadataChanges(rebootstrap=True)
        before, refused = self.snapshot, self._refusal(response)
        if refused is None:
            try:
                with_epochs = response.version >= _EPOCHS_RELIABLE_VERSION
                topics, news = before.topics_after(response.topics, fetch.partial, with_epochs)
            except KafkaProtocolError as error:
                refused = error
        if refused is not None:
            self._fail(now_ns)
            return MetadataChanges(error=refused)
        self._fetch = None
        self._attempts_since_ns = None
        self._failures = 0
        self._equivalent_answers = 0 if news else self._equivalent_answers + 1
        self._set_delays(now_ns)
        self.update_version += 1
        if not fetch.partial:
            self._full_answered = fetch.full_version
            self.last_success_ns = now_ns
        self._note_errors(response.topics, fetch.partial)
        self._expire_topics(now_ns)
        brokers = {it.node_id: Broker(it.node_id, it.host, it.port, it.rack) for it in response.brokers}
        kept = {name: topic for name, topic in topics.items() if name in self._expiry_ns}
        self.snapshot = ClusterSnapshot(brokers, kept, response.cluster_id, response.controller_id)
        self._forget_old_addresses()
        return changes_between(before, self.snapshot)

    def _refusal(self, response: MetadataResponse) -> KafkaError | None:
        if response.error_code:
            return for_code(response.error_code)("Metadata was refused")
        if not response.brokers:
            return MetadataEmptyBrokerList("the metadata names no broker")
        return None

    def _note_errors(self, topics: Iterable[MetadataTopic], partial: bool) -> None:
        if not partial:
            self._topic_errors.clear()
        for topic in topics:
            if topic.name is None:
                continue
            self._new_topics.discard(topic.name)
            self._topic_errors.pop(topic.name, None)
            if topic.error_code:
                self._topic_errors[topic.name] = _TopicError(topic.error_code, self.update_version)
            codes = {topic.error_code} | {partition.error_code for partition in topic.partitions}
            if any(code and for_code(code).invalid_metadata for code in codes):
                self._full_version += 1

    def _expire_topics(self, now_ns: int) -> None:
        for topic, expiry_ns in list(self._expiry_ns.items()):
            if expiry_ns > now_ns or topic in self._new_topics:
                continue
            used_ns = self._last_used_ns(topic)
            if used_ns is not None and used_ns + self._max_idle_ns > now_ns:
                self._expiry_ns[topic] = used_ns + self._max_idle_ns
            else:
                del self._expiry_ns[topic]
                self._topic_errors.pop(topic, None)

    def topic_error(self, topic: str) -> int | None:
        """The error number the last answer had for ``topic``; None if it had none."""
        with self.lock:
            error = self._topic_errors.get(topic)
            return None if error is None else error.code

    # Who wants an update

    def add_topic(self, topic: str, now_ns: int) -> bool:
        """Note that ``topic`` is used; returns True, and makes a request due at once, if it was not tracked."""
        with self.lock:
            return self._add_topic(topic, now_ns)

    def _add_topic(self, topic: str, now_ns: int) -> bool:
        known = topic in self._expiry_ns
        self._expiry_ns[topic] = now_ns + self._max_idle_ns
        if not known:
            self._new_topics.add(topic)
            self._equivalent_answers = 0
            self._failure_delay_until_ns = self._equivalent_delay_until_ns = None
        return not known

    def request_update(self, *, reset_equivalent: bool = False) -> int:
        """Ask for a full update; returns ``update_version``, which is larger once any answer has come.

        Args:
            reset_equivalent: do not wait because earlier answers were alike.
        """
        with self.lock:
            self._full_version += 1
            if reset_equivalent:
                self._equivalent_answers = 0
                self._equivalent_delay_until_ns = None
            return self.update_version

    def update_leaders(self, updates: Iterable[LeaderUpdate], endpoints: Iterable[Broker]) -> MetadataChanges:
        """Merge the leaders a produce response named (KIP-951). A full update is to be requested beside it."""
        with self.lock:
            before = self.snapshot
            self.snapshot = before.with_leaders(updates, endpoints)
            return MetadataChanges() if self.snapshot is before else changes_between(before, self.snapshot)

    # Starting over

    def rebootstrap_due(self, now_ns: int, no_node_available: bool) -> bool:
        """Whether to start over from the bootstrap servers.

        Args:
            no_node_available: no broker is connected and none may be tried now (KIP-899). Otherwise it is due when
                requests have been failing for ``rebootstrap_trigger_ms`` (KIP-1102).
        """
        with self.lock:
            if not self._rebootstrap_enabled or self._closed:
                return False
            if self._fetch is not None or self._time_to_next_update(now_ns) == 0:
                self._note_attempt(now_ns)
            since_ns = self._attempts_since_ns
            late = since_ns is not None and now_ns - since_ns >= self._rebootstrap_trigger_ns
            return late or (no_node_available and not self.snapshot.is_bootstrap)

    def overdue_at_ns(self) -> int | None:
        """When an answer will have been missed for ``rebootstrap_trigger_ms`` (KIP-1102), None while none is."""
        with self.lock:
            since_ns = self._attempts_since_ns if self._rebootstrap_enabled and not self._closed else None
            return None if since_ns is None else since_ns + self._rebootstrap_trigger_ns

    def rebootstrap(self, now_ns: int, *, at_once: bool = True) -> MetadataChanges:
        """Forget brokers and epochs, keep partition counts, ask the bootstrap servers at once or after the back-off."""
        with self.lock:
            before = self.snapshot
            self.snapshot = before.replace(
                brokers=self._bootstrap, map_topic=TopicMetadata.without_epochs, is_bootstrap=True
            )
            self._fetch = None
            self._full_version += 1
            if at_once:
                self._failures = self._equivalent_answers = 0
                self._failure_delay_until_ns = self._equivalent_delay_until_ns = None
            self._attempts_since_ns = now_ns
            return changes_between(before, self.snapshot)

    def _note_attempt(self, now_ns: int) -> None:
        if self._attempts_since_ns is None:
            self._attempts_since_ns = now_ns

    # Waiting

    def wait_for_topic(
        self, topic: str, partition: int | None, deadline_ns: int, check: Callable[[], None] | None = None
    ) -> TopicMetadata:
        """Wait until ``topic`` is known, and has ``partition`` if one is given.

        Args:
            topic: the topic.
            partition: a partition that has to exist, or None.
            deadline_ns: when to give up.
            check: called again and again while waiting, without a lock held; may raise to end the wait.

        Raises:
            KafkaTimeoutError: not known by ``deadline_ns``; says what was wrong with each broker and with the topic.
            InvalidTopicError, TopicAuthorizationFailedError: waiting would not help.
            ProducerClosedError: ``close`` was called.
        """
        started_ns = self._clock()
        first_version = self.update_version
        asked_version = -1
        while True:
            if check is not None:
                check()
            with self.lock:
                self._raise_errors(topic, first_version)
                now_ns = self._clock()
                asking = asked_version != self.update_version
                if asking:
                    self._add_topic(topic, now_ns)
                known = self.snapshot.topic(topic)
                if known is not None and known.partition_count > (partition or 0):
                    return known
                if asking and self._fetch is None and not self.update_wanted():
                    self._full_version += 1
                asked_version = self.update_version
            if asking:
                self._wake()
            with self.lock:
                if asked_version != self.update_version or self._closed or self._fatal is not None:
                    continue
                if now_ns >= deadline_ns:
                    self._raise_timeout(topic, partition, (now_ns - started_ns) // _NS_PER_MS)
                turn = self._waiters.enrol()
            self._waiters.wait(turn, min(_WAIT_SLICE_NS, deadline_ns - now_ns) / 1e9)

    def _raise_errors(self, topic: str, first_version: int) -> None:
        if self._closed:
            raise ProducerClosedError(f"the producer was closed while it waited for metadata of topic {topic!r}")
        if self._fatal is not None:
            fatal, self._fatal = self._fatal, None
            raise fatal
        error = self._topic_errors.get(topic)
        if error is None:
            return
        if error.code == InvalidTopicError.errno:
            raise InvalidTopicError(f"{topic!r} is not a valid topic name")
        if error.code == TopicAuthorizationFailedError.errno and error.update_version > first_version:
            raise TopicAuthorizationFailedError(f"not authorized to access topic {topic!r}")

    def _raise_timeout(self, topic: str, partition: int | None, waited_ms: int) -> NoReturn:
        known = self.snapshot.topic(topic)
        if known is None:
            missing = f"topic {topic!r} not present in metadata"
        else:
            missing = f"partition {partition} of topic {topic!r} ({known.partition_count} partitions) not present"
        error = self._topic_errors.get(topic)
        cause = None if error is None else for_code(error.code)(f"topic {topic!r}")
        parts = [f"{missing} after {waited_ms} ms"]
        if cause is not None:
            parts.append(f"the cluster says {cause.message}")
        if self._connection_errors:
            parts.append("last errors: " + "; ".join(self._connection_errors.values()))
        elif self.update_version == 0:
            parts.append("no good answer yet from " + ", ".join(broker.address for broker in self._bootstrap.values()))
        raise KafkaTimeoutError(". ".join(parts)) from cause

    # News from connections, and the end

    def note_connection_error(self, address: str, error: BaseException) -> None:
        """Remember the last error of ``address`` ("host:port"), to explain time-outs with."""
        text = str(error.args[0]) if isinstance(error, KafkaError) and error.args else str(error)
        with self.lock:
            self._connection_errors[address] = text if address in text else f"{address}: {text}"

    def note_connection_ready(self, address: str) -> None:
        """Forget the error of ``address``: it answers."""
        with self.lock:
            self._connection_errors.pop(address, None)

    def _forget_old_addresses(self) -> None:
        """Keep the errors of servers that still count, so that broker moves do not fill the memory."""
        current = {broker.address for broker in (*self._bootstrap.values(), *self.snapshot.brokers())}
        for address in self._connection_errors.keys() - current:
            del self._connection_errors[address]

    def set_fatal(self, error: KafkaError) -> None:
        """Raise ``error`` in one waiting thread, or in the next that waits (authentication, unsupported version)."""
        with self.lock:
            self._fatal = error
            self._waiters.notify_all()

    def close(self) -> None:
        """Wake all waiting threads with ProducerClosedError and ask for nothing more."""
        with self.lock:
            self._closed = True
            self._waiters.notify_all()
