# SPDX-License-Identifier: Apache-2.0
"""When an id is asked for, what answers mean, when the epoch is bumped. Time stands still."""

from __future__ import annotations

import pytest

from pykafka_fast.errors import (
    ClusterAuthorizationFailedError,
    InvalidRequestError,
    KafkaConnectionError,
    UnsupportedVersionError,
)
from pykafka_fast.idempotence import IdentityState, ProducerIdentity, Verdict
from pykafka_fast.protocol.init_producer_id import InitProducerIdResponse

MS = 1_000_000
T0 = 5_000 * MS
LOST = KafkaConnectionError("lost")


def make() -> ProducerIdentity:
    return ProducerIdentity(lambda failures: (failures + 1) * 100 * MS)


def known(epoch: int = 0) -> ProducerIdentity:
    identity = make()
    identity.need(T0)
    identity.on_sent()
    assert identity.on_response(InitProducerIdResponse(0, 7, epoch), T0) is Verdict.KNOWN
    return identity


def test_nothing_is_asked_before_there_is_need() -> None:
    identity = make()
    assert not identity.is_due(T0)
    assert identity.next_request_ns() is None


def test_the_first_request_is_due_at_once_and_only_once() -> None:
    identity = make()
    identity.need(T0)
    assert identity.is_due(T0)
    identity.on_sent()
    identity.need(T0)
    assert not identity.is_due(T0 + 10**12)
    assert identity.next_request_ns() is None


def test_an_answer_gives_id_and_epoch() -> None:
    identity = known(3)
    assert (identity.producer_id, identity.epoch, identity.state) == (7, 3, IdentityState.KNOWN)


def test_failures_back_off_and_success_starts_anew() -> None:
    identity = make()
    identity.need(T0)
    for delay_ms in (100, 200, 300):
        identity.on_sent()
        assert identity.on_failure(T0, LOST) is Verdict.RETRY
        assert identity.next_request_ns() == T0 + delay_ms * MS
        assert not identity.is_due(T0 + delay_ms * MS - 1)
        assert identity.is_due(T0 + delay_ms * MS)
    identity.on_sent()
    identity.on_response(InitProducerIdResponse(0, 7, 0), T0)
    identity.need(T0)
    identity.on_sent()
    assert identity.on_failure(T0, LOST) is Verdict.RETRY
    assert identity.next_request_ns() == T0 + 100 * MS


@pytest.mark.parametrize("code", [7, 14, 15, 16, 51])
def test_retriable_answers_are_asked_again(code: int) -> None:
    identity = make()
    identity.need(T0)
    identity.on_sent()
    assert identity.on_response(InitProducerIdResponse(code), T0) is Verdict.RETRY
    assert identity.next_request_ns() == T0 + 100 * MS


def test_a_refusal_can_be_asked_again_but_not_in_a_tight_loop() -> None:
    identity = make()
    identity.need(T0)
    identity.on_sent()
    assert identity.on_response(InitProducerIdResponse(31), T0) is Verdict.REFUSED
    assert isinstance(identity.error, ClusterAuthorizationFailedError)
    assert identity.next_request_ns() is None
    identity.need(T0 + 1)
    assert identity.next_request_ns() == T0 + 100 * MS
    identity.on_sent()
    assert identity.on_response(InitProducerIdResponse(0, 8, 0), T0) is Verdict.KNOWN


def test_a_refused_one_is_asked_for_again_while_partitions_wait_for_it() -> None:
    """They cannot ask: they send nothing until they may start anew."""
    identity = known(32767)
    identity.add_gap("a", 0)
    assert not identity.bump(T0)
    identity.on_sent()
    assert identity.on_response(InitProducerIdResponse(31), T0) is Verdict.REFUSED
    assert identity.next_request_ns() == T0 + 100 * MS
    identity.on_sent()
    assert identity.on_response(InitProducerIdResponse(0, 9, 0), T0) is Verdict.KNOWN
    assert identity.take_gaps() == [("a", 0)]


def test_other_answers_are_final() -> None:
    identity = make()
    identity.need(T0)
    identity.on_sent()
    assert identity.on_response(InitProducerIdResponse(42), T0) is Verdict.FATAL
    assert isinstance(identity.error, InvalidRequestError)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-1, "InitProducerId: UNKNOWN_SERVER_ERROR: The broker failed in a way it has no number for; its log"),
        (31, "InitProducerId: CLUSTER_AUTHORIZATION_FAILED: No permission"),
        (999, "InitProducerId: error 999"),
    ],
)
def test_refusals_name_the_request_and_say_nothing_of_records(code: int, said: str) -> None:
    identity = make()
    identity.on_response(InitProducerIdResponse(code), T0)
    assert identity.error is not None
    assert identity.error.args[0].startswith(said)
    assert "record" not in identity.error.args[0]


def test_a_broker_that_is_too_old() -> None:
    identity = make()
    identity.need(T0)
    assert identity.on_unsupported("b:9092: InitProducerId: not offered") is Verdict.UNSUPPORTED
    assert isinstance(identity.error, UnsupportedVersionError)
    assert "enable_idempotence=False" in str(identity.error)


def test_one_bump_for_all_gaps() -> None:
    identity = known()
    assert not identity.bump(T0)
    for topic, partition in (("a", 1), ("b", 0), ("a", 1)):
        identity.add_gap(topic, partition)
    assert identity.bump(T0)
    assert (identity.producer_id, identity.epoch) == (7, 1)
    assert identity.take_gaps() == [("a", 1), ("b", 0)]
    assert not identity.bump(T0)
    assert identity.epoch == 1


def test_the_last_epoch_is_followed_by_a_new_id() -> None:
    identity = known(32766)
    identity.add_gap("a", 0)
    assert identity.bump(T0)
    assert identity.epoch == 32767
    identity.take_gaps()
    identity.add_gap("a", 0)
    assert not identity.bump(T0)
    assert identity.is_due(T0)
    identity.on_sent()
    identity.add_gap("a", 1)
    assert not identity.bump(T0)
    assert identity.on_response(InitProducerIdResponse(0, 9, 0), T0) is Verdict.KNOWN
    assert (identity.producer_id, identity.epoch) == (9, 0)
    assert identity.take_gaps() == [("a", 0), ("a", 1)]
