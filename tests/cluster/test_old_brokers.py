# SPDX-License-Identifier: Apache-2.0
"""Earlier releases of real Kafka: negotiated without options, and read back by clients nobody here wrote."""

import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import kafka as kafka_python
import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnsupportedCompressionTypeError,
    UnsupportedVersionError,
)
from pykafka_fast.protocol.api import ApiKey
from pykafka_fast.protocol.api_versions import ApiVersionsRequest, ApiVersionsResponse
from pykafka_fast.protocol.header import encode_request
from pykafka_fast.testing.releases import RELEASES
from pykafka_fast.types import HeaderList
from tests.ledger import Ledger, check
from tools.brokers.old import OldKafka, old_kafka
from tools.readback import Record

NewProducer = Callable[..., KafkaProducer]
NewTopic = Callable[..., str]
ReadBack = Callable[[str, str], list[Record]]

RUN = {"0.10.2.2": "0.10.2", "2.8.2": "2.8", "3.9.1": "3.9"}
# A node of 3.9 that was killed is fenced for a long time.
RESTART = {"0.10.2.2": "kill", "2.8.2": "kill", "3.9.1": "stop"}
START_MS = 1_600_000_000_000
OFF = "Idempotence is turned off"
KINDS: list[tuple[bytes | None, bytes | None]] = [
    (b"key", b"value"), (None, b"value"), (b"key", None), (b"", None), (b"", b""), (None, b""),
    ("ключ".encode(), "värde 値 🙂".encode()), (bytes(range(256)), bytes(range(256)) * 5),
    (b"k" * 9_000, b"v" * 20_000), (b"big", b"x" * 900_000),
]  # fmt: skip


@pytest.fixture(scope="module", params=RUN)
def old(request: pytest.FixtureRequest) -> Iterator[OldKafka]:
    """One node of each release, one after the other."""
    with old_kafka(request.param) as cluster:
        yield cluster


@pytest.fixture
def has_headers(old: OldKafka) -> bool:
    """The release has record batches, and with them headers and idempotence."""
    return not old.release.startswith("0.")


def test_what_the_release_says_of_itself(old: OldKafka) -> None:
    """The embedded broker's table of versions is that of the real ones."""
    host, port = old.bootstrap.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(encode_request(ApiKey.API_VERSIONS, 0, 1, "test", ApiVersionsRequest().encode(0)))
        size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
        answer = ApiVersionsResponse.decode(connection.recv(size, socket.MSG_WAITALL), 0, 4)
    known = {api: versions for api, versions in answer.api_versions.items() if api in list(ApiKey)}
    assert known == RELEASES[RUN[old.release]]


def test_every_kind_of_record(
    old: OldKafka, has_headers: bool, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    topic = new_topic(old)
    producer = new_producer(old.bootstrap)
    headers: HeaderList = [("a", b"1"), ("b", None), ("é", b"")] if has_headers else []
    times = [START_MS + (number * 7919) % 1000 for number in range(len(KINDS))]
    futures = [
        producer.send(topic, value, key=key, headers=headers, partition=0, timestamp_ms=timestamp)
        for (key, value), timestamp in zip(KINDS, times, strict=True)
    ]
    producer.flush(timeout=30)
    assert [future.get(timeout=0).offset for future in futures] == list(range(len(KINDS)))
    sent = [(key, value, headers, timestamp) for (key, value), timestamp in zip(KINDS, times, strict=True)]
    read = read_back(old.bootstrap, topic)
    assert [(it.key, it.value, it.headers, it.timestamp_ms) for it in read] == sent
    assert read_by_kafka_python(old.bootstrap, topic, len(KINDS)) == sent
    assert caplog.text.count(OFF) == (0 if has_headers else 1)


def read_by_kafka_python(bootstrap: str, topic: str, count: int) -> list[tuple[object, ...]]:
    consumer = kafka_python.KafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, group_id=None,
        max_partition_fetch_bytes=4 << 20, check_crcs=True,
    )  # fmt: skip
    read: list[tuple[object, ...]] = []
    try:
        consumer.assign([kafka_python.TopicPartition(topic, 0)])
        deadline = time.monotonic() + 30
        while len(read) < count and time.monotonic() < deadline:
            for records in consumer.poll(500).values():
                read += [(it.key, it.value, list(it.headers), it.timestamp) for it in records]
    finally:
        consumer.close()
    return read


