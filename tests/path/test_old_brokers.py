# SPDX-License-Identifier: Apache-2.0
"""Brokers before 0.11, played by the embedded one: message sets instead of batches, no headers, no sequences."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka_fast._core.codec import CODECS
from pykafka_fast.errors import (
    BatchRejectedError,
    MessageSizeTooLargeError,
    UnsupportedCompressionTypeError,
    UnsupportedVersionError,
)
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker

RECORDS: list[tuple[bytes | None, bytes | None]] = [
    (b"key", b"value"), (None, b"value"), (b"key", None), (b"", None), (b"", b""), (None, b""),
    (bytes(range(256)), bytes(range(256)) * 40),
]  # fmt: skip
OFF = "Idempotence is turned off"


def spoken(broker: EmbeddedBroker, api: str) -> set[int]:
    return {request.version for request in broker.requests_of(api)}


@pytest.fixture
def old(broker: EmbeddedBroker) -> EmbeddedBroker:
    """One node of 0.10.2."""
    broker.play_release("0.10.2")
    return broker


@pytest.mark.parametrize("newest", [0, 1, 2])
@pytest.mark.parametrize("acks", ["all", 1])
def test_records(old: EmbeddedBroker, make: Make, newest: int, acks: str | int) -> None:
    old.set_api_version("Produce", 0, newest)
    producer = make(old, acks=acks)
    delivered: list[int] = []
    futures = [
        producer.send("t", value, key=key, partition=1, timestamp_ms=1_600_000_000_000 - number,
                      on_delivery=lambda metadata, error: delivered.append(metadata.offset))
        for number, (key, value) in enumerate(RECORDS * 30)
        if (key, value) != (None, None)
    ]  # fmt: skip
    producer.flush(timeout=20)
    assert [future.value.offset for future in futures] == list(range(len(futures))) == delivered
    read = old.records("t", 1)
    assert [(record.key, record.value) for record in read] == RECORDS * 30
    times = [1_600_000_000_000 - number for number in range(len(futures))]
    assert [record.timestamp for record in read] == (times if newest == 2 else [-1] * len(times))
    assert [future.value.timestamp for future in futures] == times
    assert {record.producer_id for record in read} == {-1}
    assert spoken(old, "Produce") == {newest}


@pytest.mark.parametrize("newest", [0, 1, 2])
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4"])
def test_compressed_records(old: EmbeddedBroker, make: Make, newest: int, codec: str) -> None:
    old.set_api_version("Produce", 0, newest)
    producer = make(old, compression_type=codec, linger_ms=60_000)
    sent = [(key, value) for key, value in RECORDS * 30 if (key, value) != (None, None)]
    futures = [producer.send("t", value, key=key, partition=1) for key, value in sent]
    producer.flush(timeout=20)
    assert [future.value.offset for future in futures] == list(range(len(sent)))
    assert [(record.key, record.value) for record in old.records("t", 1)] == sent
    assert producer.send("t", b"", partition=0).get(timeout=20).offset == 0
    assert {batch.header.codec for batch in old.batches("t", 0)} == {0}  # a wrapper would be larger
    assert {batch.header.codec for batch in old.batches("t", 1)} == {CODECS[codec]}
    assert sum(request.size for request in old.requests_of("Produce")) < sum(len(value or b"") for _, value in sent) / 4
    assert spoken(old, "Produce") == {newest}


@pytest.mark.parametrize("newest", [2, 6])
def test_zstd_is_refused_where_it_is_not_known(start_broker: StartBroker, make: Make, newest: int) -> None:
    """And only for the topics that ask for it."""
    old = start_broker(topics={"z": 1, "g": 1, "t": 1})
    old.play_release("0.10.2")
    old.set_api_version("Produce", 0, newest)
    producer = make(old, compression_by_topic={"z": ("zstd", 1), "g": "gzip"})
    refused = pytest.raises(UnsupportedCompressionTypeError, match=r"zstd.*needs Kafka 2\.1.*compression_by_topic")
    with refused as caught:
        producer.send("z", bytes(1000)).get(timeout=20)
    assert not caught.value.in_doubt
    assert producer.send("g", bytes(1000)).get(timeout=20).offset == 0
    assert producer.send("t", bytes(1000)).get(timeout=20).offset == 0
    assert old.record_count("z") == 0


def test_everything_is_negotiated(old: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(old)
    for _ in range(3):
        for future in [producer.send("t", b"x", partition=i) for i in range(4)]:
            assert future.get(timeout=20).offset >= 0
    assert (spoken(old, "ApiVersions"), spoken(old, "Metadata"), spoken(old, "Produce")) == ({4, 0}, {2}, {2})
    assert old.request_count("InitProducerId") == 0
    assert [record.levelname for record in caplog.records if OFF in record.getMessage()] == ["WARNING"]


def test_the_brokers_clock(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(log_append_time=True)
    broker.play_release("0.10.2")
    told = make(broker).send("t", b"x", partition=0, timestamp_ms=5).get(timeout=20).timestamp
    assert told == broker.records("t", 0)[0].timestamp > 1_600_000_000_000


def test_acks_0(old: EmbeddedBroker, make: Make) -> None:
    producer = make(old, acks=0, enable_idempotence=False)
    futures = [producer.send("t", b"%d" % i, partition=0) for i in range(500)]
    producer.flush(timeout=20)
    assert {future.value.offset for future in futures} == {-1}
    old.wait(lambda broker: broker.record_count("t", 0) == 500, timeout=20)
    assert [record.value for record in old.records("t", 0)] == [b"%d" % i for i in range(500)]


def test_idempotence_asked_for(old: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(old, enable_idempotence=True)
    with pytest.raises(UnsupportedVersionError, match=f"no idempotence: {old.address} .*enable_idempotence=False"):
        producer.send("t", b"x").get(timeout=20)
    with pytest.raises(UnsupportedVersionError, match="no idempotence"):
        producer.send("t", b"x")
    assert OFF not in caplog.text
    assert old.record_count("t") == 0


def test_no_idempotence_asked_for(old: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    assert make(old, enable_idempotence=False).send("t", b"x").get(timeout=20).offset == 0
    assert OFF not in caplog.text


@pytest.mark.parametrize("idempotent", [None, False])
def test_headers_are_refused_at_once(old: EmbeddedBroker, make: Make, idempotent: bool | None) -> None:
    """With the first record already: the broker that told the metadata has told its versions before."""
    producer = make(old, **({} if idempotent is None else {"enable_idempotence": idempotent}))
    told: list[Any] = []
    future = producer.send("t", b"x", headers=[("h", b"v")], on_delivery=lambda *outcome: told.append(outcome))
    assert future.is_done
    with pytest.raises(UnsupportedVersionError, match=r"topic 't' has headers.*Kafka 0.11") as caught:
        future.get(timeout=0)
    assert not caught.value.in_doubt
    ((metadata, error),) = told
    assert metadata.topic == "t"
    assert isinstance(error, UnsupportedVersionError)
    assert producer.send("t", b"no headers", headers=[]).get(timeout=20).offset == 0
    assert [record.value for record in old.records("t")] == [b"no headers"]


def test_errors_retries_and_splits(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 2}, max_message_bytes=2000, brokers=2)
    broker.play_release("0.10.2")
    producer = make(broker, linger_ms=20, retry_backoff_ms=5, max_in_flight_requests_per_connection=1)
    broker.fail("Produce", 19, partition=0, times=2)
    futures = [producer.send("t", b"%03d" % i + bytes(100), partition=i % 2) for i in range(200)]
    producer.flush(timeout=20)
    broker.move_leader("t", 0, 1)
    broker.move_leader("t", 0, 2)
    futures += [producer.send("t", b"%03d" % i + bytes(100), partition=i % 2) for i in range(200, 400)]
    producer.flush(timeout=20)
    assert [future.value.offset for future in futures] == [i // 2 for i in range(400)]
    for partition in (0, 1):
        values = [record.value[:3] for record in broker.records("t", partition) if record.value]
        assert values == [b"%03d" % i for i in range(partition, 400, 2)]
    with pytest.raises(MessageSizeTooLargeError):
        producer.send("t", bytes(3000), partition=0).get(timeout=20)
    assert spoken(broker, "Produce") == {2}


def test_a_request_stays_within_its_limit(start_broker: StartBroker, make: Make) -> None:
    """Small records grow fivefold: what counts is what is sent. A single partition's batch goes in any case."""
    broker = start_broker(topics={"t": 40})
    broker.play_release("0.10.2")
    producer = make(broker, max_request_size=20_000, batch_size=2_000, linger_ms=200)
    for number in range(4_000):
        producer.send("t", b"", partition=number % 40)
    producer.flush(timeout=30)
    assert broker.record_count("t") == 4_000
    sizes = [(request.size, len(request.partitions)) for request in broker.requests_of("Produce")]
    assert max(count for _, count in sizes) > 1
    assert all(size <= 20_000 + 24 * count + 100 for size, count in sizes if count > 1), sizes


