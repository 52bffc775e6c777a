# SPDX-License-Identifier: Apache-2.0
"""Message sets, formats v0 and v1: what kafka-python's and aiokafka's decoders and zlib make of ours."""

import random
import zlib
from collections.abc import Iterable, Iterator

import pytest
from aiokafka.record.legacy_records import _LegacyRecordBatchPy as AiokafkaBatch
from kafka.record.legacy_records import LegacyRecordBatch, LegacyRecordBatchBuilder

from pykafka_fast._core import record
from pykafka_fast._core.codec import CODECS
from pykafka_fast.errors import IllegalArgumentError, KafkaProtocolError, UnsupportedVersionError
from pykafka_fast.testing.message_set import read_message_set

Fields = tuple[int, bytes | None, bytes | None]


def converted(fields: list[Fields], magic: int) -> bytes:
    base = fields[0][0]
    records = [record.encode(key, value, (), time - base, i) for i, (time, key, value) in enumerate(fields)]
    return record.message_set(b"".join(records), len(fields), base, magic)


def wrapped(fields: list[Fields], magic: int, codec: str, level: int = 0) -> bytes:
    newest = max(time for time, _, _ in fields)
    return record.wrap(converted(fields, magic), len(fields), newest, magic, CODECS[codec], level)


def messages(data: bytes) -> Iterator[bytes]:
    """Each message of a set alone, as the decoders want uncompressed ones; its checksum and size are looked at here."""
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position + 8 : position + 12], "big")
        message = data[position : position + 12 + size]
        assert zlib.crc32(message[16:]) == int.from_bytes(message[12:16], "big")
        yield message
        position += 12 + size
    assert position == len(data)


def some(draw: random.Random) -> list[Fields]:
    def text() -> bytes | None:
        bound = draw.choice([0, 1, 20, 130, 9_000])
        return None if draw.random() < 0.2 else draw.randbytes(draw.randint(0, bound))

    now = draw.choice([0, 1_700_000_000_000, 2**61])
    return [(max(0, now + draw.randint(-5000, 5000)), text(), text()) for _ in range(draw.choice([1, 2, 50]))]


@pytest.mark.parametrize("magic", [0, 1])
def test_read_by_other_clients(magic: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(60):
        fields = some(draw)
        data = converted(fields, magic)
        for number, (message, (time, key, value)) in enumerate(zip(messages(data), fields, strict=True)):
            for decoder in (LegacyRecordBatch, AiokafkaBatch):
                batch = decoder(bytearray(message), magic)
                assert batch.validate_crc()
                (read,) = batch
                assert (read.offset, read.key, read.value) == (number, key, value)
                assert read.timestamp == (time if magic else None)
        assert [(it.timestamp, it.key, it.value) for it in read_message_set(data, magic).messages] == [
            (time if magic else -1, key, value) for time, key, value in fields
        ]


@pytest.mark.parametrize("magic", [0, 1])
def test_what_kafka_python_writes(magic: int) -> None:
    fields: list[Fields] = [(1_700_000_000_000, b"key", b"value"), (1_700_000_000_007, None, b""), (5, b"", None)]
    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=1 << 20)
    for number, (time, key, value) in enumerate(fields):
        assert builder.append(number, time if magic else None, key, value) is not None
    assert converted(fields, magic) == bytes(builder.build())


@pytest.mark.parametrize(
    ("decoder", "codec", "magic"),
    [
        (decoder, codec, magic)
        for decoder in (LegacyRecordBatch, AiokafkaBatch)
        for codec in ("gzip", "snappy", "lz4")
        for magic in (0, 1)
        if (decoder, codec, magic) != (AiokafkaBatch, "lz4", 0)  # which aiokafka refuses to read
    ],
)
def test_a_wrapper_read_by_other_clients(decoder: type, codec: str, magic: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(30):
        fields = some(draw)
        level = {"gzip": draw.randint(1, 9), "snappy": 0, "lz4": draw.randint(0, 12)}[codec]
        data = wrapped(fields, magic, codec, level)
        assert list(messages(data)) == [data]
        batch = decoder(bytearray(data), magic)
        assert batch.validate_crc()
        assert [(it.offset, it.timestamp, it.key, it.value) for it in batch] == [
            (number, time if magic else None, key, value) for number, (time, key, value) in enumerate(fields)
        ]


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize(("codec", "levels"), [("gzip", range(1, 10)), ("snappy", [0]), ("lz4", range(13))])
def test_a_wrapper_of_every_codec_and_level(magic: int, codec: str, levels: Iterable[int]) -> None:
    fields: list[Fields] = [(1_700_000_000_000 + i % 7, b"key %d" % i, b"value" * i) for i in range(300)]
    for level in levels:
        data = wrapped(fields, magic, codec, level)
        assert len(data) < len(converted(fields, magic)) / 2
        assert int.from_bytes(data[:8], "big") == 299
        assert data[16:18] == bytes([magic, CODECS[codec]])
        assert magic == 0 or int.from_bytes(data[18:26], "big") == 1_700_000_000_006
        read = read_message_set(data, magic)
        assert read.codec == CODECS[codec]
        assert [(it.timestamp, it.key, it.value) for it in read.messages] == [
            (time if magic else -1, key, value) for time, key, value in fields
        ]


@pytest.mark.parametrize(("codec", "level", "error"), [
    ("zstd", 3, UnsupportedVersionError), ("none", 0, UnsupportedVersionError), ("gzip", 10, IllegalArgumentError),
    ("gzip", 0, IllegalArgumentError), ("lz4", 13, IllegalArgumentError), ("snappy", 1, IllegalArgumentError),
])  # fmt: skip
def test_what_cannot_be_wrapped(codec: str, level: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        wrapped([(5, b"", None)], 1, codec, level)


def test_headers_are_never_left_out() -> None:
    data = record.encode(b"k", b"v") + record.encode(b"k", b"v", [("h", None)], 0, 1)
    for magic in (0, 1):
        with pytest.raises(UnsupportedVersionError):
            record.message_set(data, 2, 0, magic)


def test_records_that_are_none() -> None:
    data = record.encode(b"k", b"v")
    for count, records in ((2, data), (1, data + b"\0"), (1, data[:-1])):
        with pytest.raises(KafkaProtocolError):
            record.message_set(records, count, 0, 1)
