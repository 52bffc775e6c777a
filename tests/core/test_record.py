# SPDX-License-Identifier: Apache-2.0
import json
import random
from pathlib import Path
from typing import Any

import pytest

from pykafka_fast._core import record
from tests.reference.record_batch import Record, encode_record

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "batches.json").read_text())


@pytest.mark.parametrize("golden", GOLDEN, ids=[f"{i}-{g['origin'].split()[0]}" for i, g in enumerate(GOLDEN)])
def test_writes_and_reads_what_other_clients_write(golden: dict[str, Any]) -> None:
    data = bytes.fromhex(golden["bytes"])[61:]
    base = golden["records"][0][0]
    fields = [
        (timestamp - base, offset, raw(key), raw(value), [(name, raw(v)) for name, v in headers])
        for offset, (timestamp, key, value, headers) in enumerate(golden["records"])
    ]
    encoded = [record.encode(key, value, headers, delta, offset) for delta, offset, key, value, headers in fields]
    assert b"".join(encoded).hex() == data.hex()
    assert record.decode(data) == fields


def raw(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def test_smallest_record() -> None:
    assert record.encode(None, None).hex() == "0c000000010100"
    assert record.encode(b"", b"").hex() == "0c000000000000"


def random_bytes(draw: random.Random) -> bytes | None:
    bound = draw.choice([0, 4, 20, 70, 130, 300, 9_000])
    return None if draw.random() < 0.2 else draw.randbytes(draw.randint(0, bound))


def random_headers(draw: random.Random) -> list[tuple[str, bytes | None]]:
    count = draw.choice([0, 0, 1, 2, 70])
    return [("é" * draw.randint(0, 70), random_bytes(draw)) for _ in range(count)]


def test_agrees_with_the_reference() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(400):
        key, value, headers = random_bytes(draw), random_bytes(draw), random_headers(draw)
        delta = draw.randint(-1, 1) * draw.getrandbits(draw.randint(1, 62))
        offset = draw.getrandbits(draw.randint(1, 31))
        wanted = encode_record(Record(delta, key, value, headers), 0, offset)
        assert record.encode(key, value, headers, delta, offset) == wanted
        assert record.size(key, value, headers, delta, offset) == len(wanted)
        assert record.upper_bound(key, value, headers) >= len(wanted) + 61
        assert record.decode(wanted) == [(delta, offset, key, value, headers)]


@pytest.mark.parametrize("delta", [-(2**63), 2**63 - 1])
@pytest.mark.parametrize("offset", [0, 2**31 - 1])
def test_extreme_deltas(delta: int, offset: int) -> None:
    assert record.encode(None, b"v", (), delta, offset) == encode_record(Record(delta, None, b"v"), 0, offset)


def test_every_length_around_a_step_of_the_copy_and_of_the_varint() -> None:
    for length in [*range(600), 8_190, 8_191, 8_192, 8_193, 1_048_575, 1_048_576]:
        value = bytes(i * 7 & 0xFF for i in range(min(length, 256))) * (length // 256 + 1)
        wanted = encode_record(Record(0, None, value[:length]), 0, 0)
        assert record.encode(None, value[:length]) == wanted


def test_ten_thousand_headers() -> None:
    headers = [(f"name-{i}", b"%d" % i) for i in range(10_000)]
    assert record.encode(None, None, headers) == encode_record(Record(0, None, None, headers), 0, 0)


def test_upper_bound_is_the_documented_sum() -> None:
    assert record.upper_bound(None, None) == 61 + 21 + 1 + 1 + 1
    assert record.upper_bound(b"k1", b"hello", [("h", b"x"), ("n", None)]) == 61 + 21 + 3 + 6 + 1 + 4 + 3


@pytest.mark.parametrize(
    "data",
    ["01", "0a000000010100", "0e000000010100", "0c000000030100", "0c0000007e0100", "0c000000010102", "feffffff0f00"],
)
def test_malformed_records_are_refused(data: str) -> None:
    good = "0c000000010100"
    with pytest.raises(ValueError, match="no record at byte 7"):
        record.decode(bytes.fromhex(good + data))


def test_deltas_out_of_range() -> None:
    with pytest.raises(OverflowError):
        record.encode(None, None, (), 2**63)
    with pytest.raises(OverflowError):
        record.encode(None, None, (), 0, 2**31)
