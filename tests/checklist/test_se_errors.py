# SPDX-License-Identifier: Apache-2.0
"""The checklist's items on fatal errors, splits, and what a batch's header says."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pykafka_fast import KafkaProducer, RecordFuture, errors
from pykafka_fast.testing import EmbeddedBroker
from tests.checklist.sending import (
    DEADLINE_S,
    FAST,
    TWO_A_BATCH,
    check_idle,
    figures,
    launch,
    offsets,
    outcome,
    places,
    producer_ids,
    tries,
    values,
    wait_until,
    warm,
)
from tests.path.conftest import Make, StartBroker

FATAL = {31: errors.ClusterAuthorizationFailedError, 35: errors.UnsupportedVersionError}


def check_refused(producer: KafkaProducer, cls: type[errors.KafkaError]) -> None:
    """Every later send fails with the error that ended the producer, for ever."""
    for _ in range(2):
        for partition in (0, None):
            with pytest.raises(cls):
                producer.send("t", b"later", partition=partition)
    assert type(producer._lifecycle.fatal) is cls


def test_se04_every_metric_is_a_documented_one(broker: EmbeddedBroker, make: Make) -> None:
    """What metrics() shows, by whatever door, are names and groups known beforehand: those of kafka-python, whose
    metrics a user looks up in its documentation, and a few of our own, which are as many before as after work."""
    producer = make(broker, **FAST)
    before = producer.metrics()
    warm(producer)
    broker.fail("Produce", 19)
    warm(producer)
    after = producer.metrics()
    assert before is not None
    assert after is not None
    assert before["producer-metrics"].keys() == after["producer-metrics"].keys()
    known = {"producer-metrics", "producer-topic-metrics.t", "producer-node-metrics.node-1", "kafka-metrics-count"}
    assert after.keys() == known


def test_se37_cluster_authorization_is_fatal(broker: EmbeddedBroker, make: Make) -> None:
    """A Produce answer that denies the cluster ends an idempotent producer: this record and all later ones fail so."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.fail("Produce", 31)
    error = outcome(producer.send("t", b"x", partition=0))
    assert type(error) is FATAL[31]
    assert not error.in_doubt
    check_refused(producer, FATAL[31])
    assert places(broker) == [(0, 0), (0, 1)]


def test_se38_late_answers_after_a_fatal_error(start_broker: StartBroker, make: Make) -> None:
    """An answer of success that comes after the fatal error changes nothing: its record has failed, in doubt."""
    broker = start_broker(brokers=2)
    producer = make(broker, **FAST)
    warm(producer, 0, 1)
    broker.hold("Produce", node=2)
    flying = launch(producer, broker, b"flying", 1)
    broker.fail("Produce", 31, partition=0)
    assert type(outcome(producer.send("t", b"x", partition=0))) is FATAL[31]
    error = outcome(flying)
    assert type(error) is FATAL[31]
    assert error.in_doubt
    broker.release()
    check_idle(producer)
    check_refused(producer, FATAL[31])
    assert values(broker, 1) == [b"first", b"flying"]


