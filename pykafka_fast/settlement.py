# SPDX-License-Identifier: Apache-2.0
"""One decision per batch that came back without a plain success: send it again, split it, fail it.

:mod:`pykafka_fast.retry` knows the rules, the wire thread does what is decided; here both are brought together with
what metadata knows.
"""

from __future__ import annotations

from collections.abc import Callable

from ._core.wire import Event, ParkedBatch, Wire
from .cluster import Broker, LeaderUpdate, MetadataChanges
from .complaints import Complaints
from .errors import InvalidRecordError, TopicAuthorizationFailedError
from .log import get_logger
from .metadata import MetadataCache
from .retry import TRIES_AGAIN, Action, Decision, decide, description, split_size

__all__ = ["Settlement"]

_logger = get_logger(__name__)

NOT_LEADER_OR_FOLLOWER = 6
FENCED_LEADER_EPOCH = 74
_ENDPOINTS_MAX = 10_000
_CEILING_AGE_NS = 300_000_000_000
_MOVED = (NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH)


def _explanation(batch: ParkedBatch, outcome: Event) -> str | None:
    """What the broker says, and what it does not say: which topic the user may not write to."""
    if outcome.code != TopicAuthorizationFailedError.errno:
        return outcome.text
    said = f": {outcome.text}" if outcome.text else ""
    return f"not authorized to write to topic {batch.topic!r}{said}"


