# SPDX-License-Identifier: Apache-2.0
"""Compressed batches and message sets: what other clients sent is read, what is not right is refused."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator

import lz4.frame
import pytest
import zstandard
from kafka import codec as kafka_python

from pykafka_fast.testing import EmbeddedBroker
from tests.reference.golden import GOLDEN, Golden
from tests.reference.message_set import decode_message_set
from tests.testing.wire import Wire, plain_batch

CORRUPT, INVALID, UNSUPPORTED_CODEC = 2, 87, 76
COMPRESS = {
    1: gzip.compress,
    2: kafka_python.snappy_encode,
    3: kafka_python.lz4_encode,
    4: zstandard.compress,
}


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """The golden batches have producer ids from another cluster."""
    with EmbeddedBroker(topics={"t": 2}, strangers=True) as running:
        yield running


@pytest.fixture
def old(broker: EmbeddedBroker) -> EmbeddedBroker:
    broker.play_release("0.10.2")
    return broker


def check_stored(broker: EmbeddedBroker, golden: Golden) -> None:
    read = broker.records("t", 0)
    assert [(record.key, record.value) for record in read] == [(key, value) for _, key, value in golden.records]
    for record, (time, _, _) in zip(read, golden.records, strict=True):
        assert time in (record.timestamp, None)
    (batch,) = broker.batches("t", 0)
    assert batch.header.codec == golden.codec
    assert len(batch.data) < 6000
    assert broker.violations == []


@pytest.mark.parametrize("golden", [golden for golden in GOLDEN if golden.magic == 2], ids=str)
def test_batches_of_other_clients(broker: EmbeddedBroker, wire: Wire, golden: Golden) -> None:
    assert wire.produce(golden.data).error == 0
    check_stored(broker, golden)


@pytest.mark.parametrize("golden", [golden for golden in GOLDEN if golden.magic < 2], ids=str)
def test_message_sets_of_other_clients(old: EmbeddedBroker, wire: Wire, golden: Golden) -> None:
    assert wire.produce_set(golden.data, golden.magic) == 0
    check_stored(old, golden)


@pytest.mark.parametrize("codec", COMPRESS)
def test_bad_batches(broker: EmbeddedBroker, wire: Wire, codec: int) -> None:
    plain = plain_batch(3)
    packed = COMPRESS[codec](plain.records)
    good = plain.but(attributes=codec, records=packed)
    for records in (b"", b"neither this nor that", packed[:-1], packed + b"\0", packed[:9] + packed[10:]):
        assert wire.produce(good.but(records=records)).error == CORRUPT, records
    for inner in (plain.records[:-1], plain.records + b"\0"):
        assert wire.produce(good.but(records=COMPRESS[codec](inner))).error == INVALID
    assert len(broker.violations) == 7
    assert wire.produce(good).error == 0
    assert broker.record_count("t") == 3


@pytest.mark.parametrize("codec", COMPRESS)
def test_a_bomb(broker: EmbeddedBroker, wire: Wire, codec: int) -> None:
    """As much as a client could send as one batch, and more than anybody wants to have in memory."""
    broker.configure_topic("t", max_message_bytes=1 << 30)
    bomb = COMPRESS[codec](bytes((1 << 27) + 1)) if codec in (1, 4) else many_chunks(codec)
    assert wire.produce(plain_batch(1).but(attributes=codec, records=bomb)).error == CORRUPT
    assert "more than" in broker.violations[0]


def many_chunks(codec: int) -> bytes:
    if codec == 2:
        stream = bytes(kafka_python.snappy_encode(bytes(1 << 20), xerial_blocksize=1 << 20))
        return stream[:16] + stream[16:] * 129
    frame = bytes(lz4.frame.compress(bytes(1 << 22), block_linked=False, store_size=False, block_size=7))
    header, block, end = frame[:7], frame[7:-4], frame[-4:]
    return header + block * 33 + end


def test_found_later() -> None:
    with EmbeddedBroker(topics={"t": 1}, strict_records=False) as lazy:
        other = Wire(lazy.address)
        assert other.produce(plain_batch(3).but(attributes=3, records=b"not lz4")).error == 0
        other.close()
        (violation,) = lazy.violations
        assert "are not of codec 3" in violation


def message(
    value: bytes | None, *, offset: int = 0, magic: int = 1, attributes: int = 0, key: bytes | None = None
) -> bytes:
    def field(data: bytes | None) -> bytes:
        return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data

    time = struct.pack(">q", 1_700_000_000_000) if magic else b""
    body = struct.pack(">bb", magic, attributes) + time + field(key) + field(value)
    return struct.pack(">qiI", offset, len(body) + 4, zlib.crc32(body)) + body


def inner(count: int = 2, magic: int = 1) -> bytes:
    return b"".join(message(b"value", offset=index, magic=magic) for index in range(count))


def wrapper(data: bytes | None, codec: int = 1, **fields: object) -> bytes:
    value = None if data is None else COMPRESS[codec](data)
    return message(value, attributes=codec, **fields)  # type: ignore[arg-type]


BAD_SETS = {
    "a wrapper in a wrapper": (wrapper(wrapper(inner())), CORRUPT),
    "messages of another format": (wrapper(inner(magic=0)), CORRUPT),
    "a key": (wrapper(inner(), key=b"k"), CORRUPT),
    "no value": (wrapper(None), CORRUPT),
    "nothing inside": (wrapper(b""), INVALID),
    "half a message inside": (wrapper(inner()[:-1]), CORRUPT),
    "offsets that leap": (wrapper(message(b"a") + message(b"b", offset=2)), CORRUPT),
    "an offset of its own": (wrapper(inner(3), offset=1), CORRUPT),
    "not alone": (wrapper(inner()) + message(b"x", offset=1), INVALID),
    "not the first": (message(b"x") + wrapper(inner(), offset=1), INVALID),
    "cut off": (message(gzip.compress(inner())[:-1], attributes=1), CORRUPT),
    "of another codec": (message(gzip.compress(inner()), attributes=2), CORRUPT),
    "zstd": (wrapper(inner(), 4), UNSUPPORTED_CODEC),
    "the broker's time": (message(gzip.compress(inner()), attributes=9), CORRUPT),
}


@pytest.mark.parametrize("what", BAD_SETS)
def test_bad_message_sets(old: EmbeddedBroker, wire: Wire, what: str) -> None:
    data, error = BAD_SETS[what]
    assert wire.produce_set(data, 1) == error
    assert len(old.violations) == 1
    assert old.record_count("t") == 0
    for good in (wrapper(inner(3)), wrapper(inner(3), offset=2)):
        assert wire.produce_set(good, 1) == 0
    assert old.record_count("t") == 6


def test_the_header_checksum_of_lz4(old: EmbeddedBroker, wire: Wire) -> None:
    """Brokers before 0.10 know their own alone; those after it take that of the frame format in format v1."""
    for magic in (0, 1):
        inside = inner(2, magic)
        of_the_time = message(kafka_python.lz4_encode_old_kafka(inside), magic=magic, attributes=3)
        of_the_format = message(lz4.frame.compress(inside, block_linked=False), magic=magic, attributes=3)
        assert wire.produce_set(of_the_time, magic) == (CORRUPT if magic else 0)
        assert wire.produce_set(of_the_format, magic) == (0 if magic else CORRUPT)
    assert old.record_count("t") == 4


def test_the_sets_are_what_we_mean() -> None:
    assert len(decode_message_set(wrapper(inner(3))).messages) == 3
