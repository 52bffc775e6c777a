# SPDX-License-Identifier: Apache-2.0
"""Primitive types: against kafka-python's codecs, at their limits, and with bytes that lie."""

from __future__ import annotations

import io
import os
import random
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from kafka.protocol.schemas.fields import codecs as peer

from pykafka_fast.errors import KafkaProtocolError
from pykafka_fast.protocol.primitives import Reader, Writer

UUID = bytes(range(16))

# method, values, how kafka-python writes the same
INTEGERS = [
    ("int8", peer.Int8, 8),
    ("int16", peer.Int16, 16),
    ("int32", peer.Int32, 32),
    ("int64", peer.Int64, 64),
]


def written(method: str, value: Any) -> bytes:
    writer = Writer()
    getattr(writer, method)(value)
    return writer.getvalue()


def read(method: str, data: bytes) -> Any:
    reader = Reader(data, 0, "test")
    value = getattr(reader, method)()
    assert reader.remaining == 0
    return value


@pytest.mark.parametrize(("method", "codec", "bits"), INTEGERS)
def test_integers_are_those_of_kafka_python(method: str, codec: Any, bits: int) -> None:
    for value in (0, 1, -1, (1 << bits - 1) - 1, -(1 << bits - 1)):
        assert written(method, value) == codec.encode(value)
        assert read(method, codec.encode(value)) == value
    for value in (1 << bits - 1, -(1 << bits - 1) - 1):
        with pytest.raises(ValueError, match="does not fit"):
            written(method, value)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 16_383, 16_384, (1 << 28) - 1, 1 << 28, (1 << 31) - 1])
def test_unsigned_varint_is_that_of_kafka_python(value: int) -> None:
    assert written("unsigned_varint", value) == peer.UnsignedVarInt32.encode(value)
    assert peer.UnsignedVarInt32.decode(io.BytesIO(written("unsigned_varint", value))) == value
    assert read("unsigned_varint", written("unsigned_varint", value)) == value


# Values and bytes of the protocol-buffers documentation for zigzag, and the limits.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (-2, "03"),
        (63, "7e"),
        (64, "8001"),
        (-64, "7f"),
        (-65, "8101"),
        (2147483647, "feffffff0f"),
        (-2147483648, "ffffffff0f"),
    ],
)
def test_signed_varints(value: int, expected: str) -> None:
    for method in ("varint", "varlong"):
        assert written(method, value).hex() == expected
        assert read(method, bytes.fromhex(expected)) == value


@pytest.mark.parametrize("value", [(1 << 63) - 1, -(1 << 63)])
def test_varlong_limits(value: int) -> None:
    assert len(written("varlong", value)) == 10
    assert read("varlong", written("varlong", value)) == value


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("varint", 1 << 31),
        ("varint", -(1 << 31) - 1),
        ("varlong", 1 << 63),
        ("unsigned_varint", -1),
        ("unsigned_varint", 1 << 32),
        ("uuid", b"short"),
        ("string", "x" * 32_768),
        ("uint32", -1),
    ],
)
def test_what_does_not_fit_is_refused(method: str, value: Any) -> None:
    with pytest.raises(ValueError):
        written(method, value)


@pytest.mark.parametrize("text", ["", "topic", "größe-✓-𝄞", "x" * 32_767])
def test_strings(text: str) -> None:
    data = text.encode()
    assert written("string", text) == struct.pack(">h", len(data)) + data if len(data) < 32_768 else True
    for method in ("string", "nullable_string", "compact_string", "compact_nullable_string"):
        if len(data) < 32_768:
            assert read(method, written(method, text)) == text


@pytest.mark.parametrize("method", ["nullable_string", "compact_nullable_string"])
def test_null_strings(method: str) -> None:
    assert read(method, written(method, None)) is None


@pytest.mark.parametrize("method", ["nullable_bytes", "compact_nullable_bytes"])
def test_null_bytes(method: str) -> None:
    assert read(method, written(method, None)) is None
    assert read(method, written(method, b"\0\xff")) == b"\0\xff"


@pytest.mark.parametrize("method", ["bytes_", "compact_bytes"])
@pytest.mark.parametrize("value", [b"", b"x", bytes(range(256)) * 300])
def test_bytes(method: str, value: bytes) -> None:
    assert read(method, written(method, value)) == value


