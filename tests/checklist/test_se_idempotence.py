# SPDX-License-Identifier: Apache-2.0
"""The checklist's items on sequences, epochs and producer ids, as a broker sees them.

Where this producer deliberately does otherwise than the checklist's words, the test's docstring says so. One holds for
all of them: until the first batch of an epoch is acknowledged only one is under way, so partitions are warmed up first
and the sequences of interest begin at 1.
"""

from __future__ import annotations

import struct
import threading
import time
from itertools import pairwise

import pytest

from pykafka_fast import errors
from pykafka_fast.testing import EmbeddedBroker
from tests.checklist.sending import (
    DEADLINE_S,
    FAST,
    TWO_A_BATCH,
    full_tries,
    launch,
    offsets,
    outcome,
    places,
    producer_ids,
    times,
    tries,
    use_leader,
    values,
    wait_until,
    warm,
)
from tests.path.conftest import Make, StartBroker

NOT_ENOUGH_REPLICAS, OUT_OF_ORDER, UNKNOWN_PRODUCER_ID = 19, 45, 59
LAST_EPOCH = 32767


def hand_out_last_epoch(broker: EmbeddedBroker) -> None:
    """The next producer id comes with the last epoch there is."""

    def change(_correlation_id: int, answer: bytes) -> bytes:
        assert answer.endswith(b"\0\0\0")  # epoch 0 and no tagged fields
        return answer[:-3] + struct.pack(">h", LAST_EPOCH) + b"\0"

    broker.reply_bytes("InitProducerId", change)


def test_se10_the_first_id_has_epoch_0(broker: EmbeddedBroker, make: Make) -> None:
    """A producer asks for an id once, before its first batch, and begins with epoch 0 and sequence 0."""
    producer = make(broker, **FAST)
    warm(producer, 0, 1)
    assert broker.request_count("InitProducerId") == 1
    (asked,) = broker.requests_of("InitProducerId")
    assert asked.time < times(broker)[0]
    assert places(broker, 0) == places(broker, 1) == [(0, 0)]
    assert producer_ids(broker, 0) == producer_ids(broker, 1)
    assert producer_ids(broker)[0] >= 0


def test_se11_the_id_waits_for_metadata_and_needs_no_place_in_flight(broker: EmbeddedBroker, make: Make) -> None:
    """With one request in flight the id comes after metadata, and before the record."""
    broker.delay("Metadata", 50)
    producer = make(broker, **FAST, max_in_flight_requests_per_connection=1)
    assert offsets(producer.send("t", b"x", partition=0)) == [0]
    order = [request.api for request in broker.requests if request.api != "ApiVersions"]
    assert order == ["Metadata", "InitProducerId", "Produce"]


def test_se12_an_id_is_asked_for_until_a_broker_gives_it(broker: EmbeddedBroker, make: Make) -> None:
    """A broker that hangs up on the request is asked again until it gives an id; no coordinator is waited for."""
    producer = make(broker, **FAST)
    broker.cut(when="before_append", api="InitProducerId", times=3)
    future = producer.send("t", b"x", partition=0)
    assert offsets(future) == [0]
    assert broker.request_count("InitProducerId") == 4


def test_se13_an_id_refused_fails_what_waits_and_is_asked_for_again(broker: EmbeddedBroker, make: Make) -> None:
    """Without the right to an id what is pending fails; a later record asks again, and may succeed."""
    producer = make(broker, **FAST)
    broker.fail("InitProducerId", 31)
    broker.hold("InitProducerId")
    futures = [producer.send("t", b"x", partition=i) for i in range(4)]
    broker.wait_for_requests("InitProducerId", 1, DEADLINE_S)
    broker.release()
    assert {type(outcome(future)) for future in futures} == {errors.ClusterAuthorizationFailedError}
    assert not any(error.in_doubt for future in futures if (error := outcome(future)))
    told = outcome(producer.send("t", b"y", partition=0))  # in that very moment it may still share their fate
    if told is not None:
        assert type(told) is errors.ClusterAuthorizationFailedError
        assert offsets(producer.send("t", b"y", partition=0)) == [0]
    assert places(broker) == [(0, 0)]
    assert broker.request_count("InitProducerId") == 2


