# SPDX-License-Identifier: Apache-2.0
"""Errors and cut connections that the mock answers with; nothing may be lost, doubled or out of order.

The mock does not check sequences, so where order matters one request is in flight at a time.
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownError,
)
from tests.ledger import Ledger, check
from tools.brokers.mock import (
    DISCONNECT,
    INIT_PRODUCER_ID,
    MESSAGE_TOO_LARGE,
    METADATA,
    NOT_ENOUGH_REPLICAS,
    NOT_LEADER,
    PRODUCE,
    REQUEST_TIMED_OUT,
    MockCluster,
)
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
ReadBack = Callable[[str, str], list[Record]]

UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, COORDINATOR_LOADING, INVALID_TOPIC = 3, 5, 14, 17
TOPIC_AUTHORIZATION, CLUSTER_AUTHORIZATION, KAFKA_STORAGE_ERROR, UNKNOWN_SERVER_ERROR = 29, 31, 56, -1
RETRIED = {
    "not leader": [NOT_LEADER, NOT_LEADER],
    "too few replicas": [NOT_ENOUGH_REPLICAS],
    "timed out at the broker": [REQUEST_TIMED_OUT, REQUEST_TIMED_OUT],
    "unknown topic": [UNKNOWN_TOPIC],
    "storage": [KAFKA_STORAGE_ERROR],
    "cut": [DISCONNECT],
    "cut again and again": [DISCONNECT, DISCONNECT, 0, DISCONNECT],
    "one after the other": [NOT_LEADER, NOT_LEADER, NOT_ENOUGH_REPLICAS, REQUEST_TIMED_OUT, DISCONNECT, NOT_LEADER],
}


@pytest.mark.parametrize("codes", RETRIED.values(), ids=RETRIED)
@pytest.mark.parametrize("idempotent", [True, False])
def test_retried_until_delivered(
    mock: MockCluster, new_producer: NewProducer, read_back: ReadBack, codes: list[int], idempotent: bool
) -> None:
    mock.create_topic("t", 2)
    producer = new_producer(
        mock.bootstrap, retry_backoff_ms=10, enable_idempotence=idempotent, max_in_flight_requests_per_connection=1
    )
    ledger = Ledger(producer, "t")
    ledger.send(partition=0).get(timeout=10)
    mock.push_request_errors(PRODUCE, *codes)
    for number in range(500):
        ledger.send(partition=number % 2)
    producer.flush(timeout=20)
    assert not ledger.failures()
    check(read_back(mock.bootstrap, "t"), ledger)
    retried = producer.metrics()["producer-metrics"]["batch-retry-total"]
    assert retried >= len([code for code in codes if code])


def test_random_faults_of_every_api(mock3: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    mock3.create_topic("t", 6)
    options = {"retry_backoff_ms": 5, "retry_backoff_max_ms": 50, "max_in_flight_requests_per_connection": 1}
    producer = new_producer(mock3.bootstrap, **options, reconnect_backoff_max_ms=100, linger_ms=1)
    ledger = Ledger(producer, "t")
    for _ in range(30):
        faults = rng.choices([0, NOT_LEADER, NOT_ENOUGH_REPLICAS, REQUEST_TIMED_OUT, DISCONNECT], k=4)
        mock3.push_request_errors(PRODUCE, *faults)
        mock3.push_request_errors(METADATA, *rng.choices([0, DISCONNECT], k=2))
        for _ in range(100):
            ledger.send(key=b"%d" % rng.randrange(20))
    producer.flush(timeout=60)
    mock3.clear_request_errors(METADATA)
    assert not ledger.failures()
    check(read_back(mock3.bootstrap, "t"), ledger)


def test_one_partition_in_trouble_does_not_hold_up_the_others(
    mock: MockCluster, new_producer: NewProducer, read_back: ReadBack
) -> None:
    mock.create_topic("t", 4)
    producer = new_producer(mock.bootstrap, retry_backoff_ms=3000, retry_backoff_max_ms=3000)
    ledger = Ledger(producer, "t")
    ledger.send(partition=0).get(timeout=10)
    mock.push_partition_errors("t", 1, PRODUCE, NOT_ENOUGH_REPLICAS)
    stuck = ledger.send(partition=1)
    for number in range(300):
        ledger.send(partition=(0, 2, 3)[number % 3]).get(timeout=10)
    assert not stuck.is_done
    stuck.get(timeout=10)
    check(read_back(mock.bootstrap, "t"), ledger)


# What is not tried again


def test_a_refused_batch_fails_and_the_next_one_is_delivered(
    mock: MockCluster, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """With idempotence a sequence is missing now: the next batch needs a new epoch."""
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap)
    ledger = Ledger(producer, "t")
    ledger.send().get(timeout=10)
    mock.push_request_errors(PRODUCE, TOPIC_AUTHORIZATION)
    with pytest.raises(TopicAuthorizationFailedError, match="t"):
        ledger.send().get(timeout=10)
    for _ in range(100):
        ledger.send()
    producer.flush(timeout=10)
    assert len(ledger.failures()) == 1
    check(read_back(mock.bootstrap, "t"), ledger)


def test_unknown_server_error_leaves_doubt(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap)
    mock.push_request_errors(PRODUCE, UNKNOWN_SERVER_ERROR)
    with pytest.raises(UnknownError) as failure:
        producer.send("t", b"v").get(timeout=10)
    assert failure.value.in_doubt
    producer.send("t", b"v").get(timeout=10)


def test_too_large_is_split_until_it_fits(mock: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap, linger_ms=60_000)
    ledger = Ledger(producer, "t")
    ledger.send()
    producer.flush(timeout=10)
    mock.push_request_errors(PRODUCE, MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE)
    for _ in range(100):
        ledger.send(padding=100)
    producer.flush(timeout=10)
    assert not ledger.failures()
    check(read_back(mock.bootstrap, "t"), ledger)
    assert producer.metrics()["producer-metrics"]["batch-split-total"] >= 2


def test_too_large_for_one_record_fails(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap)
    mock.push_request_errors(PRODUCE, MESSAGE_TOO_LARGE)
    with pytest.raises(MessageSizeTooLargeError):
        producer.send("t", b"v").get(timeout=10)
    producer.send("t", b"v").get(timeout=10)


def test_delivery_timeout_tells_what_was_wrong(
    mock: MockCluster, new_producer: NewProducer, read_back: ReadBack
) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(
        mock.bootstrap, delivery_timeout_ms=4000, request_timeout_ms=3500, retry_backoff_ms=20, retry_backoff_max_ms=100
    )
    ledger = Ledger(producer, "t")
    ledger.send().get(timeout=10)
    mock.push_request_errors(PRODUCE, *[NOT_ENOUGH_REPLICAS] * 1000)
    started = time.monotonic()
    with pytest.raises(KafkaTimeoutError, match=r"NOT_ENOUGH_REPLICAS"):
        ledger.send().get(timeout=20)
    assert 3.9 < time.monotonic() - started < 15
    mock.clear_request_errors(PRODUCE)
    ledger.send().get(timeout=10)
    check(read_back(mock.bootstrap, "t"), ledger)


def test_no_more_retries_than_allowed(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap, retries=2, retry_backoff_ms=5)
    producer.send("t", b"v").get(timeout=10)
    mock.clear_requests()
    mock.push_request_errors(PRODUCE, *[NOT_ENOUGH_REPLICAS] * 3)
    with pytest.raises(KafkaError):
        producer.send("t", b"v").get(timeout=10)
    assert mock.request_counts()[PRODUCE] == 3
    producer.send("t", b"v").get(timeout=10)


# The other APIs


def test_producer_id_after_errors(mock: MockCluster, new_producer: NewProducer, read_back: ReadBack) -> None:
    mock.create_topic("t", 1)
    mock.push_request_errors(INIT_PRODUCER_ID, COORDINATOR_LOADING, DISCONNECT, COORDINATOR_LOADING)
    producer = new_producer(mock.bootstrap, retry_backoff_ms=10)
    ledger = Ledger(producer, "t")
    for _ in range(10):
        ledger.send()
    producer.flush(timeout=10)
    assert not ledger.failures()
    check(read_back(mock.bootstrap, "t"), ledger)


def test_producer_id_refused(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    mock.push_request_errors(INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION)
    producer = new_producer(mock.bootstrap, retry_backoff_ms=10)
    with pytest.raises(ClusterAuthorizationFailedError):
        producer.send("t", b"v").get(timeout=10)
    deadline = time.monotonic() + 10
    while True:  # what is sent at once may still be taken by the same refusal
        with contextlib.suppress(ClusterAuthorizationFailedError):
            producer.send("t", b"v").get(timeout=10)
            break
        assert time.monotonic() < deadline


def test_metadata_after_cut_connections(mock: MockCluster, new_producer: NewProducer) -> None:
    mock.create_topic("t", 1)
    mock.push_request_errors(METADATA, DISCONNECT, DISCONNECT, DISCONNECT)
    producer = new_producer(mock.bootstrap, retry_backoff_ms=10)
    assert producer.send("t", b"v").get(timeout=10).offset == 0


@pytest.mark.parametrize("code", [UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE])
def test_a_topic_that_comes_later(mock: MockCluster, new_producer: NewProducer, code: int) -> None:
    mock.create_topic("t", 1)
    mock.set_topic_error("t", code)
    producer = new_producer(mock.bootstrap, max_block_ms=1500, retry_backoff_ms=20, retry_backoff_max_ms=20)
    future = producer.send("t", b"v")
    with pytest.raises(KafkaTimeoutError, match="t"):
        future.get(timeout=0)
    mock.set_topic_error("t", 0)
    assert producer.send("t", b"v").get(timeout=10).offset == 0


@pytest.mark.parametrize(
    ("code", "error"), [(INVALID_TOPIC, InvalidTopicError), (TOPIC_AUTHORIZATION, TopicAuthorizationFailedError)]
)
def test_a_topic_that_never_comes(
    mock: MockCluster, new_producer: NewProducer, code: int, error: type[KafkaError]
) -> None:
    """Waiting would not help: it fails at once."""
    mock.create_topic("t", 1)
    mock.create_topic("fine", 1)
    mock.set_topic_error("t", code)
    producer = new_producer(mock.bootstrap)
    started = time.monotonic()
    with pytest.raises(error):
        producer.send("t", b"v").get(timeout=0)
    assert time.monotonic() - started < 5
    producer.send("fine", b"v").get(timeout=10)


def test_nothing_is_logged_above_warning(
    mock: MockCluster, new_producer: NewProducer, caplog: pytest.LogCaptureFixture
) -> None:
    mock.create_topic("t", 1)
    producer = new_producer(mock.bootstrap, retry_backoff_ms=10)
    mock.push_request_errors(PRODUCE, NOT_LEADER, DISCONNECT)
    producer.send("t", b"v").get(timeout=10)
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []
