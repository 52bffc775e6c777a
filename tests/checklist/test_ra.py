# SPDX-License-Identifier: Apache-2.0
"""The record accumulator, first part: when batches are full, when they leave, and which together."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from itertools import chain, pairwise
from typing import Any

import pytest

from pykafka_fast._core import record
from pykafka_fast.errors import UnsupportedVersionError
from pykafka_fast.testing import EmbeddedBroker
from tests.checklist.conftest import Make, StartBroker
from tests.core.stage import Stage

WAIT_S = 20.0
HEADER = 61
FOR_EVER = 60_000  # linger_ms of what must not leave by itself


def fitting(limit: int, value: bytes) -> int:
    """How many records of one millisecond fit into a batch of that size."""
    count, size = 0, HEADER
    while (size := size + record.size(None, value, (), 0, count)) <= limit:
        count += 1
    return count


def partitions_of(broker: EmbeddedBroker) -> list[list[int | None]]:
    """The partitions in each Produce request."""
    return [[partition for _, partition in request.partitions] for request in broker.requests_of("Produce")]


def counts(broker: EmbeddedBroker, partition: int) -> list[int]:
    """Records in each batch of the partition."""
    return [batch.header.record_count for batch in broker.batches("t", partition)]


def test_ra01_one_batch_of_each_partition_in_turn(broker: EmbeddedBroker, make: Make) -> None:
    """A request has at most one batch of each partition, and when its size is limited, all take their turns."""
    producer = make(broker, batch_size=4000, batch_max_size=4000, max_request_size=9000, linger_ms=FOR_EVER,
                    max_in_flight_requests_per_connection=1, enable_idempotence=False)  # fmt: skip
    producer.partitions_for("t")
    broker.hold("Produce")
    for n in range(80):
        producer.send("t", bytes(3500), partition=n % 4)
    broker.release()
    producer.flush(WAIT_S)
    requests = partitions_of(broker)
    assert sorted(chain(*requests)) == sorted(list(range(4)) * 20)
    assert all(len(it) == len(set(it)) <= 2 for it in requests)
    served: Counter[int | None] = Counter()
    for partition in chain(*requests):
        served[partition] += 1
        assert max(served.values()) - min(served[it] for it in range(4)) <= 2, requests


def test_ra02_full_when_no_more_fits(broker: EmbeddedBroker, make: Make) -> None:
    """A batch takes exactly the records that fit; the next one begins another, and then the first leaves."""
    limit, value = 4096, bytes(100)
    count = fitting(limit, value)
    producer = make(broker, batch_size=limit, batch_max_size=limit, linger_ms=FOR_EVER)
    producer.partitions_for("t")
    for _ in range(count):
        producer.send("t", value, partition=0, timestamp_ms=1_000_000)
    assert producer._lifecycle._wire.counters()["batches"] == 0
    producer.send("t", value, partition=0, timestamp_ms=1_000_000)
    broker.wait(lambda it: it.record_count("t") > 0, WAIT_S)
    assert counts(broker, 0) == [count]
    producer.flush(WAIT_S)
    assert counts(broker, 0) == [count, 1]


@pytest.mark.parametrize("release", ["0.10.2", "2.8", None])
def test_ra03_a_record_larger_than_a_batch(release: str | None, broker: EmbeddedBroker, make: Make) -> None:
    """A record of twice the size of a batch gets a batch of its own, which leaves at once; in old formats too."""
    if release:
        broker.play_release(release)
    producer = make(broker, batch_size=4096, batch_max_size=4096, linger_ms=FOR_EVER)
    futures = [producer.send("t", bytes(size), partition=0) for size in (10, 2 * 4096)]
    assert futures[1].get(WAIT_S).offset == 1
    assert counts(broker, 0) == [1, 1]
    producer.send("t", bytes(10), partition=0)
    producer.flush(WAIT_S)
    assert counts(broker, 0) == [1, 1, 1]


def test_ra04_lingers_and_then_leaves(broker: EmbeddedBroker, make: Make) -> None:
    """What is not full waits for linger_ms, no less, and then leaves by itself."""
    producer = make(broker, linger_ms=400)
    producer.partitions_for("t")
    began = time.monotonic()
    producer.send("t", b"v", partition=0)
    (request,) = broker.wait_for_requests("Produce", 1, WAIT_S)
    assert 0.4 <= request.time - began < 10


def test_ra05_a_request_of_limited_size(broker: EmbeddedBroker, make: Make) -> None:
    """With room for one batch, a request carries the batch of a single partition."""
    producer = make(broker, batch_size=4000, batch_max_size=4000, max_request_size=4000, linger_ms=FOR_EVER)
    producer.partitions_for("t")
    for n in range(8):
        producer.send("t", bytes(3500), partition=n % 4)
    producer.flush(WAIT_S)
    assert sorted(partitions_of(broker)) == [[n // 2] for n in range(8)]


def test_ra06_many_threads(broker: EmbeddedBroker, make: Make) -> None:
    """What many threads append while batches leave is neither lost nor doubled, and stays in each thread's order."""
    producer = make(broker, batch_size=1000, batch_max_size=2000, linger_ms=0)

    def work(thread: int) -> None:
        for n in range(1000):
            producer.send("t", b"%d %d" % (thread, n), partition=n % 4)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.flush(WAIT_S)
    for partition in range(4):
        values = [tuple(map(int, (it.value or b"").split())) for it in broker.records("t", partition)]
        for number in range(8):
            assert [n for who, n in values if who == number] == list(range(partition, 1000, 4))


