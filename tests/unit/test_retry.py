# SPDX-License-Identifier: Apache-2.0
"""The table of error codes against Java's own flags and the producer's specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pykafka_fast.errors import kafka_errors
from pykafka_fast.retry import RULES, Action, Decision, decide, description, split_size

JAVA = {
    int(code): (retriable == "1", invalid_metadata == "1")
    for code, _, retriable, invalid_metadata in (
        line.split(",")
        for line in (Path(__file__).parent.parent / "golden" / "java_errors.csv").read_text().splitlines()
        if not line.startswith("#")
    )
}
TRIES_AGAIN = {Action.RETRY, Action.REFRESH_AND_RETRY}


def after(code: int, **changes: Any) -> Decision:
    """The decision about a batch of an idempotent producer with retries and time left."""
    facts: dict[str, Any] = {
        "idempotent": True,
        "attempts": 0,
        "max_retries": 3,
        "expired": False,
        "record_count": 10,
        "log_start_known": False,
    }
    return decide(code, **{**facts, **changes})


def test_every_error_has_exactly_one_rule() -> None:
    assert RULES.keys() == kafka_errors.keys()


@pytest.mark.parametrize("code", sorted(set(kafka_errors) & set(JAVA)))
def test_what_java_retries_is_retried_and_what_it_refreshes_for_refreshes(code: int) -> None:
    retriable, invalid_metadata = JAVA[code]
    assert (RULES[code].plain_action in TRIES_AGAIN) == retriable
    assert RULES[code].refresh == invalid_metadata
    assert (RULES[code].plain_action is Action.REFRESH_AND_RETRY) == invalid_metadata


@pytest.mark.parametrize(
    ("code", "action", "plain"),
    [
        (-1, Action.FAIL, Action.FAIL),
        (10, Action.SPLIT, Action.SPLIT),
        (17, Action.FAIL, Action.FAIL),
        (18, Action.SPLIT, Action.SPLIT),
        (29, Action.FAIL, Action.FAIL),
        (31, Action.FATAL, Action.FAIL),
        (35, Action.FATAL, Action.FAIL),
        (43, Action.FAIL, Action.FAIL),
        (45, Action.BUMP_EPOCH, Action.FAIL),
        (46, Action.DONE, Action.DONE),
        (47, Action.FAIL, Action.FAIL),
        (53, Action.FATAL, Action.FAIL),
        (59, Action.BUMP_EPOCH, Action.FAIL),
        (87, Action.FAIL, Action.FAIL),
        (90, Action.FATAL, Action.FAIL),
    ],
)
def test_special_codes(code: int, action: Action, plain: Action) -> None:
    assert after(code, log_start_known=True).action is action
    assert after(code, log_start_known=True, idempotent=False).action is plain


@pytest.mark.parametrize("code", sorted(kafka_errors))
def test_an_expired_batch_is_never_sent_again(code: int) -> None:
    assert after(code, expired=True).action in {Action.FAIL, Action.FATAL, Action.DONE}


@pytest.mark.parametrize("code", [7, 6, 45, 59])
def test_retries_are_counted(code: int) -> None:
    assert after(code, attempts=2).action is not Action.FAIL
    assert after(code, attempts=3).action is Action.FAIL
    assert after(code, attempts=0, max_retries=0).action is Action.FAIL


@pytest.mark.parametrize("code", [10, 18])
def test_a_split_is_no_retry(code: int) -> None:
    assert after(code, attempts=3).action is Action.SPLIT


@pytest.mark.parametrize("code", [10, 18])
def test_a_single_record_is_not_split(code: int) -> None:
    assert after(code, record_count=1).action is Action.FAIL


@pytest.mark.parametrize("code", [45, 59])
def test_behind_another_batch_a_sequence_is_kept(code: int) -> None:
    assert after(code, is_first=False, log_start_known=True).action is Action.RETRY
    assert after(code, is_first=True, log_start_known=True).action is Action.BUMP_EPOCH


def test_an_unknown_producer_id_without_a_log_start_is_tried_again_once() -> None:
    assert after(59).action is Action.RETRY
    assert after(59, attempts=1).action is Action.BUMP_EPOCH
    assert after(45).action is Action.BUMP_EPOCH


def test_a_number_nobody_knows_fails_and_leaves_doubt() -> None:
    assert after(999) == Decision(Action.FAIL, in_doubt=True, refresh=False)


@pytest.mark.parametrize("code", [7, 20, 3, 6, 13, 56, -1])
def test_answers_that_leave_doubt(code: int) -> None:
    """Also what a broker says that stopped leading while the batch, written, waited for its other replicas."""
    assert after(code).in_doubt
    assert not after(code, answered=False).in_doubt


@pytest.mark.parametrize("code", [2, 5, 10, 17, 18, 19, 29, 31, 45, 74, 87])
def test_refusals_leave_no_doubt_of_their_own(code: int) -> None:
    assert not after(code).in_doubt
    assert after(code, in_doubt=True).in_doubt == (code not in (10, 18))  # which settles what earlier tries left open


class TestSplitSize:
    def test_two_pieces_take_it_all(self) -> None:
        assert 262_144 / 2 < split_size(262_144, 16_384, False) < 262_144 * 0.53

    def test_not_below_batch_size_at_first(self) -> None:
        assert split_size(20_000, 16_384, False) == 16_384
        assert split_size(20_000, 16_384, True) < 10_500

    def test_repeated_splits_shrink_to_nothing(self) -> None:
        size, rounds = 1_000_000, 0
        while size > 130:
            smaller = split_size(size, 16_384, rounds > 0)
            assert smaller < size
            size, rounds = smaller, rounds + 1
        assert rounds < 40


def test_descriptions() -> None:
    assert description(6, None) == "NOT_LEADER_OR_FOLLOWER"
    assert description(6, "ask node 2") == "NOT_LEADER_OR_FOLLOWER: ask node 2"
    assert description(999, None) == "error 999"