def test_se15_requests_in_flight_have_consecutive_sequences(broker: EmbeddedBroker, make: Make) -> None:
    """Several batches of a partition may be in flight, numbered one after the other; their answers move on what is
    taken for acknowledged, so that nothing is thought missing."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.hold("Produce")
    futures = [launch(producer, broker, b"%d" % i) for i in range(1, 5)]
    assert places(broker) == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]
    assert not any(future.is_done for future in futures)
    broker.release()
    assert offsets(*futures) == [1, 2, 3, 4]
    warm(producer)
    assert places(broker)[-1] == (0, 5)


def test_se16_first_of_three_fails_retriably(broker: EmbeddedBroker, make: Make) -> None:
    """When the first of three in flight must be sent again, the others, refused for their sequence, are too: one at a
    time, in order, with the sequences they had; and a fourth waits for them."""
    producer = make(broker, **FAST, max_in_flight_requests_per_connection=3)
    warm(producer)
    broker.hold("Produce")
    broker.fail("Produce", NOT_ENOUGH_REPLICAS)
    futures = [launch(producer, broker, b"%d" % i) for i in range(1, 4)]
    futures.append(producer.send("t", b"4", partition=0))
    broker.delay("Produce", 30)
    broker.release()
    assert offsets(*futures) == [1, 2, 3, 4]
    assert places(broker) == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 1), (0, 2), (0, 3), (0, 4)]
    assert all(later - earlier >= 0.029 for earlier, later in pairwise(times(broker)[4:7]))
    assert values(broker) == [b"first", b"1", b"2", b"3", b"4"]


def test_se17_first_of_three_fails_for_good(broker: EmbeddedBroker, make: Make) -> None:
    """When the first of three in flight is too large for ever, the others get new sequences and succeed (under the
    next epoch, as Java's idempotent producer does since KIP-360)."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.hold("Produce")
    broker.fail("Produce", 10)
    futures = [launch(producer, broker, b"%d" % i) for i in range(1, 4)]
    broker.release()
    assert type(outcome(futures[0])) is errors.MessageSizeTooLargeError
    assert offsets(*futures[1:]) == [1, 2]
    assert places(broker)[-2:] == [(1, 0), (1, 1)]
    assert {epoch for epoch, sequence in places(broker)} == {0, 1}
    assert values(broker) == [b"first", b"2", b"3"]


def test_se18_sequences_count_records(broker: EmbeddedBroker, make: Make) -> None:
    """The next batch's sequence is the last one's plus its number of records."""
    producer = make(broker, **TWO_A_BATCH)
    futures = [producer.send("t", bytes(400), partition=0) for _ in range(7)]
    producer.flush(timeout=DEADLINE_S)
    assert offsets(*futures) == list(range(7))
    assert tries(broker) == [(0, 0, 2), (0, 2, 2), (0, 4, 2), (0, 6, 1)]


def test_se19_out_of_order_right_behind_the_last_acknowledged(broker: EmbeddedBroker, make: Make) -> None:
    """A sequence that directly follows the last acknowledged one and is refused: the epoch goes up, and the batch is
    sent again as number 0."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.fail("Produce", OUT_OF_ORDER)
    assert offsets(producer.send("t", b"x", partition=0)) == [1]
    assert places(broker) == [(0, 0), (0, 1), (1, 0)]
    assert len(set(producer_ids(broker))) == 1
    assert broker.request_count("InitProducerId") == 1


def test_se20_a_quiet_partition_adopts_the_epoch_with_its_next_batch(broker: EmbeddedBroker, make: Make) -> None:
    """A partition with nothing under way takes over a bumped epoch, and number 0, when it sends again."""
    producer = make(broker, **FAST)
    warm(producer, 0, 1)
    broker.fail("Produce", OUT_OF_ORDER, partition=0)
    offsets(producer.send("t", b"x", partition=0))
    assert places(broker, 1) == [(0, 0)]
    warm(producer, 1)
    assert places(broker, 1) == [(0, 0), (1, 0)]


class TwoNodes:
    """Partition 0 is led by node 1; partition 1, led by node 2, has one batch in flight that is not answered."""

    def __init__(self, start_broker: StartBroker, make: Make, **options: object) -> None:
        self.broker = start_broker(brokers=2)
        if options.pop("last_epoch", False):
            hand_out_last_epoch(self.broker)
        self.producer = make(self.broker, **FAST, **options)
        warm(self.producer, 0, 1)
        self.broker.hold("Produce", node=2)

    def fly(self, code: int | None = None) -> None:
        """Send that batch."""
        if code is not None:
            self.broker.fail("Produce", code, partition=1)
        self.flying = launch(self.producer, self.broker, b"flying", 1)

    def bump(self) -> None:
        """Partition 0 needs a new epoch, and gets it."""
        self.broker.fail("Produce", OUT_OF_ORDER, partition=0)
        self.producer.send("t", b"bump", partition=0).get(timeout=DEADLINE_S)


@pytest.mark.parametrize("code", [None, NOT_ENOUGH_REPLICAS], ids=["answered", "tried again"])
def test_se21_old_batches_are_settled_before_the_epoch_is_adopted(
    start_broker: StartBroker, make: Make, code: int | None
) -> None:
    """A partition with a batch of the old epoch under way has it settled first; what comes behind waits, and begins
    the new epoch."""
    two = TwoNodes(start_broker, make)
    two.fly(code)
    two.bump()
    waiting = two.producer.send("t", b"waiting", partition=1)
    for _ in range(5):
        warm(two.producer)
    assert places(two.broker, 1) == [(0, 0), (0, 1)]
    released = time.monotonic()
    two.broker.release()
    assert offsets(two.flying, waiting) == [1, 2]
    again = [(0, 1)] if code else []
    assert places(two.broker, 1) == [(0, 0), (0, 1), *again, (1, 0)]
    assert times(two.broker, 1)[-1] >= released


def test_se21_an_old_batch_that_fails_lets_the_epoch_be_adopted(start_broker: StartBroker, make: Make) -> None:
    """The same when the old batch fails for good: what was behind it begins a new epoch."""
    two = TwoNodes(start_broker, make)
    two.fly(87)
    two.bump()
    waiting = two.producer.send("t", b"waiting", partition=1)
    two.broker.release()
    assert type(outcome(two.flying)) is errors.InvalidRecordError
    assert offsets(waiting) == [1]
    epoch, sequence = places(two.broker, 1)[-1]
    assert epoch >= 1
    assert sequence == 0


def test_se22_answers_in_another_order(start_broker: StartBroker, make: Make) -> None:
    """Two batches in flight to two brokers, the later one is refused first: both are sent again in order."""
    broker = start_broker(brokers=2, topics={"t": 1})
    producer = make(broker, **FAST)
    warm(producer)
    old, _ = broker.leader("t", 0)
    broker.hold("Produce", node=old)
    broker.fail("Produce", 6, node=old)
    first = launch(producer, broker, b"1")
    broker.move_leader("t", 0, 3 - old, hint=False)
    use_leader(producer, 3 - old)
    second = launch(producer, broker, b"2")
    wait_until(lambda: producer._lifecycle._wire.counters()["batches_retried"] == 1)
    assert len(tries(broker)) == 3
    broker.release()
    assert offsets(first, second) == [1, 2]
    assert places(broker) == [(0, 0), (0, 1), (0, 2), (0, 1), (0, 2)]
    assert [node for _, node, _, _ in full_tries(broker)] == [old, old, 3 - old, 3 - old, 3 - old]
    assert values(broker) == [b"first", b"1", b"2"]


def test_se23_second_succeeds_before_the_first_is_tried_again(broker: EmbeddedBroker, make: Make) -> None:
    """The second is acknowledged while the first, written but refused, waits for its retry: that is taken for what it
    is, and the numbers go on behind the second."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.hold("Produce")
    broker.fail("Produce", 7, after_append=True)
    futures = [launch(producer, broker, b"1"), launch(producer, broker, b"2")]
    broker.release()
    assert offsets(*futures) == [1, 2]
    assert offsets(producer.send("t", b"3", partition=0)) == [3]
    assert places(broker) == [(0, 0), (0, 1), (0, 2), (0, 1), (0, 3)]
    assert values(broker) == [b"first", b"1", b"2", b"3"]


def test_se29_used_up_epochs_ask_for_a_new_id(start_broker: StartBroker, make: Make) -> None:
    """Behind epoch 32767 there is a new producer id with epoch 0; other partitions' batches under the old id still
    complete, and those partitions take the new id over afterwards."""
    two = TwoNodes(start_broker, make, last_epoch=True)
    two.fly()
    two.bump()
    waiting = two.producer.send("t", b"waiting", partition=1)
    two.broker.release()
    assert offsets(two.flying, waiting) == [1, 2]
    assert places(two.broker, 0) == [(LAST_EPOCH, 0), (LAST_EPOCH, 1), (0, 0)]
    assert places(two.broker, 1) == [(LAST_EPOCH, 0), (LAST_EPOCH, 1), (0, 0)]
    old, new = producer_ids(two.broker)[0], producer_ids(two.broker)[-1]
    assert producer_ids(two.broker, 0) == producer_ids(two.broker, 1) == [old, old, new]
    assert old != new
    assert two.broker.request_count("InitProducerId") == 2


@pytest.mark.parametrize("forced", [False, True], ids=["graceful", "forced"])
def test_se30_close_while_a_new_id_is_asked_for(broker: EmbeddedBroker, make: Make, forced: bool) -> None:
    """close() while the producer waits for its second id: with time everything is delivered, without it fails."""
    hand_out_last_epoch(broker)
    producer = make(broker, **FAST)
    warm(producer)
    broker.hold("InitProducerId")
    broker.fail("Produce", OUT_OF_ORDER)
    future = producer.send("t", b"x", partition=0)
    broker.wait_for_requests("InitProducerId", 2, DEADLINE_S)
    if forced:
        producer.close(timeout=0)
        assert type(outcome(future)) is errors.ClosedForcefullyError
        return
    closing = threading.Thread(target=producer.close, kwargs={"timeout": DEADLINE_S})
    closing.start()
    wait_until(lambda: producer._closed)
    broker.release()
    closing.join(DEADLINE_S)
    assert not closing.is_alive()
    assert offsets(future) == [1]


def test_se31_a_batch_of_the_old_epoch_may_succeed_later(start_broker: StartBroker, make: Make) -> None:
    """A batch sent before a bump is sent again under the epoch it had, and is taken."""
    two = TwoNodes(start_broker, make)
    two.fly(NOT_ENOUGH_REPLICAS)
    two.bump()
    two.broker.release()
    assert offsets(two.flying) == [1]
    assert places(two.broker, 1) == [(0, 0), (0, 1), (0, 1)]


def test_se32_a_duplicate_is_a_success_without_an_offset(broker: EmbeddedBroker, make: Make) -> None:
    """Told that a sequence was there already: the record is written, nobody says where, and the numbers go on."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.fail("Produce", 46, after_append=True)
    assert offsets(producer.send("t", b"x", partition=0)) == [-1]
    warm(producer)
    assert places(broker) == [(0, 0), (0, 1), (0, 2)]


def test_se33_a_producer_forgotten_with_its_records(start_broker: StartBroker, make: Make) -> None:
    """The producer is unknown and the log begins behind its last acknowledged record: what it wrote was deleted, so
    the epoch goes up and the batch is sent again as number 0."""
    broker = start_broker(require_known_producer=True)
    producer = make(broker, **FAST)
    warm(producer)
    broker.delete_records("t", 0, 1)
    broker.forget_producer("t", 0)
    assert offsets(producer.send("t", b"x", partition=0)) == [1]
    assert places(broker) == [(0, 0), (0, 1), (1, 0)]


def test_se34_an_unknown_producer_without_a_log_start(broker: EmbeddedBroker, make: Make) -> None:
    """The producer is unknown and the broker does not say where its log begins: the batch is sent again as it is (once;
    Java goes on so for ever, here a second such answer bumps the epoch)."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.fail("Produce", UNKNOWN_PRODUCER_ID, log_start=-1)
    assert offsets(producer.send("t", b"x", partition=0)) == [1]
    assert places(broker) == [(0, 0), (0, 1), (0, 1)]
    broker.fail("Produce", UNKNOWN_PRODUCER_ID, log_start=-1, times=2)
    assert offsets(producer.send("t", b"y", partition=0)) == [2]
    assert places(broker)[3:] == [(0, 2), (0, 2), (1, 0)]


def test_se35_a_later_batch_refused_likewise_gets_its_new_number(broker: EmbeddedBroker, make: Make) -> None:
    """Two batches in flight are refused as of an unknown producer: the first causes a new epoch, and the second is sent
    again behind it with the number it has there."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.hold("Produce")
    broker.fail("Produce", UNKNOWN_PRODUCER_ID, times=2, log_start=1)
    futures = [launch(producer, broker, b"1"), launch(producer, broker, b"2")]
    broker.release()
    assert offsets(*futures) == [1, 2]
    assert places(broker) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_se36_an_unknown_producer_whose_records_are_there(broker: EmbeddedBroker, make: Make) -> None:
    """The producer is unknown though nothing was deleted: a new epoch, and no error."""
    producer = make(broker, **FAST)
    warm(producer)
    broker.fail("Produce", UNKNOWN_PRODUCER_ID, log_start=0)
    assert offsets(producer.send("t", b"x", partition=0)) == [1]
    assert places(broker) == [(0, 0), (0, 1), (1, 0)]
