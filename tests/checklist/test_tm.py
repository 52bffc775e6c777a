# SPDX-License-Identifier: Apache-2.0
"""The checklist's items on the transaction manager, as far as they concern idempotence without transactions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pykafka_fast import errors
from pykafka_fast.testing import EmbeddedBroker
from pykafka_fast.testing.batch import next_sequence
from tests.checklist.sending import (
    DEADLINE_S,
    FAST,
    TWO_A_BATCH,
    ExpiredFirst,
    check_idle,
    launch,
    offsets,
    outcome,
    places,
    producer_ids,
    tries,
    values,
    warm,
)
from tests.path.conftest import Make, StartBroker

NOT_ENOUGH_REPLICAS, OUT_OF_ORDER, UNKNOWN_PRODUCER_ID = 19, 45, 59
INT32_MAX = 2**31 - 1


def test_tm03_send_is_allowed_in_every_state_but_the_fatal_one(broker: EmbeddedBroker, make: Make) -> None:
    """An idempotent producer takes records before it has an id, while it asks for one, and while it asks again; in the
    fatal state it takes none."""
    producer = make(broker, **FAST)
    broker.hold("InitProducerId")
    futures = [producer.send("t", b"0", partition=0)]
    broker.wait_for_requests("InitProducerId", 1, DEADLINE_S)
    futures.append(producer.send("t", b"1", partition=0))
    broker.release()
    assert offsets(*futures) == [0, 1]
    broker.fail("Produce", 90)
    assert isinstance(outcome(producer.send("t", b"2", partition=0)), errors.ProducerFencedError)
    with pytest.raises(errors.ProducerFencedError):
        producer.send("t", b"3", partition=0)


def test_tm08_sequences_begin_at_0_add_up_and_wrap(root: Path, broker: EmbeddedBroker, make: Make) -> None:
    """Numbers begin at 0 in each partition and grow by records; behind 2^31 - 1 comes 0, which only the C library's own
    test can show (its functions tm8_...), and the broker they are shown to counts the same."""
    producer = make(broker, **TWO_A_BATCH)
    futures = [producer.send("t", bytes(400), partition=partition) for _ in range(3) for partition in (0, 1)]
    producer.flush(timeout=DEADLINE_S)
    offsets(*futures)
    assert tries(broker, 0) == tries(broker, 1) == [(0, 0, 2), (0, 2, 1)]
    assert next_sequence(INT32_MAX, 100) == 99
    assert next_sequence(99, INT32_MAX) == 98
    folder = root / "tests" / "csrc"
    program = folder / "bin" / "plain" / "test_sequence"
    assert "tm8_numbers_wrap_in_flight();" in (folder / "test_sequence.c").read_text()
    subprocess.run(["make", "-s", "-C", folder, "bin/plain/test_sequence"], check=True, capture_output=True)
    shown = subprocess.run([program], check=True, capture_output=True, text=True, timeout=DEADLINE_S)
    assert " 0 failed" in shown.stdout + shown.stderr


def test_tm09_an_unknown_producer_id_renumbers_all_that_is_in_flight(broker: EmbeddedBroker, make: Make) -> None:
    """The first of five in flight is refused as of an unknown producer: all five are sent again under the next epoch,
    numbered from 0, in order."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.hold("Produce")
    broker.fail("Produce", UNKNOWN_PRODUCER_ID, times=5, log_start=1)
    futures = [launch(producer, broker, b"%d" % i) for i in range(5)]
    broker.release()
    assert offsets(*futures) == [1, 2, 3, 4, 5]
    assert places(broker) == [(0, n) for n in range(6)] + [(1, n) for n in range(5)]
    assert values(broker)[1:] == [b"%d" % i for i in range(5)]


