# SPDX-License-Identifier: Apache-2.0
"""What a partition remembers of each producer: epoch, last sequence number and its last five batches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from .batch import BatchError, BatchHeader, next_sequence
from .codes import Code

__all__ = ["Appended", "ProducerState", "ProducerTable"]

_REMEMBERED_BATCHES = 5
_REMEMBERED_REFUSALS = 64
_SEQUENCE_MASK = 0x7FFFFFFF


class Appended(NamedTuple):
    """A batch of a producer as it was written."""

    base_sequence: int
    last_sequence: int
    base_offset: int
    timestamp: int


@dataclass
class ProducerState:
    """One producer on one partition."""

    epoch: int = -1
    batches: deque[Appended] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_BATCHES))
    forgot: bool = False
    """Batches before the last were forgotten: it is not the client's fault if it repeats them."""

    @property
    def last_sequence(self) -> int:
        """Sequence number written last, -1 if none at this epoch."""
        return self.batches[-1].last_sequence if self.batches else -1

    def may_have_forgotten(self, header: BatchHeader) -> bool:
        """Whether this batch may have been written and forgotten."""
        return self.forgot and (self.last_sequence - header.base_sequence) & _SEQUENCE_MASK <= _SEQUENCE_MASK >> 1


class ProducerTable:
    """All producers of one partition.

    ``check`` follows the rules of Apache Kafka since 2.5 (KIP-360): a producer the partition knows nothing of may
    start anywhere, a known one goes on where it stopped, a new epoch starts at 0, and a batch that equals one of the
    last five is a duplicate, which is no error.
    """

    def __init__(self) -> None:
        self._states: dict[int, ProducerState] = {}
        # (first sequence, count) of batches that were refused through no fault of the client. What follows them is
        # a gap for the partition but none of the client's making.
        self._refused: dict[tuple[int, int], deque[tuple[int, int]]] = {}
        # Newest epoch each (producer, connection) used: going back on one connection is the client's fault.
        self._newest_epoch: dict[tuple[int, int], int] = {}

    def state(self, producer_id: int) -> ProducerState | None:
        """What is known of a producer, None if nothing."""
        return self._states.get(producer_id)

    def forget(self, producer_id: int | None = None) -> None:
        """Lose the state of one producer, or of all, as retention does."""
        if producer_id is None:
            self._states.clear()
        else:
            self._states.pop(producer_id, None)

    def forget_batches(self) -> None:
        """Of each producer remember the last batch alone."""
        for state in self._states.values():
            state.forgot = True
            while len(state.batches) > 1:
                state.batches.popleft()

    def find_duplicate(self, header: BatchHeader) -> Appended | None:
        """The earlier batch that ``header`` repeats, if it is among the last five of its epoch."""
        state = self._states.get(header.producer_id)
        if state is None or state.epoch != header.producer_epoch:
            return None
        span = (header.base_sequence, header.last_sequence)
        for batch in state.batches:
            if (batch.base_sequence, batch.last_sequence) == span:
                return batch
        return None

    def check(self, header: BatchHeader, connection: int, require_known: bool = False) -> None:
        """Check epoch and sequence of a batch that is not a duplicate.

        Args:
            header: the batch's header.
            connection: number of the connection it came on.
            require_known: answer UNKNOWN_PRODUCER_ID as brokers before 2.5 do, when an unknown producer does not
                start at 0.

        Raises:
            BatchError: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER or UNKNOWN_PRODUCER_ID.
        """
        state = self._states.get(header.producer_id)
        used = (header.producer_id, connection)
        newest = self._newest_epoch.get(used, -1)
        self._newest_epoch[used] = max(newest, header.producer_epoch)
        if state is None:
            self._check_unknown(header, require_known)
        elif header.producer_epoch < state.epoch:
            raise BatchError(
                Code.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id} has epoch {header.producer_epoch}, epoch {state.epoch} was seen",
                violation=newest > header.producer_epoch,
            )
        else:
            self._check_known(header, state)

    def _check_unknown(self, header: BatchHeader, require_known: bool) -> None:
        if header.base_sequence != 0 and require_known:
            raise BatchError(
                Code.UNKNOWN_PRODUCER_ID,
                f"nothing is known of producer {header.producer_id}, which starts at {header.base_sequence}",
                violation=False,
            )

    def _check_known(self, header: BatchHeader, state: ProducerState) -> None:
        new_epoch = header.producer_epoch != state.epoch
        expected = 0 if new_epoch else next_sequence(state.last_sequence, 1)
        if header.base_sequence == expected:
            return
        raise BatchError(
            Code.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"producer {header.producer_id} epoch {header.producer_epoch}: sequence {header.base_sequence}, "
            f"expected {expected}",
            violation=not (self._was_refused(header, expected) or state.may_have_forgotten(header)),
        )

    def _was_refused(self, header: BatchHeader, sequence: int) -> bool:
        refused = self._refused.get((header.producer_id, header.producer_epoch), ())
        return any((sequence - first) & _SEQUENCE_MASK < count for first, count in refused)

    def starts_late(self, header: BatchHeader) -> bool:
        """Whether an unknown producer starts past 0 although its batch 0 was never seen, let alone refused."""
        return header.producer_id not in self._states and header.base_sequence != 0 and not self._was_refused(header, 0)

    def refuse(self, header: BatchHeader) -> None:
        """Remember that a batch came and was refused through no fault of the client."""
        if header.producer_id >= 0:
            identity = (header.producer_id, header.producer_epoch)
            refused = self._refused.setdefault(identity, deque(maxlen=_REMEMBERED_REFUSALS))
            refused.append((header.base_sequence, header.record_count))

    def append(self, header: BatchHeader, base_offset: int, timestamp: int) -> None:
        """Record that a batch was written at ``base_offset``."""
        state = self._states.setdefault(header.producer_id, ProducerState())
        if state.epoch != header.producer_epoch:
            state.epoch = header.producer_epoch
            state.batches.clear()
            state.forgot = False
        state.batches.append(Appended(header.base_sequence, header.last_sequence, base_offset, timestamp))