def test_the_rest() -> None:
    for method, value in [("bool_", True), ("bool_", False), ("float64", -2.5), ("uuid", UUID), ("uint32", 0xFFFFFFFF)]:
        assert read(method, written(method, value)) == value
    assert written("float64", 1.0) == struct.pack(">d", 1.0)
    writer = Writer()
    writer.tags({3: b"abc", 0: b""})
    assert writer.getvalue() == bytes.fromhex("02 00 00 03 03") + b"abc"
    assert Reader(writer.getvalue()).tags() == {0: b"", 3: b"abc"}
    writer.empty_tags()
    assert len(writer) == 9


@pytest.mark.parametrize("method", ["array_length", "compact_array_length"])
def test_array_lengths(method: str) -> None:
    assert read(method, written(method, None)) == -1
    assert read(method, written(method, 0)) == 0
    reader = Reader(written(method, 3) + b"abc")
    assert getattr(reader, method)() == 3
    with pytest.raises(KafkaProtocolError, match="4 elements announced, 3 bytes remain at offset 0"):
        getattr(Reader(written(method, 4) + b"abc"), method)()
    with pytest.raises(KafkaProtocolError):
        getattr(Reader(written(method, 3) + b"abc"), method)(2)


HOSTILE: list[tuple[str, bytes]] = [
    ("bytes_", struct.pack(">i", 0x7FFFFFFF)),
    ("bytes_", struct.pack(">i", -1)),
    ("bytes_", struct.pack(">i", -2)),
    ("nullable_bytes", struct.pack(">i", -2)),
    ("string", struct.pack(">h", 0x7FFF)),
    ("string", struct.pack(">h", -1)),
    ("nullable_string", struct.pack(">h", -2)),
    ("compact_bytes", b"\xff\xff\xff\xff\x0f"),
    ("compact_bytes", b"\0"),
    ("compact_string", b"\0"),
    ("compact_string", b"\xff\xff\xff\xff\x07"),
    ("array_length", struct.pack(">i", 0x7FFFFFFF)),
    ("array_length", struct.pack(">i", -2)),
    ("compact_array_length", b"\xff\xff\xff\xff\x0f"),
    ("tags", b"\xff\xff\xff\xff\x0f"),
    ("tags", b"\x01\x00\x7f"),
    ("unsigned_varint", b"\xff\xff\xff\xff\xff\x01"),
    ("unsigned_varint", b"\xff\xff\xff\xff\x1f"),
    ("unsigned_varint", b"\x80"),
    ("varint", b"\x80\x80\x80\x80\x80\x80"),
    ("varlong", b"\xff" * 9 + b"\x02"),
    ("varlong", b"\x80" * 11),
    ("string", b"\0\x02\xff\xfe"),
    ("int64", b"\0" * 7),
    ("uuid", b"\0" * 15),
    ("int8", b""),
]


@pytest.mark.parametrize(("method", "data"), HOSTILE)
def test_hostile_bytes_are_refused_where_they_are_and_nothing_is_allocated(method: str, data: bytes) -> None:
    reader = Reader(b"??" + data, 2, "Some response v3")
    tracemalloc.start()
    with pytest.raises(KafkaProtocolError, match=r"Some response v3.*at offset \d+ of \d+ bytes"):
        getattr(reader, method)()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_random_values_in_random_order_come_back() -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    makers: dict[str, Callable[[], Any]] = {
        "int8": lambda: rng.randrange(-128, 128),
        "int64": lambda: rng.randrange(-(1 << 63), 1 << 63),
        "unsigned_varint": lambda: rng.getrandbits(rng.randrange(1, 33)),
        "varint": lambda: rng.getrandbits(31) - (1 << 30),
        "varlong": lambda: rng.getrandbits(63) - (1 << 62),
        "compact_nullable_string": lambda: rng.choice([None, "ä" * rng.randrange(200)]),
        "nullable_bytes": lambda: rng.choice([None, rng.randbytes(rng.randrange(200))]),
        "bool_": lambda: rng.random() < 0.5,
    }
    for _ in range(50):
        items = [(method, makers[method]()) for method in rng.choices(list(makers), k=30)]
        writer = Writer()
        for method, value in items:
            getattr(writer, method)(value)
        reader = Reader(memoryview(writer.getvalue()))
        assert [getattr(reader, method)() for method, _ in items] == [value for _, value in items]
        assert reader.remaining == 0