class Bumped:
    """Partition 0 (node 1) has bumped the epoch while partition 1 (node 2) has two batches of the old one in flight."""

    def __init__(self, start_broker: StartBroker, make: Make, **faults: int) -> None:
        self.broker = start_broker(brokers=2)
        self.producer = make(self.broker, **FAST)
        warm(self.producer, 0, 1)
        self.broker.hold("Produce", node=2)
        if faults:
            self.broker.fail("Produce", faults["code"], partition=1)
        self.flying = [launch(self.producer, self.broker, b"%d" % i, 1) for i in (1, 2)]
        self.broker.fail("Produce", OUT_OF_ORDER, partition=0)
        assert offsets(self.producer.send("t", b"bump", partition=0)) == [1]


def test_tm10_other_partitions_keep_the_numbers_of_what_is_in_flight(start_broker: StartBroker, make: Make) -> None:
    """Only the partition that caused the bump is renumbered; another one's batches in flight stay as they are."""
    bumped = Bumped(start_broker, make, code=NOT_ENOUGH_REPLICAS)
    bumped.broker.release()
    assert offsets(*bumped.flying) == [1, 2]
    assert places(bumped.broker, 0)[-1] == (1, 0)
    assert places(bumped.broker, 1) == [(0, 0), (0, 1), (0, 2), (0, 1), (0, 2)]


def test_tm11_a_partition_begins_at_0_when_its_old_batches_are_through(start_broker: StartBroker, make: Make) -> None:
    """When the last batch of the old epoch is settled the partition begins anew, with nothing taken for acknowledged:
    so a refusal of that first batch is no retry under the old state but another bump."""
    bumped = Bumped(start_broker, make)
    bumped.broker.release()
    assert offsets(*bumped.flying) == [1, 2]
    bumped.broker.fail("Produce", OUT_OF_ORDER, partition=1)
    assert offsets(bumped.producer.send("t", b"3", partition=1)) == [3]
    assert places(bumped.broker, 1) == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)]


def test_tm12_an_expired_request_is_not_taken_for_a_new_batchs(start_broker: StartBroker, make: Make) -> None:
    """A batch with number 1 expires in its request; after the bump another one has number 1 too, and the late answer of
    the first settles only the first."""
    broker = start_broker(topics={"t": 1})
    producer = make(broker, **FAST, delivery_timeout_ms=1200, request_timeout_ms=1200)
    broker.throttle("Produce", 600, times=1)
    warm(producer)
    broker.hold("Produce")
    broker.fail("Produce", NOT_ENOUGH_REPLICAS)
    expired = launch(producer, broker, b"expired")
    assert isinstance(outcome(expired), errors.KafkaTimeoutError)
    broker.release()
    check_idle(producer)
    later = [producer.send("t", b"later", partition=0).get(timeout=DEADLINE_S).offset for _ in range(2)]
    assert later == [1, 2]
    assert places(broker) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert isinstance(outcome(expired), errors.KafkaTimeoutError)
    assert values(broker) == [b"first", b"later", b"later"]


def test_tm15_a_lost_connection_repeats_the_request_for_an_id(broker: EmbeddedBroker, make: Make) -> None:
    """A connection lost before or after the broker acted on InitProducerId: it is asked again, and the id it gives last
    is the one that is used."""
    producer = make(broker, **FAST)
    broker.cut(when="before_append", api="InitProducerId")
    broker.cut(when="after_append", api="InitProducerId")
    assert offsets(producer.send("t", b"x", partition=0)) == [0]
    assert broker.request_count("InitProducerId") == 3
    assert producer_ids(broker) == [producer._lifecycle._sender._identity.producer_id]


@pytest.mark.parametrize("how", ["hidden", "refused"])
def test_tm17_brokers_without_producer_ids_are_fatal_if_asked_for(
    broker: EmbeddedBroker, make: Make, how: str
) -> None:
    """A broker that does not know InitProducerId, or not the version, ends a producer that was told to be idempotent;
    every later call says so."""
    producer = make(broker, **FAST, enable_idempotence=True)
    if how == "hidden":
        broker.hide_api("InitProducerId")
    else:
        broker.fail("InitProducerId", 35)
    assert isinstance(outcome(producer.send("t", b"x", partition=0)), errors.UnsupportedVersionError)
    for _ in range(2):
        with pytest.raises(errors.UnsupportedVersionError):
            producer.send("t", b"y", partition=0)