def test_what_the_broker_wrote(
    old: OldKafka, has_headers: bool, new_topic: NewTopic, new_producer: NewProducer
) -> None:
    """The log itself, read by Kafka's DumpLogSegments."""
    topic = new_topic(old)
    producer = new_producer(old.bootstrap)
    for number in range(50):
        producer.send(topic, b"%d" % number, key=b"k")
    producer.flush(timeout=30)
    files = ",".join(map(str, old.segments(1, topic)))
    said = old.run_tool("kafka.tools.DumpLogSegments", "--deep-iteration", "--files", files)
    lines = [line for line in said.splitlines() if " isvalid: " in line]
    assert {found[1] for line in lines if (found := re.search(r" magic: (\d)", line))} == {"2" if has_headers else "1"}
    assert all(" isvalid: true" in line for line in lines)
    producer_ids = re.findall(r"producerId: (-?\d+)", said)
    assert all(int(it) >= 0 for it in producer_ids)
    assert bool(producer_ids) == has_headers
    assert len(lines) >= (1 if has_headers else 50)


def records_to_compress(number: int) -> list[tuple[bytes | None, bytes | None, HeaderList, int]]:
    """Alike, but for one that no codec makes smaller."""
    made: list[tuple[bytes | None, bytes | None, HeaderList, int]] = [
        (b"key %d" % i if i % 3 else None, b"record %d of codec %d, one of many alike; " % (i, number) * (i % 9), [],
         START_MS + i % 17)
        for i in range(300)
    ]  # fmt: skip
    return [*made, (None, random.Random(number).randbytes(3000), [], START_MS)]


