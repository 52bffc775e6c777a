# SPDX-License-Identifier: Apache-2.0
"""Each error code of a produce response: retried exactly once and in order, or failed with its own class."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import NamedTuple

import pytest

from pykafka_fast import errors
from pykafka_fast.errors import ClosedForcefullyError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, check_balance

NO_DOUBT, DOUBT = False, True


class Row(NamedTuple):
    """What the specification makes of one error code, for a producer with idempotence and for one without.

    ``refreshes``: metadata is asked for. ``in_doubt``: what a broker that says so may have written.
    """

    idempotent: str
    plain: str
    refreshes: bool = False
    in_doubt: bool = NO_DOUBT


RETRY, FAIL = Row("retry", "retry"), Row("fail", "fail")
REFRESH = Row("retry", "retry", refreshes=True)
BUMP, FATAL, DONE = Row("bump", "fail"), Row("fatal", "fail"), Row("done", "done")
#: Section 5.7, row by row. 3, 6 and 56 leave doubt because a broker that stops leading says so of batches it has
#: written too, while they wait for the other replicas; 7 and 13 because somebody did not wait for a broker's answer.
TABLE: dict[int, Row] = {
    -1: FAIL._replace(in_doubt=DOUBT), 2: RETRY, 3: REFRESH._replace(in_doubt=DOUBT), 5: REFRESH,
    6: REFRESH._replace(in_doubt=DOUBT), 7: RETRY._replace(in_doubt=DOUBT), 9: REFRESH, 10: FAIL,
    13: REFRESH._replace(in_doubt=DOUBT),
    14: RETRY, 15: RETRY, 16: RETRY, 17: FAIL, 18: FAIL, 19: RETRY, 20: RETRY._replace(in_doubt=DOUBT), 21: FAIL,
    29: FAIL, 31: FATAL, 32: FAIL, 35: FATAL, 42: FAIL, 43: FAIL, 44: FAIL, 45: BUMP, 46: DONE, 47: FAIL, 48: FAIL,
    49: FAIL, 51: RETRY, 53: FATAL, 56: REFRESH._replace(in_doubt=DOUBT), 59: BUMP, 72: REFRESH, 74: REFRESH, 75: RETRY,
    76: FAIL, 78: RETRY, 80: REFRESH, 83: REFRESH, 84: REFRESH, 87: FAIL, 88: RETRY, 89: RETRY, 90: FATAL, 100: REFRESH,
    103: REFRESH, 120: FAIL,
}  # fmt: skip
RETRIABLE = [code for code, row in TABLE.items() if row.plain == "retry"]
NOT_RETRIABLE = [code for code, row in TABLE.items() if row.idempotent == "fail"] + [12345]
FATALS = [code for code, row in TABLE.items() if row.idempotent == "fatal"]
FAST = {"linger_ms": 0, "retry_backoff_ms": 2, "retry_backoff_max_ms": 10}
DEADLINE_S = 20


def class_of(code: int) -> type[errors.KafkaError]:
    """What a record that fails with it raises."""
    return errors.kafka_errors.get(code, errors.UnknownError)


def placed(broker: EmbeddedBroker) -> list[tuple[int, int]]:
    """Epoch and sequence of every batch that was sent."""
    sent = [batch for request in broker.requests_of("Produce") for batch in request.batches]
    return [(batch.producer_epoch, batch.base_sequence) for batch in sent if batch]


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


@pytest.mark.parametrize("idempotent", [True, False], ids=["idempotent", "plain"])
@pytest.mark.parametrize("code", TABLE)
def test_each_row(broker: EmbeddedBroker, make: Make, code: int, idempotent: bool) -> None:
    """One refusal with this code, of the second batch of a partition."""
    row = TABLE[code]
    action = row.idempotent if idempotent else row.plain
    producer = make(broker, **FAST, enable_idempotence=idempotent)
    producer.send("t", b"0", partition=0).get(timeout=DEADLINE_S)
    known = broker.request_count("Metadata")
    broker.fail("Produce", code, message="for a reason", log_start=0, after_append=action == "done")
    future = producer.send("t", b"1", partition=0)
    if action in ("fail", "fatal"):
        with pytest.raises(class_of(code), match="for a reason") as caught:
            future.get(timeout=DEADLINE_S)
        assert type(caught.value) is class_of(code)
        assert caught.value.in_doubt == row.in_doubt
    else:
        assert future.get(timeout=DEADLINE_S).offset == (-1 if action == "done" else 1)
    if action == "fatal":
        with pytest.raises(class_of(code)):
            producer.send("t", b"2", partition=0)
        return
    producer.send("t", b"2", partition=0).get(timeout=DEADLINE_S)
    wanted = [b"0", b"2"] if action == "fail" else [b"0", b"1", b"2"]
    assert values(broker)[0] == wanted
    if row.refreshes:
        broker.wait_for_requests("Metadata", known + 1, DEADLINE_S)
    else:
        assert broker.request_count("Metadata") == known
    plain = [(-1, -1)] * (4 if action == "retry" else 3)
    numbered = {"retry": [(0, 0), (0, 1), (0, 1), (0, 2)], "bump": [(0, 0), (0, 1), (1, 0), (1, 1)],
                "done": [(0, 0), (0, 1), (0, 2)], "fail": [(0, 0), (0, 1), (1, 0)]}  # fmt: skip
    assert placed(broker) == (numbered[action] if idempotent else plain)


@pytest.mark.parametrize("code", RETRIABLE)
def test_when_retries_are_used_up(broker: EmbeddedBroker, make: Make, code: int) -> None:
    """The record fails with the last refusal's class, and says whether any of them leaves doubt."""
    producer = make(broker, **FAST, retries=1)
    producer.send("t", b"0", partition=0).get(timeout=DEADLINE_S)
    broker.fail("Produce", code, times=2)
    with pytest.raises(class_of(code)) as caught:
        producer.send("t", b"1", partition=0).get(timeout=DEADLINE_S)
    assert type(caught.value) is class_of(code)
    assert caught.value.in_doubt == TABLE[code].in_doubt
    broker.fail("Produce", code)
    broker.fail("Produce", 2)
    with pytest.raises(class_of(2)) as caught:
        producer.send("t", b"1", partition=0).get(timeout=DEADLINE_S)
    assert caught.value.in_doubt == TABLE[code].in_doubt
    assert producer.send("t", b"2", partition=0).get(timeout=DEADLINE_S).offset == 1