class Settlement:
    """Settles batches.

    Args:
        wire: does what is decided.
        metadata: is told of new leaders and asked to refresh.
        max_retries: ``retries``.
        delivery_timeout_ms: of the producer.
        batch_size: of the producer; pieces of a split are not smaller than that at first.
        backoff_ms: delay before another try after so many earlier ones.
        batch_max_size: of the producer.
        set_ceiling: topic and size: its batches are not to grow beyond that.
        clock: monotonic nanoseconds.
        publish: passes on what a new leader changes.
        on_fatal: told of an outcome that ends the producer, before the batch's records fail: whoever learns from them
            finds it ended.
    """

    def __init__(
        self,
        wire: Wire,
        metadata: MetadataCache,
        *,
        max_retries: int,
        delivery_timeout_ms: int,
        batch_size: int,
        batch_max_size: int,
        backoff_ms: Callable[[int], int],
        set_ceiling: Callable[[str, int], None],
        clock: Callable[[], int],
        publish: Callable[[MetadataChanges], None],
        on_fatal: Callable[[Event], None],
    ) -> None:
        self._wire = wire
        self._metadata = metadata
        self._max_retries = max_retries
        self._delivery_timeout_ms = delivery_timeout_ms
        self._batch_size = batch_size
        self._backoff_ms = backoff_ms
        self._batch_max_size = batch_max_size
        self._set_ceiling = set_ceiling
        self._clock = clock
        self._publish = publish
        self._on_fatal = on_fatal
        self._complaints = Complaints(_logger, clock)
        self._endpoints: dict[int, Broker] = {}
        self._ceilings: dict[str, tuple[int, int]] = {}  # topics that refused batches for their size: size and time

    def note_endpoint(self, node_id: int, host: str, port: int) -> None:
        """A response named a broker's address (KIP-951)."""
        if len(self._endpoints) >= _ENDPOINTS_MAX:
            self._endpoints.clear()
        self._endpoints[node_id] = Broker(node_id, host, port)

    def settle(self, batch: ParkedBatch, outcome: Event) -> Action:
        """Decide about one batch and have it done; returns what was decided."""
        decision = decide(
            outcome.code,
            idempotent=batch.sequence >= 0,
            attempts=batch.attempts,
            max_retries=self._max_retries,
            expired=batch.age_ms >= self._delivery_timeout_ms,
            record_count=batch.count,
            is_first=outcome.first,
            log_start_known=outcome.log_start >= 0,
            in_doubt=outcome.in_doubt,
            answered=outcome.answered,
        )
        is_moved = outcome.code in _MOVED and self._merge_leader(batch, outcome)
        if decision.refresh:
            self._metadata.request_update()
        self._log(batch, outcome, decision.action, is_moved)
        if decision.action is Action.FATAL:
            self._on_fatal(outcome)
        self._carry_out(batch, outcome, decision, is_moved)
        return decision.action

    def _log(self, batch: ParkedBatch, outcome: Event, action: Action, is_moved: bool) -> None:
        """A lost connection was warned about by whoever noticed; a batch behind another is refused because of it."""
        facts = (batch.topic, batch.partition, batch.count)
        reason = description(outcome.code, outcome.text)
        if action in TRIES_AGAIN and outcome.answered and outcome.first and not is_moved:
            subject = f"{batch.topic} {outcome.code}"
            wait = action is Action.BUMP_EPOCH and outcome.in_doubt
            fate = "are sent again" + (", unless one behind them shows that they are written" if wait else "")
            self._complaints.warn(subject, "%s-%d: %d records %s: %s", *facts, fate, reason)
        else:
            _logger.debug("%s-%d: %d records came back with %s: %s", *facts, reason, action.value)

    def _carry_out(self, batch: ParkedBatch, outcome: Event, decision: Decision, is_moved: bool) -> None:
        action = decision.action
        if action in TRIES_AGAIN:
            at_once = is_moved or self._waits_anyway(batch, outcome, action)
            self._wire.requeue(
                batch,
                delay_ms=0 if at_once else self._backoff_ms(batch.attempts),
                in_doubt=decision.in_doubt,
                refused=action is Action.BUMP_EPOCH,
                text=description(outcome.code, outcome.text),
            )
        elif action is Action.SPLIT:
            self._wire.split(batch, self._piece_size(batch), outcome.code, outcome.text)
        elif action is Action.DONE:
            self._wire.complete(batch, outcome.offset)
        else:
            self._fail(batch, outcome, decision.in_doubt)

    @staticmethod
    def _waits_anyway(batch: ParkedBatch, outcome: Event, action: Action) -> bool:
        """A batch behind another cannot leave before it, and one whose sequence is of no use not before a restart."""
        if action is Action.BUMP_EPOCH:
            return batch.attempts == 0
        return batch.sequence >= 0 and not outcome.first

    def _piece_size(self, batch: ParkedBatch) -> int:
        """How large pieces may be: what was learnt from other batches of the topic counts first."""
        ceiling, _ = self._ceilings.get(batch.topic, (self._batch_max_size, 0))
        if batch.topic not in self._ceilings or batch.size <= ceiling:
            ceiling = split_size(batch.size, self._batch_size, batch.is_split)
            self._ceilings[batch.topic] = ceiling, self._clock()
            self._set_ceiling(batch.topic, ceiling)
        return ceiling

    def on_metadata(self) -> None:
        """After an answer to Metadata: it knows addresses better than the produce responses before it."""
        self._endpoints.clear()
        self._raise_ceilings()

    def _raise_ceilings(self) -> None:
        """Let batches of topics that refused larger ones a while ago grow again: limits are raised now and then."""
        now_ns = self._clock()
        for topic, (ceiling, since_ns) in list(self._ceilings.items()):
            if now_ns - since_ns < _CEILING_AGE_NS:
                continue
            ceiling = min(ceiling * 2, self._batch_max_size)
            self._set_ceiling(topic, ceiling)
            if ceiling < self._batch_max_size:
                self._ceilings[topic] = ceiling, now_ns
            else:
                del self._ceilings[topic]

    def _fail(self, batch: ParkedBatch, outcome: Event, in_doubt: bool) -> None:
        code = outcome.code
        if len(outcome.record_errors) > 1:
            assert InvalidRecordError.errno is not None
            code = InvalidRecordError.errno
        self._wire.fail(batch, code, _explanation(batch, outcome), in_doubt, outcome.record_errors)

    def _merge_leader(self, batch: ParkedBatch, outcome: Event) -> bool:
        """Whether the response named a leader this batch has not been sent to (KIP-951)."""
        if outcome.leader < 0 or outcome.leader_epoch < 0:
            return False
        update = LeaderUpdate(batch.topic, batch.partition, outcome.leader, outcome.leader_epoch)
        endpoint = self._endpoints.get(outcome.leader)
        before = self._metadata.snapshot
        self._publish(self._metadata.update_leaders([update], [endpoint] if endpoint else []))
        if self._metadata.snapshot is not before:
            return True
        topic = before.topic(batch.topic)
        if topic is None or batch.partition >= topic.partition_count or batch.attempts > 0:
            return False
        # The answer for an earlier batch brought the same news.
        known = (topic.leaders[batch.partition], topic.leader_epochs[batch.partition])
        return known == (outcome.leader, outcome.leader_epoch)
