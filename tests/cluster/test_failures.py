# SPDX-License-Identifier: Apache-2.0
"""Nodes die, freeze and come back while records are sent; mostly three nodes, replication 3."""

import threading
from collections.abc import Callable

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError
from tests.ledger import Ledger, check
from tools.brokers.kafka import KafkaCluster
from tools.brokers.processes import wait_for
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
NewTopic = Callable[..., str]
ReadBack = Callable[..., list[Record]]

QUICK = {"retry_backoff_max_ms": 300, "reconnect_backoff_max_ms": 300}
THREADS = 2


class Senders:
    """Threads that send through one producer, each with a ledger and keys of its own.

    Args:
        count: records of each thread.
        fast: so many of them at full speed; the rest at 2,500 a second until `join`, so that what happens to the
            cluster happens meanwhile.
    """

    def __init__(self, producer: KafkaProducer, topic: str, count: int, fast: int):
        self.ledgers = [Ledger(producer, topic, f"thread{number}") for number in range(THREADS)]
        self._count, self._fast = count, fast
        self._hurry = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(ledger,)) for ledger in self.ledgers]
        for thread in self._threads:
            thread.start()

    def _send(self, ledger: Ledger) -> None:
        for number in range(self._count):
            if number >= self._fast and number % 50 == 0:
                self._hurry.wait(0.02)
            ledger.send(key=b"%d" % (number % 40), padding=20)

    def wait_for_some(self) -> None:
        """Records are acknowledged, and more are being sent."""
        for ledger in self.ledgers:
            wait_for(lambda it=ledger: len(it.entries) > self._fast // 2, "records", 30)  # type: ignore[misc]
            wait_for(lambda it=ledger: any(future.value is not None for _, future in it.entries[:]),  # type: ignore[misc]
                     "an acknowledgement", 30)

    def join(self, timeout: float) -> None:
        """Send the rest at full speed and wait for every outcome."""
        self._hurry.set()
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive()
        for ledger in self.ledgers:
            ledger.wait(timeout)

    def failures(self) -> list[BaseException]:
        return [failure for ledger in self.ledgers for failure in ledger.failures()]


def retries(producer: KafkaProducer) -> float:
    return producer.metrics()["producer-metrics"]["batch-retry-total"]  # type: ignore[index]


def leader_of_all(cluster: KafkaCluster, topic: str, partitions: int) -> list[int]:
    return [cluster.leader(topic, partition) for partition in range(partitions)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("options", [{}, {"batch_size": 2_000, "batch_max_size": 2_000}], ids=["default", "small"])
def test_leader_killed(
    kafka3: KafkaCluster,
    new_topic: NewTopic,
    new_producer: NewProducer,
    read_back: ReadBack,
    options: dict[str, int],
) -> None:
    """kill -9 of a leader while 100,000 records are sent by two threads: each is there exactly once and in order."""
    topic = new_topic(kafka3, 3)
    producer = new_producer(kafka3.bootstrap, **QUICK, **options)
    senders = Senders(producer, topic, 50_000, 40_000)
    try:
        senders.wait_for_some()
        dead = kafka3.leader(topic, 0)
        kafka3.kill(dead)
        wait_for(lambda: dead not in leader_of_all(kafka3, topic, 3), "other leaders", 60)
    finally:
        senders.join(timeout=60)
    assert senders.failures() == []
    read = read_back(kafka3.bootstrap, topic, timeout=60)
    assert len(read) == 100_000
    check(read, *senders.ledgers)
    assert retries(producer) >= 1


@pytest.mark.timeout(180)
def test_leader_frozen(
    kafka3: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """SIGSTOP: its connections stay open and silent, until it is no leader any more; later it answers old requests."""
    topic = new_topic(kafka3, 3)
    producer = new_producer(kafka3.bootstrap, request_timeout_ms=3_000, delivery_timeout_ms=60_000, **QUICK)
    senders = Senders(producer, topic, 10_000, 5_000)
    probe = Ledger(producer, topic, "probe")
    frozen = kafka3.leader(topic, 0)
    try:
        senders.wait_for_some()
        kafka3.suspend(frozen)
        probe.send(partition=0).get(timeout=60)  # another leads
    finally:
        kafka3.resume(frozen)
        senders.join(timeout=60)
    assert senders.failures() == []
    kafka3.restart(frozen)  # thawed, it takes itself for the leader for a while and tells where the topic ended
    kafka3.heal()
    check(read_back(kafka3.bootstrap, topic, timeout=60), *senders.ledgers, probe)
    assert retries(producer) >= 1


@pytest.mark.timeout(400)
def test_rolling_restart(
    kafka3: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """Every node goes down in good order and comes back, one after the other."""
    topic = new_topic(kafka3, 6)
    producer = new_producer(kafka3.bootstrap, **QUICK)
    senders = Senders(producer, topic, 30_000, 5_000)
    try:
        for node in kafka3.nodes:
            senders.wait_for_some()
            kafka3.restart(node)
            kafka3.heal()
    finally:
        senders.join(timeout=60)
    assert senders.failures() == []
    check(read_back(kafka3.bootstrap, topic, timeout=60), *senders.ledgers)


@pytest.mark.timeout(180)
def test_too_few_replicas_for_a_while(
    kafka3: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """A topic that wants all three replicas refuses records while one is down."""
    topic = new_topic(kafka3, 1, config={"min.insync.replicas": "3"})
    producer = new_producer(kafka3.bootstrap, **QUICK)
    ledger = Ledger(producer, topic)
    ledger.send().get(timeout=30)
    follower = next(node for node in kafka3.nodes if node != kafka3.leader(topic, 0))
    kafka3.stop(follower)
    waiting = [ledger.send(padding=100) for _ in range(500)]
    wait_for(lambda: retries(producer) >= 3, "refusals", 30)
    assert not any(future.is_done for future in waiting)
    kafka3.heal()
    producer.flush(timeout=60)
    assert not ledger.failures()
    check(read_back(kafka3.bootstrap, topic, timeout=60), ledger)


@pytest.mark.timeout(240)
def test_the_only_node_killed_and_started_again(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    topic = new_topic(kafka, 3)
    producer = new_producer(kafka.bootstrap, **QUICK)
    senders = Senders(producer, topic, 30_000, 20_000)
    try:
        senders.wait_for_some()
        kafka.kill(1)
        kafka.restart(1)
    finally:
        senders.join(timeout=60)
    assert senders.failures() == []
    check(read_back(kafka.bootstrap, topic, timeout=60), *senders.ledgers)
    assert retries(producer) >= 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("idempotent", [True, False])
def test_frozen_for_longer_than_records_may_take(
    kafka: KafkaCluster, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack, idempotent: bool
) -> None:
    """Records fail, some in doubt; the broker finds their requests when it wakes up; what follows is right."""
    topic = new_topic(kafka, 2)
    options = {"delivery_timeout_ms": 1_500, "request_timeout_ms": 1_000, "max_in_flight_requests_per_connection": 5}
    options |= {"batch_size": 2_000, "batch_max_size": 2_000, "enable_idempotence": idempotent}
    producer = new_producer(kafka.bootstrap, **options, **QUICK)
    senders = Senders(producer, topic, 20_000, 10_000)
    try:
        senders.wait_for_some()
        kafka.suspend(1)
        doomed = Ledger(producer, topic, "doomed")
        for number in range(1_000):
            doomed.send(partition=number % 2, padding=100)
        doomed.wait(20)
    finally:
        kafka.resume(1)
        senders.join(timeout=60)
    assert len(doomed.failures()) == 1_000
    assert all(isinstance(error, KafkaTimeoutError) for error in [*doomed.failures(), *senders.failures()])

    def accepted() -> bool:
        after = Ledger(producer, topic, f"after{len(ledgers)}")
        ledgers.append(after)
        for number in range(200):
            after.send(partition=number % 2)
        after.wait(20)
        return not after.failures()

    ledgers = [*senders.ledgers, doomed]
    wait_for(accepted, "records after the thaw", 30)
    check(read_back(kafka.bootstrap, topic, timeout=60), *ledgers, once=idempotent)
