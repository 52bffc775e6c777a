# SPDX-License-Identifier: Apache-2.0
"""The fault matrix: what goes wrong, when, under which promises. Every combination that makes sense is a cell.

A run sends records that fill five batches of one partition, one request each, so that a fault is armed for exactly one
of them: the batch that is *hit*. Gates are the broker's, so nothing depends on who is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import product

from pykafka_fast import errors
from pykafka_fast.testing import EmbeddedBroker

TOPIC = "t"
BATCHES = 5


class Verdict(Enum):
    """What the specification makes of a fault, acks=0 apart."""

    RETRY = "the batch is sent again"
    FAIL = "the batch fails"
    BUMP = "with idempotence it is sent again under the next epoch, without it fails"
    FATAL = "the batch fails, and with idempotence the producer"
    DONE = "that was a success"


Arm = Callable[[EmbeddedBroker, int], object]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one request.

    Attributes:
        name: of the cell.
        arm: tells the broker: (broker, requests that pass before).
        verdict: what becomes of the batch.
        written: the broker writes the batch all the same.
        answered: the client learns what became of it; otherwise that is in doubt.
        breaks: the connection does not survive, nor do requests behind this one on it.
        needs_answer: it concerns the answer, so there is no such fault with acks=0.
        needs_idempotence: brokers say this to nobody else.
        error: with FAIL, FATAL or BUMP: the future's exception.
        lasts: it befalls every request from this one on, until delivery_timeout_ms.
    """

    name: str
    arm: Arm
    verdict: Verdict
    written: bool = False
    answered: bool = True
    breaks: bool = False
    needs_answer: bool = False
    needs_idempotence: bool = False
    error: type[errors.KafkaError] = errors.KafkaError
    lasts: bool = False


def refusal(code: int, verdict: Verdict, error: type[errors.KafkaError] = errors.KafkaError, **more: bool) -> Fault:
    """An error code of Produce."""
    written = more.get("written", False)

    def arm(broker: EmbeddedBroker, skip: int) -> None:
        broker.fail("Produce", code, topic=TOPIC, skip=skip, after_append=written)

    name = errors.for_code(code).message or str(code)
    return Fault(name + (", written" if written else ""), arm, verdict, error=error, **more)


def move_leader(broker: EmbeddedBroker, skip: int) -> None:
    leader, _ = broker.leader(TOPIC, 0)
    broker.trigger("Produce", lambda: broker.move_leader(TOPIC, 0, 3 - leader), skip=skip)


def move_leader_silently(broker: EmbeddedBroker, skip: int) -> None:
    leader, _ = broker.leader(TOPIC, 0)
    broker.trigger("Produce", lambda: broker.move_leader(TOPIC, 0, 3 - leader, hint=False), skip=skip)


def cut(when: str | int, reset: bool = False) -> Arm:
    return lambda broker, skip: broker.cut(when=when, api="Produce", reset=reset, skip=skip)


RETRY, FAIL, BUMP, FATAL, DONE = Verdict
FAULTS = [
    # Error codes, a few of each class; what each single one means is tests/unit/test_retry.py's business.
    refusal(2, RETRY),
    refusal(19, RETRY),
    refusal(7, RETRY, written=True),
    refusal(20, RETRY, written=True),
    refusal(3, RETRY),
    refusal(5, RETRY),
    refusal(6, RETRY),
    refusal(56, RETRY),
    refusal(100, RETRY),
    refusal(29, FAIL, errors.TopicAuthorizationFailedError),
    refusal(87, FAIL, errors.InvalidRecordError),
    refusal(47, FAIL, errors.InvalidProducerEpochError),
    refusal(-1, FAIL, errors.UnknownError, answered=False),
    refusal(-1, FAIL, errors.UnknownError, answered=False, written=True),
    refusal(45, BUMP, errors.OutOfOrderSequenceNumberError),
    refusal(59, BUMP, errors.UnknownProducerIdError),
    refusal(31, FATAL, errors.ClusterAuthorizationFailedError),
    refusal(90, FATAL, errors.ProducerFencedError),
    refusal(46, DONE, written=True, needs_idempotence=True),
    refusal(10, RETRY),  # three records: cut in two, and each piece once
    # Connections. A peer that closes with bytes unread resets the connection.
    Fault("cut before it was read", cut("before_append", reset=True), RETRY, answered=False, breaks=True),
    Fault("cut before it was written", cut("before_append"), RETRY, answered=False, breaks=True),
    Fault("cut before the answer", cut("after_append"), RETRY, written=True, answered=False, breaks=True),
    Fault("half an answer", cut(20), RETRY, written=True, answered=False, breaks=True, needs_answer=True),
    Fault("silence", lambda broker, skip: broker.silence("Produce", skip=skip), RETRY, written=True, answered=False,
          breaks=True, needs_answer=True),
    # The cluster.
    Fault("leader moved", move_leader, RETRY),
    Fault("leader moved without a word", move_leader_silently, RETRY),
    Fault("throttled", lambda broker, skip: broker.throttle("Produce", 60, times=1, skip=skip), DONE, written=True,
          needs_answer=True),
    # What does not end by itself.
    Fault("refused for ever", lambda broker, skip: broker.fail("Produce", 19, times=None, skip=skip), FAIL,
          error=errors.KafkaTimeoutError, needs_answer=True, lasts=True),
    Fault("silence for ever", lambda broker, skip: broker.silence("Produce", times=None, skip=skip), FAIL, written=True,
          answered=False, breaks=True, error=errors.KafkaTimeoutError, needs_answer=True, lasts=True),
]  # fmt: skip


class Moment(Enum):
    """Which request is hit."""

    FIRST = "first request"
    SECOND = "second in a pipeline"
    FLUSH = "last, during flush"
    CLOSE = "last, during close"

    @property
    def batch(self) -> int:
        """The batch that is hit, counted from 0."""
        return {Moment.FIRST: 0, Moment.SECOND: 1}.get(self, BATCHES - 1)


@dataclass(frozen=True)
class Promise:
    """What the producer was asked for."""

    acks: int | str
    idempotent: bool
    in_flight: int

    @property
    def keeps_order(self) -> bool:
        return self.idempotent or self.in_flight == 1


PROMISES = [
    *(Promise(acks, False, in_flight) for acks in (0, 1, "all") for in_flight in (1, 5)),
    *(Promise("all", True, in_flight) for in_flight in (1, 5)),
]


@dataclass(frozen=True)
class Cell:
    """One run."""

    fault: Fault
    moment: Moment
    promise: Promise

    @property
    def makes_sense(self) -> bool:
        if self.promise.acks == 0 and self.fault.needs_answer:
            return False
        return self.promise.idempotent or not self.fault.needs_idempotence

    @property
    def name(self) -> str:
        mode = "idempotent" if self.promise.idempotent else f"acks={self.promise.acks}"
        return f"{self.fault.name}-{self.moment.value}-{mode}-{self.promise.in_flight} in flight"


CELLS = [cell for parts in product(FAULTS, Moment, PROMISES) if (cell := Cell(*parts)).makes_sense]