def test_se39_unsupported_for_the_message_format(broker: EmbeddedBroker, make: Make) -> None:
    """A topic whose format cannot take the record fails it, and nothing else."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.fail("Produce", 43)
    assert type(outcome(producer.send("t", b"x", partition=0))) is errors.UnsupportedForMessageFormatError
    assert offsets(producer.send("t", b"y", partition=0)) == [1]


@pytest.mark.parametrize("idempotent", [True, False])
def test_se40_unsupported_version_is_fatal(broker: EmbeddedBroker, make: Make, idempotent: bool) -> None:
    """A version the broker turns down ends an idempotent producer; one without idempotence goes on."""
    producer = make(broker, **FAST, enable_idempotence=idempotent)
    warm(producer)
    broker.fail("Produce", 35)
    assert type(outcome(producer.send("t", b"x", partition=0))) is FATAL[35]
    if idempotent:
        check_refused(producer, FATAL[35])
    else:
        assert offsets(producer.send("t", b"y", partition=0)) == [1]


def test_se41_the_header_carries_id_epoch_and_sequence(broker: EmbeddedBroker, make: Make) -> None:
    """What lies in the log names the id the broker gave, its epoch, and the sequence of the first record."""
    producer = make(broker, **TWO_A_BATCH)
    warm(producer)
    futures = [producer.send("t", bytes(400), partition=0) for _ in range(2)]
    producer.flush(timeout=DEADLINE_S)
    offsets(*futures)
    headers = [batch.header for batch in broker.batches("t", 0)]
    identity = producer._lifecycle._sender._identity
    assert [(h.producer_id, h.producer_epoch, h.base_sequence, h.record_count) for h in headers] == [
        (identity.producer_id, 0, 0, 1), (identity.producer_id, 0, 1, 2)]  # fmt: skip
    assert not any(header.is_transactional for header in headers)


def test_se42_a_lost_connection_before_the_epochs_end(start_broker: StartBroker, make: Make) -> None:
    """A batch whose connection was lost under an id that is used up meanwhile is sent again, and delivered once."""
    broker = start_broker(brokers=2)
    producer = make(broker, **(FAST | {"retry_backoff_ms": 300, "retry_backoff_max_ms": 300}))
    broker.reply_bytes("InitProducerId", lambda _, answer: answer[:-3] + b"\x7f\xff\0")
    warm(producer, 0, 1)
    broker.cut(2, when="before_append", api="Produce")
    lost = producer.send("t", b"lost", partition=1)
    wait_until(lambda: broker.request_count("Produce") == 3)
    broker.fail("Produce", 45, partition=0)
    assert offsets(producer.send("t", b"x", partition=0)) == [1]
    assert broker.request_count("InitProducerId") == 2
    assert offsets(lost) == [1]
    warm(producer, 1)
    old, new = producer_ids(broker)[0], producer_ids(broker)[-1]
    assert old != new
    assert producer_ids(broker, 1)[-1] == new
    assert values(broker, 1) == [b"first", b"lost", b"first"]


def split_in_two(producer: KafkaProducer, broker: EmbeddedBroker, *codes: int) -> list[RecordFuture]:
    """A batch of two records that is found too large; then the answers to its halves."""
    for code in (10, *codes):
        broker.fail("Produce", code)
    futures = [producer.send("t", bytes(400), partition=0) for _ in range(2)]
    producer.flush(timeout=DEADLINE_S)
    return futures


@pytest.mark.parametrize("refused", [False, True], ids=["taken", "refused once"])
def test_se43_both_halves_of_a_split_keep_their_sequences(broker: EmbeddedBroker, make: Make, refused: bool) -> None:
    """A batch of two that is too large goes again as two batches with the sequences the records had, in order; a split
    uses up no retry, and the next batch's sequence is as if nothing had been."""
    producer = make(broker, **TWO_A_BATCH, retries=1)
    assert offsets(*split_in_two(producer, broker, *([19] if refused else []))) == [0, 1]
    warm(producer)
    assert tries(broker) == [(0, 0, 2)] + [(0, 0, 1)] * (1 + refused) + [(0, 1, 1), (0, 2, 1)]


@pytest.mark.parametrize("code", [None, 87, 10])
def test_se57_a_split_leaves_no_trace(broker: EmbeddedBroker, make: Make, code: int | None) -> None:
    """When both halves are through nothing counts as in flight or kept, whether they succeeded or not."""
    producer = make(broker, **TWO_A_BATCH)
    futures = split_in_two(producer, broker, *([code] if code else []))
    found = [outcome(future) for future in futures]
    assert type(found[0]) is (errors.kafka_errors[code] if code else type(None))
    assert found[1] is None
    check_idle(producer)
    assert figures(producer)["batch-split-total"] == 1
    warm(producer)
    assert len(values(broker)) == 3 - bool(code)


def test_se59_requests_for_an_id_are_spaced(broker: EmbeddedBroker, make: Make) -> None:
    """The first request for a producer id goes at once, each further one after the back-off."""
    producer = make(broker, **(FAST | {"retry_backoff_ms": 2000, "retry_backoff_max_ms": 2000}))
    broker.fail("InitProducerId", 51, times=2)
    assert offsets(producer.send("t", b"x", partition=0)) == [0]
    at = [request.time for request in broker.requests_of("InitProducerId")]
    assert at[0] - broker.requests_of("Metadata")[0].time < 2.0
    assert len(at) == 3
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(at))
