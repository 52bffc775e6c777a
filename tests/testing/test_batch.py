# SPDX-License-Identifier: Apache-2.0
"""What the broker says to batches made by hand: one field wrong at a time."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests.testing.wire import Batch, Wire, nullable, plain_batch, record, sized, varint

CORRUPT, UNKNOWN_TOPIC, TOO_LARGE, TIMESTAMP, TXN_STATE = 2, 3, 10, 32, 48
UNKNOWN_PRODUCER, UNSUPPORTED_CODEC, INVALID = 59, 76, 87

# The example of the specification: two records, headers, a null key, encoded by Apache Kafka.
WORKED = bytes.fromhex(
    "0000000000000000 0000004f ffffffff 02 861dcddb 0000 00000001 0000018bcfe56800 0000018bcfe56805"
    "ffffffffffffffff ffff ffffffff 00000002 14000000046b3104763100 24000a02010a68656c6c6f0402680278026e01"
)


def test_a_right_batch(broker: EmbeddedBroker, wire: Wire) -> None:
    outcome = wire.produce(plain_batch(3))
    assert (outcome.error, outcome.offset, outcome.append_time, outcome.start_offset) == (0, 0, -1, 0)
    assert wire.produce(plain_batch(2)).offset == 3
    assert [(r.offset, r.value) for r in broker.records("t", 0)] == [
        (0, b"value 0"),
        (1, b"value 1"),
        (2, b"value 2"),
        (3, b"value 0"),
        (4, b"value 1"),
    ]
    assert broker.violations == []


def test_a_batch_encoded_by_java(broker: EmbeddedBroker, wire: Wire) -> None:
    assert wire.produce(WORKED).error == 0
    first, second = broker.records("t", 0)
    assert (first.key, first.value, first.timestamp, first.headers) == (b"k1", b"v1", 1700000000000, ())
    assert (second.key, second.value, second.timestamp) == (None, b"hello", 1700000000005)
    assert second.headers == (("h", b"x"), ("n", None))
    assert (second.partition, second.offset, second.producer_id, second.sequence) == (0, 1, -1, -1)
    assert broker.violations == []


HEADERS: dict[str, tuple[Callable[[Batch], bytes], int, str]] = {
    "bad checksum": (lambda b: b.but(crc=1).encode(), CORRUPT, "CRC-32C"),
    "length too large": (lambda b: b.but(length=1000).encode(), CORRUPT, "runs past"),
    "length too small": (lambda b: b.but(length=20).encode(), CORRUPT, "less than a batch header"),
    "negative length": (lambda b: b.but(length=-5).encode(), CORRUPT, "less than a batch header"),
    "two batches": (lambda b: b.encode() * 2, INVALID, "follow the batch"),
    "a byte behind": (lambda b: b.encode() + b"\0", INVALID, "follow the batch"),
    "no batch": (lambda b: b"", INVALID, "no record batch"),
    "cut header": (lambda b: b.encode()[:40], CORRUPT, "cannot hold a batch header"),
    "cut records": (lambda b: b.encode()[:-1], CORRUPT, "runs past"),
    "magic 1": (lambda b: b.but(magic=1).encode(), INVALID, "format v1"),
    "magic 3": (lambda b: b.but(magic=3).encode(), INVALID, "format v3"),
    "base offset": (lambda b: b.but(base_offset=7).encode(), INVALID, "base offset 7"),
    "unknown codec": (lambda b: b.but(attributes=5).encode(), UNSUPPORTED_CODEC, "codec 5"),
    "log append time": (lambda b: b.but(attributes=8).encode(), TIMESTAMP, "log append time"),
    "transactional": (lambda b: b.but(attributes=16).encode(), TXN_STATE, "transaction"),
    "control batch": (lambda b: b.but(attributes=32).encode(), INVALID, "control batch"),
    "delete horizon": (lambda b: b.but(attributes=64).encode(), INVALID, "attributes 0x0040"),
    "unused attribute": (lambda b: b.but(attributes=-0x8000).encode(), INVALID, "attributes 0x8000"),
    "no records": (lambda b: b.but(records=b"", count=0).encode(), INVALID, "record count 0"),
    "negative count": (lambda b: b.but(count=-1, last_offset_delta=0).encode(), INVALID, "record count -1"),
    "last delta": (lambda b: b.but(last_offset_delta=3).encode(), INVALID, "last offset delta 3 with 2"),
    "count too high": (lambda b: b.but(count=3).encode(), INVALID, "record 2"),
    "count too low": (lambda b: b.but(count=1).encode(), INVALID, "bytes follow the last of 1 records"),
    "negative timestamp": (lambda b: b.but(base_timestamp=-2, max_timestamp=0).encode(), TIMESTAMP, "-2"),
    "max before base": (lambda b: b.but(max_timestamp=5).encode(), INVALID, "less than base"),
    "half an identity": (lambda b: b.but(producer_id=1000).encode(), INVALID, "all or none"),
    "negative sequence": (
        lambda b: b.but(producer_id=1000, producer_epoch=0, base_sequence=-1).encode(),
        INVALID,
        "all or none",
    ),
    "strange producer id": (
        lambda b: b.but(producer_id=5, producer_epoch=0, base_sequence=0).encode(),
        UNKNOWN_PRODUCER,
        "producer id 5 was never given",
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_wrong_header(broker: EmbeddedBroker, wire: Wire, name: str) -> None:
    make, error, words = HEADERS[name]
    assert wire.init_producer_id() == 1000
    outcome = wire.produce(make(plain_batch(2)))
    assert (outcome.error, outcome.offset) == (error, -1)
    (violation,) = broker.violations
    assert words in violation
    assert "t-0" in violation
    assert broker.records("t") == []
    assert wire.produce(plain_batch(1)).offset == 0


def fields(middle: bytes) -> bytes:
    return sized(b"\0\0" + middle)


RECORDS: dict[str, tuple[bytes, str]] = {
    "attributes": (sized(b"\1" + record(0)[2:]), "attributes 1"),
    "offset delta": (record(5), "offset delta 5, must be 0"),
    "negative offset delta": (record(-1), "offset delta -1"),
    "size too large": (varint(100) + record(0)[1:], "size 100"),
    "size too small": (varint(3) + record(0)[1:], "size"),
    "negative size": (varint(-4) + record(0)[1:], "size -4"),
    "key size": (fields(varint(0) + varint(100) + b"k" + nullable(b"v") + varint(0)), "key size 100"),
    "negative key size": (fields(varint(0) + varint(-2) + nullable(b"v") + varint(0)), "key size -2"),
    "value size": (fields(varint(0) + varint(-1) + varint(50) + b"v" + varint(0)), "value size 50"),
    "negative value size": (fields(varint(0) + varint(-1) + varint(-3) + varint(0)), "value size -3"),
    "header count": (fields(varint(0) + varint(-1) + varint(-1) + varint(9)), "header count 9"),
    "negative header count": (fields(varint(0) + varint(-1) + varint(-1) + varint(-1)), "header count -1"),
    "null header key": (record(0, headers=[(None, b"x")]), "header 0 is null"),  # type: ignore[list-item]
    "header key not UTF-8": (record(0, headers=[(b"\xff", b"x")]), "not UTF-8"),
    "long varint": (b"\xff\xff\xff\xff\xff\x01" + record(0)[1:], "more than 32 bits"),
    "bytes left in the record": (sized(record(0)[1:] + b"\0"), "its size says"),
    "cut short": (record(0)[:-3], "record 0"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_wrong_record(broker: EmbeddedBroker, wire: Wire, name: str) -> None:
    data, words = RECORDS[name]
    outcome = wire.produce(Batch(data, 1))
    assert outcome.error == INVALID
    assert [index for index, _ in outcome.record_errors] == [0]
    (violation,) = broker.violations
    assert words in violation
    assert broker.records("t") == []


def test_a_wrong_record_is_named(broker: EmbeddedBroker, wire: Wire) -> None:
    data = b"".join([record(0), record(1), sized(b"\7" + record(2)[2:]), record(3)])
    outcome = wire.produce(Batch(data, 4))
    assert outcome.record_errors == [(2, "attributes 7, must be 0")]
    assert outcome.message == "record 2: attributes 7, must be 0"


def test_lazy_checks_find_the_same(wire: Wire) -> None:
    with EmbeddedBroker(topics={"t": 1}, strict_records=False) as lazy:
        client = Wire(lazy.address)
        assert client.produce(plain_batch(2)).error == 0
        assert client.produce(Batch(record(5), 1)).error == 0
        assert client.produce(plain_batch(1, crc=0)).error == CORRUPT
        client.close()
        crc, offset = lazy.violations
        assert "CRC-32C" in crc
        assert "t-0: batch at offset 2: record 0: offset delta 5" in offset
        assert len(lazy.violations) == 2


def test_max_timestamp_is_compared_with_the_records(broker: EmbeddedBroker, wire: Wire) -> None:
    right = Batch(record(0, delta=0) + record(1, delta=500) + record(2, delta=-20), 3)
    assert wire.produce(right.but(max_timestamp=right.base_timestamp + 500)).error == 0
    assert broker.violations == []
    assert wire.produce(right.but(max_timestamp=right.base_timestamp + 501)).error == 0
    (violation,) = broker.violations
    assert "max timestamp 1700000000501 in the header, 1700000000500 among the records" in violation


def test_future_timestamps(broker: EmbeddedBroker, wire: Wire) -> None:
    soon, late = (time.time_ns() // 1_000_000 + hours * 3_600_000 for hours in (0.9, 1.1))
    assert wire.produce(plain_batch(1, base_timestamp=int(soon))).error == 0
    assert wire.produce(plain_batch(1, base_timestamp=int(late))).error == TIMESTAMP
    assert broker.violations == []


def test_no_timestamp(broker: EmbeddedBroker, wire: Wire) -> None:
    assert wire.produce(plain_batch(2, base_timestamp=-1)).error == 0
    assert [r.timestamp for r in broker.records("t")] == [-1, -1]
    assert broker.violations == []


def test_message_too_large(wire: Wire, broker: EmbeddedBroker) -> None:
    batch = plain_batch(3)
    size = len(batch.encode())
    broker.configure_topic("t", max_message_bytes=size - 1)
    assert wire.produce(batch).error == TOO_LARGE
    assert broker.violations == []
    broker.configure_topic("t", max_message_bytes=size)
    assert wire.produce(batch).error == 0


def test_gzip_is_read(broker: EmbeddedBroker, wire: Wire) -> None:
    plain = plain_batch(3)
    assert wire.produce(plain.but(records=gzip.compress(plain.records), attributes=1)).error == 0
    assert [r.value for r in broker.records("t")] == [b"value 0", b"value 1", b"value 2"]
    assert broker.violations == []
    assert wire.produce(plain.but(records=b"not gzip", attributes=1)).error == CORRUPT


def test_log_append_time(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.configure_topic("t", log_append_time=True)
    before = time.time_ns() // 1_000_000
    outcome = wire.produce(plain_batch(2))
    assert before <= outcome.append_time <= time.time_ns() // 1_000_000
    assert [r.timestamp for r in broker.records("t")] == [outcome.append_time] * 2
    (batch,) = broker.batches("t", 0)
    assert batch.header.is_log_append_time
    assert broker.violations == []


def test_unknown_topic_and_partition(broker: EmbeddedBroker, wire: Wire) -> None:
    assert wire.produce(plain_batch(), topic="nowhere").error == UNKNOWN_TOPIC
    assert wire.produce(plain_batch(), partition=2).error == UNKNOWN_TOPIC
    assert wire.produce(plain_batch(), partition=-1).error == UNKNOWN_TOPIC
    assert broker.violations == []
