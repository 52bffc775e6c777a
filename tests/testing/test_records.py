# SPDX-License-Identifier: Apache-2.0
"""The quick walk over records against the slow one, and against records other clients encoded."""

from __future__ import annotations

import random

import pytest
from kafka.record import MemoryRecordsBuilder

from pykafka_fast.testing import records as module
from pykafka_fast.testing.batch import HEADER_SIZE, BatchError, read_header
from tests.testing.wire import record

ROUNDS = 3000


def slow_walk(data: bytes, count: int) -> int:
    """What check_records must say, record by record."""
    position, highest = 0, -(1 << 63)
    for index in range(count):
        position, delta = module._walk_record(data, position, index)
        highest = max(highest, delta)
    if position != len(data):
        raise module._bad(count, "left over")
    return highest


def verdict(walk, data: bytes, count: int) -> object:
    try:
        return walk(data, count)
    except BatchError as error:
        return error.code, sorted(error.record_errors)


def random_records(dice: random.Random) -> tuple[bytes, int]:
    count = dice.choice((1, 2, 63, 64, 65, 130))
    parts = []
    for index in range(count):
        key = None if dice.random() < 0.3 else dice.randbytes(dice.choice((0, 1, 62, 63, 64, 65, 8000)))
        value = None if dice.random() < 0.2 else dice.randbytes(dice.choice((0, 5, 63, 64, 200, 8191, 8192, 9000)))
        headers = [(b"name", dice.randbytes(3)), (b"", None)] if dice.random() < 0.1 else []
        delta = dice.choice((0, 1, 63, 64, 8191, 8192, -1, -500, 1 << 40))
        parts.append(record(index, value, key, delta, headers))
    return b"".join(parts), count


def test_right_records_of_all_sizes() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(30):
        data, count = random_records(dice)
        assert module.check_records(data, count) == slow_walk(data, count)


def test_damaged_records_get_the_same_verdict() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    plain = b"".join(record(index, b"v" * (index % 90), b"k" * (index % 3), index) for index in range(70))
    refused = 0
    for _ in range(ROUNDS):
        data = bytearray(plain)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.choice((0, 1, 2, 3, 127, 128, 129, 255, dice.randrange(256)))
        fast, slow = verdict(module.check_records, bytes(data), 70), verdict(slow_walk, bytes(data), 70)
        assert fast == slow
        refused += isinstance(fast, tuple)
    assert refused > ROUNDS // 10


def test_every_cut_is_refused() -> None:
    plain = b"".join(record(index, b"value", b"key", 5, [(b"h", b"x")]) for index in range(3))
    for size in range(len(plain)):
        with pytest.raises(BatchError):
            module.check_records(plain[:size], 3)


def test_offset_deltas_of_one_two_and_three_bytes() -> None:
    count = 9000
    data = [record(index, b"") for index in range(count)]
    assert module.check_records(b"".join(data), count) == 0
    for wrong in (0, 63, 64, 65, 8191, 8192, 8999):
        bad = list(data)
        bad[wrong] = record(wrong + 1, b"")
        with pytest.raises(BatchError, match=f"record {wrong}: offset delta {wrong + 1}"):
            module.check_records(b"".join(bad), count)


def test_records_of_kafka_python() -> None:
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20)
    sent = []
    for index in range(200):
        key = None if index % 3 else b"k%d" % index
        value = None if index % 7 == 0 else b"v" * index
        headers = [("name", b"data"), ("empty", b"")] if index % 5 == 0 else []
        builder.append(1_700_000_000_000 + index % 10, key, value, headers)
        sent.append((1_700_000_000_000 + index % 10, key, value, tuple(headers)))
    builder.close()
    data = builder.buffer()
    header = read_header(data)
    assert module.check_records(data[HEADER_SIZE:], header.record_count) == header.max_timestamp - header.base_timestamp
    read = [(r.timestamp, r.key, r.value, r.headers) for r in module.decode_records(0, header, data)]
    assert read == sent
