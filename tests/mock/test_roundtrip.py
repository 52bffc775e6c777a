# SPDX-License-Identifier: Apache-2.0
"""Records to the mock cluster and back out of another client's consumer, and how many requests that takes."""

from collections import defaultdict
from collections.abc import Callable

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.types import HeaderList
from tests.ledger import Ledger, check
from tools.brokers.mock import API_VERSIONS, PRODUCE, MockCluster
from tools.brokers.processes import wait_for
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
ReadBack = Callable[[str, str], list[Record]]


def test_keyed_records_with_headers(mock3: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock3.create_topic("t", 4)
    producer = new_producer(mock3.bootstrap)
    sent, futures = defaultdict(list), []
    for i in range(5_000):
        key, value = b"k%d" % (i % 97), b"v%d" % i
        headers: HeaderList = [("n", b"%d" % i), ("none", None), ("n", b"")]
        futures.append(producer.send("t", value, key=key, headers=headers, timestamp_ms=1_700_000_000_000 + i))
        sent[key].append((value, headers, 1_700_000_000_000 + i))
    producer.flush(timeout=20)
    read = read_back(mock3.bootstrap, "t")
    got = defaultdict(list)
    for record in read:
        assert record.key is not None
        got[record.key].append((record.value, record.headers, record.timestamp_ms))
    assert got == sent
    places = {record.value: (record.partition, record.offset) for record in read}
    for i, future in enumerate(futures):
        metadata = future.get(timeout=0)
        assert (metadata.partition, metadata.offset) == places[b"v%d" % i]


@pytest.mark.parametrize(("acks", "idempotent"), [(0, False), (1, False), ("all", False), ("all", True)])
def test_acks(
    mock: MockCluster, new_producer: NewProducer, read_back: ReadBack, acks: int | str, idempotent: bool
) -> None:
    """The mock answers acks=0, which no real broker does: such an answer is not to cost the connection."""
    mock.create_topic("t", 3)
    producer = new_producer(mock.bootstrap, acks=acks, enable_idempotence=idempotent)
    ledger = Ledger(producer, "t")
    for _ in range(40):
        for _ in range(100):
            ledger.send()
        producer.flush(timeout=10)
    assert not ledger.failures()
    wait_for(lambda: len(read_back(mock.bootstrap, "t")) >= 4_000, "all records", 10)
    check(read_back(mock.bootstrap, "t"), ledger)
    assert mock.request_counts()[PRODUCE] >= 40


def test_acks_0_keeps_its_connection(mock: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap, acks=0, enable_idempotence=False, max_in_flight_requests_per_connection=1)
    ledger = Ledger(producer, "t")
    ledger.send().get(timeout=10)
    wait_for(lambda: mock.request_counts().get(PRODUCE) == 1, "the first request", 10)
    mock.clear_requests()
    for _ in range(500):
        assert ledger.send(padding=100).get(timeout=10).offset == -1
    wait_for(lambda: mock.request_counts().get(PRODUCE) == 500, "all requests", 10)
    assert API_VERSIONS not in mock.request_counts(), "a new connection"
    check(read_back(mock.bootstrap, "t"), ledger)
    assert len(read_back(mock.bootstrap, "t")) == 501


@pytest.mark.parametrize("brokers", [1, 3])
def test_many_partitions_share_a_request(
    request: pytest.FixtureRequest, new_producer: NewProducer, read_back: ReadBack, brokers: int
) -> None:
    """Every partition has its own batches; a request carries those of all partitions of a broker."""
    mock: MockCluster = request.getfixturevalue("mock" if brokers == 1 else "mock3")
    partitions, rounds = 60, 20
    mock.create_topic("t", partitions)
    producer = new_producer(mock.bootstrap, linger_ms=100)
    ledger = Ledger(producer, "t")
    ledger.send(partition=0).get(timeout=10)
    mock.clear_requests()
    for _ in range(rounds):
        for partition in range(partitions):
            ledger.send(partition=partition)
        producer.flush(timeout=10)
    requests = mock.request_counts()[PRODUCE]
    batches = partitions * rounds
    assert requests * 4 < batches, f"{requests} Produce requests for {batches} batches"
    assert {n for n in mock.brokers if mock.request_counts(n).get(PRODUCE)} == set(mock.brokers)
    read = read_back(mock.bootstrap, "t")
    check(read, ledger)
    assert len({record.partition for record in read}) == partitions