def test_every_codec(
    old: OldKafka, has_headers: bool, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """All of them one after the other in one partition; before 0.11 as message sets in a wrapper."""
    topic = new_topic(old)
    codecs: list[tuple[str, int | None]] = [("gzip", None), ("snappy", None), ("lz4", None), ("lz4", 12), ("gzip", 1)]
    codecs += [("zstd", None), ("zstd", -7), ("zstd", 19)] if has_headers else []
    sent = []
    for number, (codec, level) in enumerate(codecs):
        made = records_to_compress(number)
        producer = new_producer(old.bootstrap, compression_type=codec, compression_level=level, linger_ms=100)
        futures = [producer.send(topic, value, key=key, timestamp_ms=timestamp) for key, value, _, timestamp in made]
        producer.flush(timeout=30)
        assert [future.get(timeout=0).offset for future in futures] == list(range(len(sent), len(sent) + len(made)))
        metrics = producer.metrics()
        assert metrics is not None
        plain = sum(len(value or b"") for _, value, _, _ in made)
        assert metrics["producer-metrics"]["outgoing-byte-total"] < plain * 0.5
        sent += made
    read = read_back(old.bootstrap, topic)
    assert [(it.key, it.value, it.headers, it.timestamp_ms) for it in read] == sent
    assert read_by_kafka_python(old.bootstrap, topic, len(sent)) == sent
    said = old.run_tool("kafka.tools.DumpLogSegments", "--files", ",".join(map(str, old.segments(1, topic))))
    found = [name.lower().removesuffix("compressioncodec") for name in re.findall(r"compresscodec: (\w+)", said)]
    assert list(dict.fromkeys(found)) == list(dict.fromkeys(codec for codec, _ in codecs))


def test_zstd(old: OldKafka, has_headers: bool, new_topic: NewTopic, new_producer: NewProducer) -> None:
    topic, other = new_topic(old), new_topic(old)
    producer = new_producer(old.bootstrap, compression_by_topic={topic: "zstd"})
    future, plain = producer.send(topic, b"z" * 1000), producer.send(other, b"p" * 1000)
    assert plain.get(timeout=20).offset == 0
    if has_headers:
        assert future.get(timeout=20).offset == 0
    else:
        refused = pytest.raises(UnsupportedCompressionTypeError, match=r"needs Kafka 2\.1.*another compression_type")
        with refused as failed:
            future.get(timeout=20)
        assert not failed.value.in_doubt


@pytest.mark.parametrize(("acks", "idempotent"), [(0, False), (1, False), ("all", False), ("all", None)])
def test_acks(
    old: OldKafka, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack, acks: int | str,
    idempotent: bool | None,
) -> None:  # fmt: skip
    topic = new_topic(old, 3)
    options = {} if idempotent is None else {"enable_idempotence": idempotent}
    producer = new_producer(old.bootstrap, acks=acks, **options)
    ledger = Ledger(producer, topic)
    delivered: list[int] = []
    for number in range(10_000):
        ledger.send(key=b"%d" % (number % 50), padding=number % 200)
    last = producer.send(topic, b"", partition=0, on_delivery=lambda it, error: delivered.append(it.offset))
    ledger.entries.append((b"", last))
    producer.flush(timeout=30)
    assert delivered == [last.get(timeout=0).offset]
    deadline = time.monotonic() + 30
    read = read_back(old.bootstrap, topic)
    while len(read) < 10_001 and acks == 0 and time.monotonic() < deadline:
        read = read_back(old.bootstrap, topic)
    assert not ledger.failures()
    assert all((future.get(0).offset < 0) == (acks == 0) for _, future in ledger.entries)
    check(read, ledger)


def test_headers_and_idempotence(
    old: OldKafka, has_headers: bool, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    topic = new_topic(old)
    with_headers = new_producer(old.bootstrap).send(topic, b"h", headers=[("a", b"b")])
    idempotent = new_producer(old.bootstrap, enable_idempotence=True).send(topic, b"i")
    if has_headers:
        assert sorted([with_headers.get(timeout=20).offset, idempotent.get(timeout=20).offset]) == [0, 1]
    else:
        with pytest.raises(UnsupportedVersionError, match=r"has headers.*need Kafka 0\.11"):
            with_headers.get(timeout=20)
        with pytest.raises(UnsupportedVersionError, match=rf"no idempotence: {old.bootstrap} "):
            idempotent.get(timeout=20)
    assert {record.value for record in read_back(old.bootstrap, topic)} == ({b"h", b"i"} if has_headers else set())


@pytest.mark.parametrize(
    ("option", "error"), [("max.message.bytes", MessageSizeTooLargeError), ("segment.bytes", RecordListTooLargeError)]
)
def test_records_too_large_for_the_broker(
    old: OldKafka, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack, option: str,
    error: type[KafkaError],
) -> None:  # fmt: skip
    """Only those that are; what travelled with them arrives."""
    topic = new_topic(old, config={option: "3000"})
    producer = new_producer(old.bootstrap, linger_ms=50)
    small = [producer.send(topic, b"%04d" % number + bytes(500)) for number in range(30)]
    large = producer.send(topic, bytes(5000))
    small += [producer.send(topic, b"%04d" % number + bytes(500)) for number in range(30, 60)]
    producer.flush(timeout=30)
    assert isinstance(large.exception, error)
    assert [future.get(timeout=0).offset for future in small] == list(range(60))
    values = [record.value[:4] for record in read_back(old.bootstrap, topic) if record.value]
    assert values == [b"%04d" % number for number in range(60)]


@pytest.mark.timeout(300)
def test_a_restart_under_way(
    old: OldKafka, has_headers: bool, new_topic: NewTopic, new_producer: NewProducer, read_back: ReadBack
) -> None:
    """Nothing is lost. Without idempotence a record may come twice."""
    topic = new_topic(old, 3)
    producer = new_producer(old.bootstrap, retry_backoff_ms=20, delivery_timeout_ms=100_000)
    ledger = Ledger(producer, topic)
    for number in range(3_000):
        ledger.send(partition=number % 3)
    producer.flush(timeout=60)

    down = threading.Event()

    def restart() -> None:
        getattr(old, RESTART[old.release])(1)
        down.set()
        old.restart(1)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        number = 0
        while not down.is_set() or number < 3_000:
            ledger.send(partition=number % 3, padding=50)
            number += 1
            time.sleep(0.0005)
    finally:
        thread.join(120)
    producer.flush(timeout=90)
    assert not ledger.failures()
    check(read_back(old.bootstrap, topic), ledger, once=has_headers)


def test_topics_in_the_oldest_format(new_producer: NewProducer, new_topic: NewTopic, old: OldKafka) -> None:
    """A broker down-converts for a topic that is kept in an older format (3.9 has no such topics any more)."""
    topic = new_topic(old, config={"message.format.version": "0.9.0"})
    # Without idempotence and with more than one request in flight, a leader that is new lets batches overtake.
    producer = new_producer(old.bootstrap, enable_idempotence=False, max_in_flight_requests_per_connection=1)
    futures = [producer.send(topic, b"%d" % number, key=None, timestamp_ms=START_MS) for number in range(100)]
    assert [future.get(timeout=20).offset for future in futures] == list(range(100))
    read = read_by_kafka_python(old.bootstrap, topic, 100)
    assert [value for _, value, _, _ in read] == [b"%d" % number for number in range(100)]