@pytest.mark.parametrize("code", [7, 14, 15, 16, 51])
def test_tm26_retriable_errors_repeat_the_request_for_an_id(broker: EmbeddedBroker, make: Make, code: int) -> None:
    """What may pass (timed out, loading, not available, not the coordinator, concurrent) repeats InitProducerId."""
    producer = make(broker, **FAST)
    broker.fail("InitProducerId", code, times=2)
    assert offsets(producer.send("t", b"x", partition=0)) == [0]
    assert broker.request_count("InitProducerId") == 3


@pytest.mark.parametrize("code", [47, 90])
def test_tm27_fenced_when_asking_for_an_id(broker: EmbeddedBroker, make: Make, code: int) -> None:
    """An answer to InitProducerId that the producer is fenced, or its epoch not valid, ends it with that error for this
    record and all later calls (under its own name; Java calls both of them fenced)."""
    producer = make(broker, **FAST)
    broker.fail("InitProducerId", code)
    cls = errors.kafka_errors[code]
    assert type(outcome(producer.send("t", b"x", partition=0))) is cls
    for _ in range(2):
        with pytest.raises(cls):
            producer.send("t", b"y", partition=0)
    assert broker.request_count("InitProducerId") == 1


@pytest.mark.parametrize("written", [True, False], ids=["last succeeds", "last fails"])
def test_tm36_no_bump_while_anything_is_in_flight(start_broker: StartBroker, make: Make, written: bool) -> None:
    """Of two in flight the first expires: while the second is not settled nothing is bumped, and nothing new is sent.
    Its success shows that nothing is missing; when it is refused the partition begins a new epoch."""
    two = ExpiredFirst(start_broker(brokers=2, topics={"t": 1}), make, 7 if written else NOT_ENOUGH_REPLICAS, written)
    third = two.producer.send("t", b"3", partition=0)
    assert two.epoch == 0
    two.broker.release()
    assert outcome(two.second) is None
    assert outcome(third) is None
    assert two.epoch == (0 if written else 1)
    assert places(two.broker)[3:] == ([(0, 3)] if written else [(1, 0), (1, 1)])


def test_tm37_no_bump_in_the_fatal_state(start_broker: StartBroker, make: Make) -> None:
    """Batches that fail because of a fatal error leave the epoch alone, and nothing more is sent."""
    broker = start_broker(brokers=2)
    producer = make(broker, **FAST)
    warm(producer, 0, 1)
    broker.hold("Produce", node=2)
    broker.fail("Produce", OUT_OF_ORDER, partition=1)
    flying = launch(producer, broker, b"flying", 1)
    broker.fail("Produce", 90, partition=0)
    assert isinstance(outcome(producer.send("t", b"x", partition=0)), errors.ProducerFencedError)
    assert isinstance(outcome(flying), errors.ProducerFencedError)
    broker.release()
    producer.close(timeout=DEADLINE_S)
    assert producer._lifecycle._sender._identity.epoch == 0
    assert (places(broker, 0), places(broker, 1)) == ([(0, 0), (0, 1)], [(0, 0), (0, 1)])


def test_tm40_a_healthy_partition_goes_on_under_the_old_epoch(start_broker: StartBroker, make: Make) -> None:
    """During a bump a partition that only has to repeat a batch does so under the old epoch, as often as it takes; what
    is new there waits, and begins the new epoch."""
    bumped = Bumped(start_broker, make, code=NOT_ENOUGH_REPLICAS)
    waiting = bumped.producer.send("t", b"3", partition=1)
    bumped.broker.fail("Produce", NOT_ENOUGH_REPLICAS, partition=1, times=3)
    bumped.broker.release()
    assert offsets(*bumped.flying, waiting) == [1, 2, 3]
    assert places(bumped.broker, 1) == [(0, 0), (0, 1), (0, 2)] + [(0, 1)] * 4 + [(0, 2), (1, 0)]
    assert values(bumped.broker, 1) == [b"first", b"1", b"2", b"3"]
