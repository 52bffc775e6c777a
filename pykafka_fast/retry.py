# SPDX-License-Identifier: Apache-2.0
"""What becomes of a batch that was not simply acknowledged: one table of error codes and one pure function.

The table has a row for every error number Kafka knows, also those no produce response should carry.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .errors import BrokerResponseError, kafka_errors

__all__ = ["RULES", "TRIES_AGAIN", "Action", "Decision", "Rule", "decide", "split_size"]


class Action(Enum):
    """What to do with the batch."""

    RETRY = "retry"
    """Send it again after the back-off."""
    REFRESH_AND_RETRY = "refresh and retry"
    """Send it again after the back-off, perhaps to another broker: fetch metadata meanwhile."""
    SPLIT = "split"
    """Send its records again in smaller batches, at once."""
    BUMP_EPOCH = "bump epoch"
    """Its sequence is of no use: send it again under a new producer epoch, numbered from 0, unless one behind it shows
    that it is written."""
    FAIL = "fail"
    """Its records fail."""
    FATAL = "fatal"
    """Its records fail, and with them all others and all later ones."""
    DONE = "done"
    """Its records were written by an earlier try."""


class Rule(NamedTuple):
    """One row of the table.

    Attributes:
        action: with retries and time left.
        plain_action: the same for a producer without idempotence.
        refresh: the metadata is out of date.
        in_doubt: a broker that answers this may have written the records.
    """

    action: Action
    plain_action: Action
    refresh: bool = False
    in_doubt: bool = False


class Decision(NamedTuple):
    """What to do with one batch now.

    Attributes:
        action: what to do.
        in_doubt: the records may have been written by this try.
        refresh: fetch metadata.
    """

    action: Action
    in_doubt: bool
    refresh: bool


UNKNOWN_SERVER_ERROR = -1
MESSAGE_TOO_LARGE = 10
RECORD_LIST_TOO_LARGE = 18
OUT_OF_ORDER_SEQUENCE_NUMBER = 45
UNKNOWN_PRODUCER_ID = 59
_BATCH_HEADER = 61

_RETRY = Rule(Action.RETRY, Action.RETRY)
_RETRY_IN_DOUBT = Rule(Action.RETRY, Action.RETRY, in_doubt=True)
_REFRESH = Rule(Action.REFRESH_AND_RETRY, Action.REFRESH_AND_RETRY, refresh=True)
_REFRESH_IN_DOUBT = Rule(Action.REFRESH_AND_RETRY, Action.REFRESH_AND_RETRY, refresh=True, in_doubt=True)
_FAIL = Rule(Action.FAIL, Action.FAIL)
_FAIL_IN_DOUBT = Rule(Action.FAIL, Action.FAIL, in_doubt=True)
_SPLIT = Rule(Action.SPLIT, Action.SPLIT)
_BUMP = Rule(Action.BUMP_EPOCH, Action.FAIL)
_FATAL = Rule(Action.FATAL, Action.FAIL)
_DONE = Rule(Action.DONE, Action.DONE)

# 3, 6 and 56 also come when the broker stopped leading while a written batch waited for the other replicas.
# 7 and 13 also stand for a request without an answer: whether it had left whole is known better than by its number.
_ROWS: tuple[tuple[Rule, tuple[int, ...]], ...] = (
    (_RETRY, (2, 14, 15, 16, 19, 41, 51, 70, 71, 75, 78, 88, 89, 106, 122, 123, 133)),
    (_RETRY_IN_DOUBT, (7, 20)),
    (_REFRESH, (5, 9, 72, 74, 80, 83, 84, 100, 103)),
    (_REFRESH_IN_DOUBT, (3, 6, 13, 56)),
    (_SPLIT, (MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE)),
    (_BUMP, (OUT_OF_ORDER_SEQUENCE_NUMBER, UNKNOWN_PRODUCER_ID)),
    (_FATAL, (31, 35, 53, 90)),
    (_DONE, (46,)),
    (_FAIL_IN_DOUBT, (UNKNOWN_SERVER_ERROR,)),
    (_FAIL, (0, 1, 4, 8, 11, 12, 17, *range(21, 31), 32, 33, 34, 36, 37, 38, 39, 40, 42, 43, 44, 47, 48, 49, 50, 52,
             54, 55, 57, 58, *range(60, 70), 73, 76, 77, 79, 81, 82, 85, 86, 87, *range(91, 100), 101, 102, 104, 105,
             *range(107, 122), *range(124, 133), 134, 135, 136)),
)  # fmt: skip

RULES: dict[int, Rule] = {code: rule for rule, codes in _ROWS for code in codes}
"""The row of every error code."""


def decide(
    code: int,
    *,
    idempotent: bool,
    attempts: int,
    max_retries: int,
    expired: bool,
    record_count: int,
    is_first: bool = True,
    log_start_known: bool = True,
    in_doubt: bool = False,
    answered: bool = True,
) -> Decision:
    """What to do with a batch that came back with an error.

    Args:
        code: Kafka's error number; a number without a row counts as UNKNOWN_SERVER_ERROR.
        idempotent: the batch has a sequence.
        attempts: how often it was sent again already.
        max_retries: the producer's ``retries``.
        expired: ``delivery_timeout_ms`` has passed.
        record_count: records in the batch.
        is_first: no earlier batch of the partition waits for its outcome, but for refused ones.
        log_start_known: the response named the log's start offset.
        in_doubt: an earlier try, or this one if its request ended without an answer, may have been written.
        answered: a broker said ``code``; otherwise the request ended without an answer.
    """
    rule = RULES.get(code, RULES[UNKNOWN_SERVER_ERROR])
    unsure = not log_start_known and attempts == 0  # the broker may remember the producer in a moment
    action = rule.action if idempotent else rule.plain_action
    if action is Action.SPLIT:
        action = Action.SPLIT if record_count > 1 and not expired else Action.FAIL
    elif action in TRIES_AGAIN and (expired or attempts >= max_retries):
        action = Action.FAIL
    elif action is Action.BUMP_EPOCH and (not is_first or (code == UNKNOWN_PRODUCER_ID and unsure)):
        action = Action.RETRY  # an earlier batch has to be settled first
    if rule is _SPLIT:
        in_doubt = False  # an earlier try had the same bytes: it was refused as well, or never read
    return Decision(action, in_doubt or (answered and rule.in_doubt), rule.refresh)


TRIES_AGAIN = (Action.RETRY, Action.REFRESH_AND_RETRY, Action.BUMP_EPOCH)
"""What leads to another try of the same batch."""


def split_size(size: int, batch_size: int, is_split: bool) -> int:
    """How large the pieces of a batch of ``size`` bytes may be that the broker found too large.

    A little more than half of it, so that two pieces take it all and repeated refusals come to an end; but not below
    ``batch_size`` at the first.
    """
    half = min(size // 2 + size // 64 + _BATCH_HEADER, size - 1)
    return max(half, batch_size) if size > batch_size and not is_split else half


def description(code: int, text: str | None) -> str:
    """Why a try failed, in a few words: the error's name and the broker's own text."""
    error = kafka_errors.get(code, BrokerResponseError)
    name = error.message or f"error {code}"
    return f"{name}: {text}" if text else name
