# SPDX-License-Identifier: Apache-2.0
"""Each error code of a produce response: retried exactly once and in order, or failed with its own class."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from pykafka_fast import errors
from pykafka_fast.errors import ClosedForcefullyError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, check_balance

RETRIABLE = (2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 51, 56, 72, 74, 75, 78, 80, 83, 84, 89, 100, 103)
MAYBE_WRITTEN = (7, 20, 56)
NOT_RETRIABLE = {
    -1: "UnknownError", 10: "MessageSizeTooLargeError", 17: "InvalidTopicError", 18: "RecordListTooLargeError",
    21: "InvalidRequiredAcksError", 29: "TopicAuthorizationFailedError", 32: "InvalidTimestampError",
    42: "InvalidRequestError", 43: "UnsupportedForMessageFormatError", 44: "PolicyViolationError",
    47: "InvalidProducerEpochError", 48: "InvalidTxnStateError", 49: "InvalidProducerIdMappingError",
    76: "UnsupportedCompressionTypeError", 87: "InvalidRecordError", 120: "TransactionAbortableError",
    12345: "UnknownError",
}  # fmt: skip
FATAL = {31: "ClusterAuthorizationFailedError", 35: "UnsupportedVersionError", 90: "ProducerFencedError"}


def values(broker: EmbeddedBroker, topic: str = "t") -> list[list[bytes | None]]:
    """By partition."""
    return [[record.value for record in broker.records(topic, i)] for i in range(broker.topics[topic])]


@pytest.mark.parametrize("after_append", [False, True], ids=["refused", "written"])
@pytest.mark.parametrize("code", RETRIABLE)
def test_retriable_codes_end_well_exactly_once(
    broker: EmbeddedBroker, make: Make, code: int, after_append: bool
) -> None:
    producer = make(broker, linger_ms=0, retry_backoff_ms=2, retry_backoff_max_ms=10)
    producer.send("t", b"warm", partition=3).get(timeout=10)
    for partition in range(3):
        broker.fail("Produce", code, partition=partition, times=2, after_append=after_append and partition == 1)
    futures = [producer.send("t", b"%d" % i, partition=i % 3) for i in range(30)]
    for future in futures:
        future.get(timeout=10)
    assert values(broker) == [[b"%d" % i for i in range(p, 30, 3)] for p in range(3)] + [[b"warm"]]
    assert len(broker.requests_of("Produce")) > 3


@pytest.mark.parametrize("in_flight", [1, 5])
@pytest.mark.parametrize("code", [6, 7, 13, 19, 20, 56])
def test_in_order_with_several_requests_in_flight(
    broker: EmbeddedBroker, make: Make, code: int, in_flight: int
) -> None:
    producer = make(broker, linger_ms=0, batch_size=200, retry_backoff_ms=2, retry_backoff_max_ms=10,
                    max_in_flight_requests_per_connection=in_flight)  # fmt: skip
    for partition in range(4):
        producer.send("t", b"%d" % partition, partition=partition).get(timeout=10)
    broker.delay("Produce", 3)
    for partition in range(4):
        broker.fail("Produce", code, partition=partition, times=4, after_append=partition % 2 == 1)
    futures = [producer.send("t", b"%d" % i, partition=i % 4) for i in range(4, 2000)]
    for future in futures:
        future.get(timeout=20)
    assert values(broker) == [[b"%d" % i for i in range(p, 2000, 4)] for p in range(4)]


@pytest.mark.parametrize("code", NOT_RETRIABLE)
def test_other_codes_fail_the_batch_with_their_class(broker: EmbeddedBroker, make: Make, code: int) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"0", partition=0).get(timeout=10)
    broker.fail("Produce", code, message="for a reason")
    future = producer.send("t", b"refused", partition=0)
    with pytest.raises(getattr(errors, NOT_RETRIABLE[code]), match="for a reason") as caught:
        future.get(timeout=10)
    assert caught.value.in_doubt == (code in (-1, 12345))
    assert producer.send("t", b"1", partition=0).get(timeout=10).offset == 1
    assert values(broker)[0] == [b"0", b"1"]


@pytest.mark.parametrize("code", FATAL)
def test_fatal_codes_end_the_producer(broker: EmbeddedBroker, make: Make, code: int) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"0", partition=0).get(timeout=10)
    cls = getattr(errors, FATAL[code])
    broker.delay("Produce", 200)
    broker.fail("Produce", code)
    futures = [producer.send("t", b"x", partition=0)]
    broker.wait_for_requests("Produce", 2)
    futures += [producer.send("t", b"x", partition=0) for i in range(100)]
    for future in futures:
        with pytest.raises(cls):
            future.get(timeout=10)
    with pytest.raises(cls):
        producer.send("t", b"x")
    check_balance(producer)


def test_fatal_codes_do_not_end_a_producer_without_idempotence(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, enable_idempotence=False)
    broker.fail("Produce", 31)
    with pytest.raises(errors.ClusterAuthorizationFailedError):
        producer.send("t", b"x").get(timeout=10)
    assert producer.send("t", b"x").get(timeout=10).offset == 0


def test_retries_0_fails_at_the_first_error(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, retries=0)
    broker.fail("Produce", 19)
    with pytest.raises(errors.NotEnoughReplicasError) as caught:
        producer.send("t", b"x").get(timeout=10)
    assert caught.value.retriable
    assert producer.send("t", b"x").get(timeout=10).offset == 0


def test_retries_are_counted(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, retries=3, retry_backoff_ms=1, enable_idempotence=False)
    broker.fail("Produce", 19, times=None)
    with pytest.raises(errors.NotEnoughReplicasError):
        producer.send("t", b"x").get(timeout=10)
    assert broker.request_count("Produce") == 4


def test_backoff_grows_up_to_its_maximum(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, retry_backoff_ms=20, retry_backoff_max_ms=100)
    broker.fail("Produce", 19, times=6)
    producer.send("t", b"x").get(timeout=10)
    times = [request.time for request in broker.requests_of("Produce")]
    pauses = [(later - earlier) * 1000 for earlier, later in pairwise(times)]
    for pause, wanted in zip(pauses, (20, 40, 80, 100, 100, 100), strict=True):
        assert wanted * 0.79 < pause < wanted * 1.21 + 25, pauses


def test_duplicates_count_as_success(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"0", partition=0).get(timeout=10)
    broker.fail("Produce", 46, after_append=True)
    metadata = producer.send("t", b"1", partition=0).get(timeout=10)
    assert metadata.offset == -1
    assert producer.send("t", b"2", partition=0).get(timeout=10).offset == 2


def test_forced_close_during_retries(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, retry_backoff_ms=1, retry_backoff_max_ms=2)
    broker.fail("Produce", 19, times=None)
    futures = [producer.send("t", b"x", partition=i % 4) for i in range(100)]
    time.sleep(0.1)
    producer.close(timeout=0)
    assert {type(future.exception) for future in futures} == {ClosedForcefullyError}