def test_ra07_the_next_look_is_when_the_first_is_due(broker: EmbeddedBroker, make: Make) -> None:
    """Of two partitions that linger, the older leaves when its own time has come, not the other's.

    In Java the younger may go along; here it lingers for as long as it may.
    """
    producer = make(broker, linger_ms=1500)
    producer.partitions_for("t")
    first = time.monotonic()
    producer.send("t", b"v", partition=0)
    time.sleep(1)
    second = time.monotonic()
    producer.send("t", b"v", partition=1)
    requests = broker.wait_for_requests("Produce", 2, WAIT_S)
    assert [request.partitions for request in requests] == [(("t", 0),), (("t", 1),)]
    assert first + 1.5 <= requests[0].time < second + 1.5 <= requests[1].time


def test_ra11_a_flush_sends_what_is_not_full(broker: EmbeddedBroker, make: Make) -> None:
    """During a flush nothing lingers; after it nothing is left in queues, on the way, or of the memory."""
    producer = make(broker, linger_ms=FOR_EVER)
    futures = [producer.send("t", b"v", partition=n % 4) for n in range(100)]
    producer.flush(WAIT_S)
    assert all(future.succeeded() for future in futures)
    accumulator = producer._lifecycle.accumulator
    assert accumulator.lost() == {}
    stats = accumulator.pool_stats()
    assert (stats["slabs_acquired"], stats["available"]) == (0, stats["budget"])


def test_ra12_an_interrupted_flush_is_over(broker: EmbeddedBroker, make: Make) -> None:
    """After Ctrl-C during a flush, or its time-out, new records linger again."""
    producer = make(broker, linger_ms=FOR_EVER)
    broker.hold("Produce")
    producer.send("t", b"v", partition=0)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            producer.flush()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    broker.release()
    broker.wait(lambda it: it.record_count("t") == 1, WAIT_S)
    lingering = producer.send("t", b"w", partition=1)
    time.sleep(0.5)
    assert not lingering.is_done
    assert broker.request_count("Produce") == 1
    producer.flush(WAIT_S)
    assert lingering.succeeded()


