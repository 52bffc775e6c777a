# SPDX-License-Identifier: Apache-2.0
"""What must come out of a cell, from the specification: at most once, at least once, exactly once, in order.

Of each record three things are said: whether it is acknowledged, with which error it fails, and how often it is in the
log.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykafka_fast.errors import KafkaError
from tests.matrix.table import Cell, Verdict

ONCE = frozenset({1})
NEVER = frozenset({0})
AT_MOST_ONCE = frozenset({0, 1})
ONCE_OR_TWICE = frozenset({1, 2})
ANY = frozenset(range(20))


@dataclass(frozen=True)
class Fate:
    """What may become of a record.

    Attributes:
        copies: how often it may be in the log, if it is acknowledged.
        error: the class of its failure, None if it must be acknowledged.
        may_succeed: with an error: or be acknowledged after all.
        doubtful: with an error: whether it may be in the log, None where that is for each record to say.
        lost: with an error: how often it may be in the log.
    """

    copies: frozenset[int] = ONCE
    error: type[KafkaError] | None = None
    may_succeed: bool = False
    doubtful: bool | None = False
    lost: frozenset[int] = NEVER


def fate(cell: Cell, batch: int) -> Fate:
    """Of the records of a batch, counted from 0."""
    if cell.promise.acks == 0:
        return _unasked(cell, batch)
    hit = cell.moment.batch
    if batch < hit and not (cell.fault.breaks and cell.promise.in_flight > 1):
        return Fate()
    if batch == hit:
        return _hit(cell)
    return _other(cell, batch > hit)


def _unasked(cell: Cell, batch: int) -> Fate:
    """acks=0: written to the socket is all there is to know. An error makes the broker close the connection (5.8)."""
    if batch < cell.moment.batch:
        return Fate(ONCE)
    if batch == cell.moment.batch:
        return Fate(ONCE if cell.fault.written else NEVER)
    return Fate(AT_MOST_ONCE)


def _hit(cell: Cell) -> Fate:
    fault, idempotent = cell.fault, cell.promise.idempotent
    if fault.lasts:
        lost = NEVER if not fault.written else ONCE if idempotent else ANY - NEVER
        return Fate(error=fault.error, doubtful=not fault.answered, lost=lost)
    fails = fault.verdict in (Verdict.FAIL, Verdict.FATAL) or (fault.verdict is Verdict.BUMP and not idempotent)
    if fails:
        return Fate(error=fault.error, doubtful=not fault.answered, lost=ONCE if fault.written else NEVER)
    sent_again = fault.verdict is Verdict.RETRY
    twice = sent_again and fault.written and not idempotent
    return Fate(frozenset({2}) if twice else ONCE)


def _other(cell: Cell, behind: bool) -> Fate:
    """Of records that were not hit, but may have been on the way with those that were, or are not sent any more."""
    fault, promise = cell.fault, cell.promise
    if fault.lasts and behind:
        lost = NEVER if fault.answered else AT_MOST_ONCE if promise.idempotent else ANY
        # Sent in its last moment, when the one before it has expired, it fails with what the broker says.
        return Fate(error=KafkaError if fault.answered else fault.error, doubtful=None, lost=lost)
    if fault.verdict is Verdict.FATAL and promise.idempotent and behind:
        return Fate(error=fault.error, may_succeed=True, doubtful=None, lost=AT_MOST_ONCE)
    if fault.breaks and promise.in_flight > 1 and not promise.idempotent:
        return Fate(ONCE_OR_TWICE if not fault.lasts else ANY - NEVER)
    return Fate()


def dies(cell: Cell) -> bool:
    """Whether the producer takes nothing afterwards."""
    return cell.fault.verdict is Verdict.FATAL and cell.promise.idempotent
