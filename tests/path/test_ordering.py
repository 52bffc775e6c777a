# SPDX-License-Identifier: Apache-2.0
"""Sequences and epochs: order and exactly-once through refused sequences, forgotten producers and expired batches."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker

FAST = {"linger_ms": 0, "batch_size": 200, "retry_backoff_ms": 2, "retry_backoff_max_ms": 10, "reconnect_backoff_ms": 2}


def values(broker: EmbeddedBroker, partition: int = 0) -> list[bytes | None]:
    return [record.value for record in broker.records("t", partition)]


def send(producer: KafkaProducer, numbers: range, partition: int = 0) -> list[Any]:
    futures = []
    for i in numbers:
        futures.append(producer.send("t", b"%d" % i, partition=partition))
        if i % 20 == 0:
            time.sleep(0.0002)
    return futures


def numbers(stop: int) -> list[bytes]:
    return [b"%d" % i for i in range(stop)]


def get_all(futures: list[Any]) -> None:
    for future in futures:
        future.get(timeout=20)


def epochs(broker: EmbeddedBroker) -> list[int]:
    seen = [batch.header.producer_epoch for batch in broker.batches("t")]
    assert all(epoch >= 0 for epoch in seen)
    return sorted(set(seen))


def test_batches_of_a_partition_are_pipelined(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, **FAST)
    producer.send("t", b"0", partition=0).get(timeout=10)
    broker.delay("Produce", 1000)
    began = time.monotonic()
    futures = [producer.send("t", b"%d" % i + bytes(300), partition=0) for i in range(1, 6)]
    get_all(futures)
    assert time.monotonic() - began < 4.5
    assert [value and value[:1] for value in values(broker)] == numbers(6)


def test_sequences_follow_each_other(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, **FAST)
    get_all(send(producer, range(500)))
    batches = broker.batches("t", 0)
    assert len({batch.header.producer_id for batch in batches}) == 1
    expected = 0
    for batch in batches:
        assert batch.header.base_sequence == expected
        expected += batch.header.record_count


@pytest.mark.parametrize("code", [45, 59])
@pytest.mark.parametrize("times", [1, 3])
def test_refused_sequences_bump_the_epoch(broker: EmbeddedBroker, make: Make, code: int, times: int) -> None:
    producer = make(broker, **FAST)
    get_all(send(producer, range(100)))
    broker.fail("Produce", code, partition=0, times=times)
    get_all(send(producer, range(100, 1000)))
    assert values(broker) == numbers(1000)
    if (code, times) != (59, 1):  # the first time, a broker that does not say where its log begins is not believed
        assert epochs(broker)[-1] >= 1
    assert broker.request_count("InitProducerId") == 1


@pytest.mark.parametrize("code", [45, 59])
def test_with_several_batches_in_flight(broker: EmbeddedBroker, make: Make, code: int) -> None:
    producer = make(broker, **FAST)
    get_all(send(producer, range(100)))
    broker.delay("Produce", 20)
    futures = [producer.send("t", b"%d" % i + b"." * 200, partition=0) for i in range(100, 110)]
    broker.fail("Produce", code, partition=0)
    futures += [producer.send("t", b"%d" % i + b"." * 200, partition=0) for i in range(110, 140)]
    get_all(futures)
    assert [value.rstrip(b".") for value in values(broker) if value] == numbers(140)


def test_other_partitions_go_on_under_the_old_epoch_or_the_new(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, **FAST)
    futures = []
    for i in range(2000):
        futures.append(producer.send("t", b"%d" % (i // 4), partition=i % 4))
        if i in (300, 900, 1500):
            broker.fail("Produce", 45, partition=i // 300 % 4)
        if i % 50 == 0:
            time.sleep(0.001)
    get_all(futures)
    for partition in range(4):
        assert values(broker, partition) == numbers(500)


def test_a_broker_that_forgot_the_producer(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(require_known_producer=True)
    producer = make(broker, **FAST)
    futures = []
    for i in range(1000):
        futures.append(producer.send("t", b"%d" % i, partition=0))
        if i % 200 == 100:
            broker.forget_producer("t", 0)
        if i % 20 == 0:
            time.sleep(0.0005)
    get_all(futures)
    assert values(broker) == numbers(1000)


def test_a_new_broker_that_forgot_the_producer(make: Make) -> None:
    """Since 2.5 any sequence is taken from a producer the broker does not know."""
    with EmbeddedBroker(topics={"t": 1}) as broker:
        producer = make(broker, **FAST)
        get_all(send(producer, range(100)))
        broker.forget_producer("t", 0)
        get_all(send(producer, range(100, 300)))
        assert values(broker) == numbers(300)
        (noted,) = broker.violations
        assert "starts at sequence 100" in noted


def test_written_but_the_answer_was_lost(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, **FAST)
    futures = send(producer, range(100))
    for start in range(100, 1000, 100):
        broker.cut(when="after_append", api="Produce")
        futures += send(producer, range(start, start + 100))
    get_all(futures)
    assert values(broker) == numbers(1000)


def test_a_failed_batch_leaves_no_hole(broker: EmbeddedBroker, make: Make) -> None:
    """KIP-360: what comes behind a batch that failed for good is sent under the next epoch, and only what was sent."""
    producer = make(broker, **FAST)
    get_all(send(producer, range(10)))
    outcomes = []
    for start in range(10, 400, 30):
        broker.fail("Produce", 87, partition=0)
        outcomes += send(producer, range(start, start + 30))
        producer.flush(timeout=20)
    failed = {10 + i for i, future in enumerate(outcomes) if future.failed()}
    assert failed
    total = 10 + len(outcomes)
    assert values(broker) == [b"%d" % i for i in range(total) if i not in failed]


def test_expired_in_flight_then_alive_again(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, **FAST, delivery_timeout_ms=3000, request_timeout_ms=1000)
    get_all(send(producer, range(10)))
    broker.hold("Produce")
    lost = send(producer, range(10, 40))
    deadline = time.monotonic() + 20
    while not all(future.is_done for future in lost) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all(future.failed() for future in lost)
    broker.release()
    later = send(producer, range(100, 200))
    deadline = time.monotonic() + 20
    while not all(future.is_done for future in later) and time.monotonic() < deadline:
        time.sleep(0.01)
    written = values(broker)
    for i, future in enumerate(lost + later):
        number = b"%d" % (10 + i if i < 30 else 70 + i)
        assert written.count(number) == 1 if future.succeeded() else written.count(number) <= future.exception.in_doubt
    assert written == sorted(written, key=lambda value: int(value or b""))
    assert later[-1].succeeded()


def test_the_epochs_end_and_a_new_producer_id_follows(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, **FAST)
    get_all(send(producer, range(10)))
    sender = producer._lifecycle._sender
    identity = sender._identity
    identity.epoch = 32766
    broker.fail("Produce", 45, partition=0)
    get_all(send(producer, range(10, 50)))
    assert epochs(broker) == [0, 32767]
    broker.fail("Produce", 45, partition=0)
    get_all(send(producer, range(50, 100)))
    assert values(broker) == numbers(100)
    assert len({batch.header.producer_id for batch in broker.batches("t")}) == 2
    assert broker.request_count("InitProducerId") == 2


def test_without_idempotence_one_in_flight_keeps_the_order(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, **FAST, enable_idempotence=False, max_in_flight_requests_per_connection=1)
    futures = []
    for i in range(2000):
        futures.append(producer.send("t", b"%d" % (i // 4), partition=i % 4))
        if i % 200 == 100:
            broker.fail("Produce", 19, partition=i // 200 % 4, times=2)
        if i % 50 == 0:
            time.sleep(0.001)
    get_all(futures)
    for partition in range(4):
        assert values(broker, partition) == numbers(500)
    assert {batch.header.producer_id for batch in broker.batches("t")} == {-1}


def test_two_producers_do_not_disturb_each_other(broker: EmbeddedBroker, make: Make) -> None:
    producers = [make(broker, **FAST) for _ in range(2)]
    futures = []
    for i in range(500):
        futures += [producer.send("t", b"%d" % i, partition=0) for producer in producers]
    get_all(futures)
    by_id: dict[int, list[int]] = {}
    for batch in broker.batches("t", 0):
        by_id.setdefault(batch.header.producer_id, []).append(batch.header.record_count)
    assert sorted(sum(counts) for counts in by_id.values()) == [500, 500]


@pytest.mark.parametrize("in_flight", [1, 2, 5])
@pytest.mark.parametrize("lost", [False, True], ids=["refused", "lost"])
def test_random_refusals(start_broker: StartBroker, make: Make, in_flight: int, lost: bool) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    broker = start_broker(brokers=2)
    producer = make(broker, **FAST, max_in_flight_requests_per_connection=in_flight)
    # A true broker does not refuse the sequence of the last batch it has written.
    codes = [3, 5, 6, 7, 13, 19, 20, 56, 74] if lost else [3, 5, 6, 19, 45, 59, 74]
    futures = []
    for i in range(6000):
        futures.append(producer.send("t", b"%d" % (i // 4), partition=i % 4))
        if rng.random() < 0.01:
            code = rng.choice(codes)
            after = code in (7, 13, 20, 56) and rng.random() < 0.5
            broker.fail("Produce", code, partition=rng.randrange(4), after_append=after)
        if lost and rng.random() < 0.002:
            broker.cut(when=rng.choice(["before_append", "after_append", "now", 3]), api="Produce")
        if lost and rng.random() < 0.002:
            broker.forget_batches("t", rng.randrange(4))
        if rng.random() < 0.002:
            broker.move_leader("t", rng.randrange(4), rng.randint(1, 2))
        if rng.random() < 0.05:
            time.sleep(0.001)
    get_all(futures)
    for partition in range(4):
        assert values(broker, partition) == numbers(1500)