@pytest.mark.parametrize("release", ["0.10.2", None])
def test_ra19_idempotence_and_old_brokers(release: str | None, broker: EmbeddedBroker, make: Make) -> None:
    """Idempotence asked for on a cluster that does not know it fails the record with UnsupportedVersionError.

    Java raises; here errors that a broker causes are the future's.
    """
    broker.hide_api("InitProducerId")
    if release:
        broker.play_release(release)
    producer = make(broker, enable_idempotence=True)
    with pytest.raises(UnsupportedVersionError):
        producer.send("t", b"v").get(WAIT_S)
    assert broker.record_count("t") == 0


def sticky_stage(**options: Any) -> Stage:
    return Stage(partitions=20, linger_ms=FOR_EVER, **({"batch_size": 4096, "batch_max_size": 4096} | options))


def places(stage: Stage, count: int, value: bytes) -> list[int]:
    """Where keyless records go."""
    return [stage.append(value, timestamp_ms=1_000_000).topic_partition[1] for _ in range(count)]


def test_ra26_records_without_a_key_fill_one_partition(broker: EmbeddedBroker, make: Make) -> None:
    """Keyless records go to one partition until a batch there is full: twice as many records make two full batches."""
    value = bytes(100)
    count = fitting(4096, value)
    producer = make(broker, batch_size=4096 - 100, batch_max_size=4096, linger_ms=FOR_EVER)
    producer.partitions_for("t")
    where = [producer.send("t", value, timestamp_ms=1_000_000).topic_partition[1] for _ in range(2 * count)]
    assert len(set(where[:count])) == len(set(where[count:])) == 1
    producer.flush(WAIT_S)
    assert [batch.header.record_count for batch in broker.batches("t")] == [count, count]


def test_ra27_the_even_choice_changes_with_full_batches() -> None:
    """Without adaptive choice a partition is kept while its batch has room, and left by each record that fills one."""
    stage = sticky_stage(adaptive=False)
    try:
        assert len(set(places(stage, 10, bytes(100)))) == 1
        large = places(stage, 60, bytes(4096))
        changes = sum(a != b for a, b in pairwise(large))
        assert changes > 40  # a draw finds the same of 20 again once in 20 times
        assert len(set(large)) > 10
    finally:
        stage.end()


def test_ra28_the_adaptive_choice_prefers_short_queues() -> None:
    """Partitions are drawn by the longest queue and one, less their own: of 4, 1 and 0 waiting, 1 : 4 : 5."""
    stage = Stage(partitions=3, linger_ms=FOR_EVER, batch_size=1000, batch_max_size=1000)
    try:
        for partition, batches in ((0, 4), (1, 1)):
            for _ in range(batches + 1):  # the last one stays open and does not count
                stage.append(bytes(920), partition=partition)
        drawn = Counter(stage.topic.place(None, bytes(1000)) for _ in range(20_000))
    finally:
        stage.end()
    assert {it: n / 20_000 for it, n in drawn.items()} == pytest.approx({0: 0.1, 1: 0.4, 2: 0.5}, abs=0.03)


def test_ra30_no_small_rest_of_a_batch(broker: EmbeddedBroker, make: Make) -> None:
    """Records of two thirds of a batch, with time to linger, leave batches of more than half the size and below it."""
    producer = make(broker, batch_size=4096, batch_max_size=4096, linger_ms=100)
    for _ in range(60):
        producer.send("t", bytes(4096 * 2 // 3))
    producer.flush(WAIT_S)
    sizes = [len(batch.data) for batch in broker.batches("t")]
    assert len(sizes) == 60
    assert all(2048 < size < 4096 for size in sizes)


def test_ra33_a_node_without_partitions(start_broker: StartBroker, make: Make) -> None:
    """A broker that leads none of the partitions is sent nothing, not even an empty request."""
    broker = start_broker(topics={"t": 2}, brokers=3)
    producer = make(broker)
    leaders = {broker.leader("t", partition)[0] for partition in range(2)}
    for n in range(20):
        producer.send("t", b"v", partition=n % 2).get(WAIT_S)
    assert {request.node for request in broker.requests_of("Produce")} == leaders
    assert len(leaders) == 2