@pytest.mark.parametrize("code", [code for code in [*errors.kafka_errors, 12345] if code not in TABLE and code])
def test_codes_nobody_expects_end_well_or_in_their_class(broker: EmbeddedBroker, make: Make, code: int) -> None:
    """Whatever number a broker comes up with, the record is written, or fails as its class says, and the producer goes
    on."""
    producer = make(broker, **FAST)
    producer.send("t", b"0", partition=0).get(timeout=DEADLINE_S)
    broker.fail("Produce", code)
    future = producer.send("t", b"1", partition=0)
    if class_of(code).retriable:
        assert future.get(timeout=DEADLINE_S).offset == 1
    else:
        with pytest.raises(class_of(code)) as caught:
            future.get(timeout=DEADLINE_S)
        assert caught.value.in_doubt == (code == 12345)
    producer.send("t", b"2", partition=0).get(timeout=DEADLINE_S)


@pytest.mark.parametrize("code", [3, 6, 7, 20, 56])
def test_written_and_then_never_again_reachable(broker: EmbeddedBroker, make: Make, code: int) -> None:
    """The broker wrote the record and stopped leading: nobody can be asked again, and the record says so."""
    producer = make(broker, **FAST, delivery_timeout_ms=1500, request_timeout_ms=1500)
    producer.send("t", b"0", partition=0).get(timeout=DEADLINE_S)
    broker.fail("Produce", code, after_append=True)
    broker.trigger("Produce", lambda: broker.fail("Produce", 5, times=None), skip=1)
    # Its time may be up in the queue, or while the last refusal is looked at.
    with pytest.raises((errors.KafkaTimeoutError, errors.LeaderNotAvailableError)) as caught:
        producer.send("t", b"1", partition=0).get(timeout=DEADLINE_S)
    assert caught.value.in_doubt
    assert values(broker)[0] == [b"0", b"1"]
    broker.clear()


@pytest.mark.parametrize("code", FATALS)
def test_fatal_codes_end_the_producer(broker: EmbeddedBroker, make: Make, code: int) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"0", partition=0).get(timeout=10)
    cls = class_of(code)
    broker.hold("Produce")
    broker.fail("Produce", code)
    futures = [producer.send("t", b"x", partition=0)]
    broker.wait_for_requests("Produce", 2)
    futures += [producer.send("t", b"x", partition=0) for i in range(100)]
    broker.release()
    for future in futures:
        with pytest.raises(cls):
            future.get(timeout=10)
    for _ in range(3):
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
    tries: list[list[float]] = []
    for _ in range(4):
        asked = broker.request_count("Produce")
        broker.fail("Produce", 19, times=6)
        producer.send("t", b"x").get(timeout=10)
        times = [request.time for request in broker.requests_of("Produce")[asked:]]
        tries.append([(later - earlier) * 1000 for earlier, later in pairwise(times)])
    shortest = [min(pauses) for pauses in zip(*tries, strict=True)]  # a busy machine lengthens some of them
    for pause, wanted in zip(shortest, (20, 40, 80, 100, 100, 100), strict=True):
        assert wanted * 0.79 < pause < wanted * 1.21 + 50, tries


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