def test_one_old_broker_among_new_ones(
    start_broker: StartBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker = start_broker(brokers=2, topics={"t": 2})
    new, old = 1, 2
    for partition, node in ((0, new), (1, old)):
        if broker.leader("t", partition)[0] != node:
            broker.move_leader("t", partition, node)
    broker.play_release("0.10.2", node=old)
    producer = make(broker.node_address(new), linger_ms=60_000)
    headers = [producer.send("t", b"h", headers=[("a", None)], partition=i) for i in (0, 1)]
    plain = [producer.send("t", b"p", partition=i) for i in (0, 1)]
    producer.flush(timeout=20)
    assert (headers[0].value.offset, plain[0].value.offset) == (0, 1)
    assert isinstance(headers[1].exception, UnsupportedVersionError)
    assert "has headers" in str(headers[1].exception)
    assert isinstance(plain[1].exception, BatchRejectedError)
    assert not plain[1].exception.in_doubt
    assert broker.record_count("t", 1) == 0
    assert isinstance(producer.send("t", b"h", headers=[("a", b"")], partition=0).exception, UnsupportedVersionError)
    for future in [producer.send("t", b"%d" % i, partition=i % 2) for i in range(100)]:
        future.get(timeout=20)
    assert {record.producer_id for record in broker.records("t", 1)} == {-1}
    assert min(record.producer_id for record in broker.records("t", 0)) >= 0
    assert caplog.text.count(OFF) == 1


def test_idempotence_asked_for_and_one_old_broker(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(brokers=2, topics={"t": 2})
    broker.play_release("0.10.2", node=2)
    producer = make(broker.node_address(1), enable_idempotence=True)
    old = next(index for index in (0, 1) if broker.leader("t", index)[0] == 2)
    producer.send("t", b"x", partition=1 - old).get(timeout=20)
    with pytest.raises(UnsupportedVersionError, match=f"no idempotence: {broker.node_address(2)}"):
        producer.send("t", b"x", partition=old).get(timeout=20)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4"])
def test_a_retry_goes_to_a_broker_of_another_release(
    start_broker: StartBroker, make: Make, before: int, after: int, codec: str
) -> None:
    """Node 1 is new, node 2 old. What was framed for the one and refused is framed anew for the other."""
    broker = start_broker(brokers=2, topics={"t": 1})
    broker.play_release("0.10.2", node=2)
    if broker.leader("t", 0)[0] != before:
        broker.move_leader("t", 0, before)
    producer = make(broker.node_address(1), linger_ms=20, retry_backoff_ms=5, metadata_max_age_ms=50,
                    compression_type=codec)
    producer.send("t", b"first").get(timeout=20)
    refusals = broker.fail("Produce", 19, node=before, times=None)
    futures = [producer.send("t", b"%d" % i) for i in range(100)]
    broker.wait(lambda it: len([r for r in it.requests_of("Produce") if r.node == before]) >= 2, timeout=20)
    broker.move_leader("t", 0, after)
    refusals.cancel()
    producer.flush(timeout=20)
    assert [future.value.offset for future in futures] == list(range(1, 101))
    assert [record.value for record in broker.records("t")] == [b"first", *(b"%d" % i for i in range(100))]
    assert {(r.node, r.version > 2) for r in broker.requests_of("Produce")} == {(1, True), (2, False)}


def test_an_upgrade_brings_headers(old: EmbeddedBroker, make: Make) -> None:
    producer = make(old, reconnect_backoff_ms=5, reconnect_backoff_max_ms=20, retry_backoff_ms=5)
    producer.send("t", b"x", partition=0).get(timeout=20)
    assert producer.send("t", b"x", headers=[("a", b"1")]).failed()
    old.stop_node(1)
    old.reset_api_versions()
    old.start_node(1)
    producer.send("t", b"x", partition=0).get(timeout=20)
    assert producer.send("t", b"x", headers=[("a", b"1")], partition=0).get(timeout=20).offset == 2


@pytest.mark.parametrize("reset", [False, True])
def test_a_broker_that_hangs_up_on_our_version_of_the_first_question(
    broker: EmbeddedBroker, make: Make, reset: bool
) -> None:
    broker.cut(api="ApiVersions", when="before_append", reset=reset)
    assert make(broker).send("t", b"x").get(timeout=20).offset == 0
    assert [request.version for request in broker.requests_of("ApiVersions")] == [4, 0, 0]


def test_topics_that_must_not_be_created(old: EmbeddedBroker, make: Make) -> None:
    """A broker that could not be told so is not asked."""
    producer = make(old, allow_auto_create_topics=False)
    with pytest.raises(UnsupportedVersionError, match="allow_auto_create_topics=False needs v4"):
        producer.send("t", b"x").get(timeout=20)
    assert old.request_count("Metadata") == 0
