# SPDX-License-Identifier: Apache-2.0
"""Sequence numbers and epochs, by hand-made batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests.testing.wire import Batch, Wire, outcomes_v8, plain_batch, produce_v8

OUT_OF_ORDER, STALE_EPOCH, UNKNOWN_PRODUCER, NOT_LEADER = 45, 47, 59, 6
MAX32 = 0x7FFFFFFF


def batch(producer_id: int, sequence: int, count: int = 1, epoch: int = 0) -> Batch:
    return plain_batch(count, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)


@pytest.fixture
def producer_id(wire: Wire) -> int:
    return wire.init_producer_id()


def test_ids_are_never_given_twice(wire: Wire) -> None:
    assert len({wire.init_producer_id() for _ in range(20)}) == 20


def test_in_order(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    for sequence in (0, 3, 6):
        assert wire.produce(batch(producer_id, sequence, 3)).error == 0
    assert wire.produce(batch(producer_id, 0, 3), partition=1).error == 0
    found = broker.records("t", 0)
    assert [r.sequence for r in found] == list(range(9))
    assert {(r.producer_id, r.producer_epoch) for r in found} == {(producer_id, 0)}
    assert broker.violations == []


def test_a_gap(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    wire.produce(batch(producer_id, 0, 3))
    assert wire.produce(batch(producer_id, 4)).error == OUT_OF_ORDER
    (violation,) = broker.violations
    assert f"producer {producer_id} epoch 0: sequence 4, expected 3" in violation
    assert wire.produce(batch(producer_id, 3)).error == 0


def test_a_duplicate_is_a_success_with_its_first_offset(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    wire.produce(plain_batch(10))
    for sequence in range(0, 14, 2):
        wire.produce(batch(producer_id, sequence, 2))
    for sequence in (12, 10, 8, 6, 4):
        outcome = wire.produce(batch(producer_id, sequence, 2))
        assert (outcome.error, outcome.offset) == (0, 10 + sequence)
    assert broker.record_count("t", 0) == 24
    assert broker.violations == []
    # Only five are remembered, and a part of one is no duplicate.
    assert wire.produce(batch(producer_id, 2, 2)).error == OUT_OF_ORDER
    assert wire.produce(batch(producer_id, 12, 1)).error == OUT_OF_ORDER
    assert len(broker.violations) == 2


def test_epochs(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    wire.produce(batch(producer_id, 0, 5))
    assert wire.produce(batch(producer_id, 5, 1, epoch=1)).error == OUT_OF_ORDER
    assert wire.produce(batch(producer_id, 0, 1, epoch=1)).error == 0
    assert wire.produce(batch(producer_id, 1, 1, epoch=1)).error == 0
    assert wire.produce(batch(producer_id, 5, 1, epoch=0)).error == STALE_EPOCH
    assert wire.produce(batch(producer_id, 0, 5, epoch=0)).error == STALE_EPOCH
    assert ["expected 0" in text or "epoch 1 was seen" in text for text in broker.violations] == [True] * 3


def test_a_stale_epoch_on_an_older_connection_is_nobodys_fault(
    broker: EmbeddedBroker, connect: Callable[[], Wire], producer_id: int
) -> None:
    late, wire = connect(), connect()
    wire.produce(batch(producer_id, 0, 1, epoch=1))
    assert late.produce(batch(producer_id, 0, 1, epoch=0)).error == STALE_EPOCH
    assert broker.violations == []


def test_sequences_wrap(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    wire.produce(batch(producer_id, MAX32 - 4, 3))
    assert wire.produce(batch(producer_id, MAX32 - 1, 4)).error == 0
    assert wire.produce(batch(producer_id, MAX32 - 1, 4)).offset == 3
    assert wire.produce(batch(producer_id, 2, 1)).error == 0
    assert [r.sequence for r in broker.records("t", 0)] == [*range(MAX32 - 4, MAX32 + 1), 0, 1, 2]
    # The wrap must hit 0 exactly.
    wire.produce(batch(producer_id, MAX32, 1), partition=1)
    assert wire.produce(batch(producer_id, 1, 1), partition=1).error == OUT_OF_ORDER
    assert wire.produce(batch(producer_id, 0, 1), partition=1).error == 0


def test_an_unknown_producer_may_start_anywhere_but_is_noted(
    broker: EmbeddedBroker, wire: Wire, producer_id: int
) -> None:
    assert wire.produce(batch(producer_id, 7)).error == 0
    (violation,) = broker.violations
    assert "starts at sequence 7" in violation


def test_a_producer_goes_on_where_it_was_with_a_topic_of_the_same_name(
    broker: EmbeddedBroker, wire: Wire, producer_id: int
) -> None:
    wire.produce(batch(producer_id, 0, 3))
    partitions = broker.topics["t"]
    broker.delete_topic("t")
    broker.create_topic("t", partitions + 1)
    assert wire.produce(batch(producer_id, 3)).error == 0
    assert broker.violations == []
    assert wire.produce(batch(producer_id, 7)).error == OUT_OF_ORDER
    assert wire.produce(batch(producer_id, 7), partition=partitions).error == 0  # which is new
    assert ["expected 4" in broker.violations[0], "starts at sequence 7" in broker.violations[1]] == [True, True]


def test_lost_producer_state(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    wire.produce(batch(producer_id, 0, 3))
    broker.forget_producer("t", 0)
    assert wire.produce(batch(producer_id, 3)).error == 0
    broker.forget_producer("t", 0, producer_id)
    broker.configure_topic("t", require_known_producer=True)
    outcome = wire.produce(batch(producer_id, 4))
    assert (outcome.error, broker.record_count("t", 0)) == (UNKNOWN_PRODUCER, 4)
    assert wire.produce(batch(producer_id, 0)).error == 0


def test_a_broker_that_was_started_again(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    for sequence in range(3):
        wire.produce(batch(producer_id, sequence))
    broker.forget_batches("t", 0)
    assert [wire.produce(batch(producer_id, at)).error for at in (0, 1, 2)] == [OUT_OF_ORDER, OUT_OF_ORDER, 0]
    assert broker.violations == []
    assert wire.produce(batch(producer_id, 3)).offset == 3


def test_what_follows_a_scripted_error_is_no_violation(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    wire.produce(batch(producer_id, 0, 2))
    broker.fail("Produce", NOT_LEADER)
    wire.send(b"".join(produce_v8([("t", 0, batch(producer_id, at, 2).encode())]) for at in (2, 4, 6)))
    errors = [outcomes_v8(wire.receive())[0][0].error for _ in range(3)]
    assert errors == [NOT_LEADER, OUT_OF_ORDER, OUT_OF_ORDER]
    assert [wire.produce(batch(producer_id, at, 2)).offset for at in (2, 4, 6)] == [2, 4, 6]
    assert broker.violations == []


def test_parts_of_a_batch_that_was_too_large(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    broker.configure_topic("t", max_message_bytes=200)
    assert wire.produce(batch(producer_id, 0, 20)).error == 10
    assert wire.produce(batch(producer_id, 20, 2)).error == 0  # a partition without state accepts it
    assert broker.violations == []
    broker.forget_producer("t", 0)
    for part in (0, 5, 10, 15):
        assert wire.produce(batch(producer_id, part, 5)).error == 0
    assert broker.violations == []


def test_written_but_reported_failed(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    broker.fail("Produce", 7, after_append=True)
    assert wire.produce(batch(producer_id, 0, 2)).error == 7
    assert broker.record_count("t", 0) == 2
    again = wire.produce(batch(producer_id, 0, 2))
    assert (again.error, again.offset, broker.record_count("t", 0)) == (0, 0, 2)
    assert broker.violations == []


def test_refused_batches_are_noted_as_they_came(broker: EmbeddedBroker, wire: Wire, producer_id: int) -> None:
    wire.produce(batch(producer_id, 0, 2))
    broker.fail("Produce", NOT_LEADER)
    wire.produce(batch(producer_id, 2, 3))
    seen = [header for request in broker.requests_of("Produce") for header in request.batches]
    assert [(header.base_sequence, header.record_count) for header in seen if header] == [(0, 2), (2, 3)]


def test_refused_sequences_are_told_where_the_log_starts(
    broker: EmbeddedBroker, wire: Wire, producer_id: int
) -> None:
    wire.produce(batch(producer_id, 0, 3))
    broker.delete_records("t", 0, 2)
    assert wire.produce(batch(producer_id, 7)).start_offset == 2
    broker.fail("Produce", UNKNOWN_PRODUCER)
    assert wire.produce(batch(producer_id, 3)).start_offset == -1
    broker.fail("Produce", UNKNOWN_PRODUCER, log_start=5)
    assert wire.produce(batch(producer_id, 3)).start_offset == 5
