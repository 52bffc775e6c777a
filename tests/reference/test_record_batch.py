# SPDX-License-Identifier: Apache-2.0
"""The oracle itself, against bytes that other clients made."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.reference import varint
from tests.reference.record_batch import Batch, Record, crc32c, decode_batch, encode_batch

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "batches.json").read_text())


def as_batch(golden: dict[str, Any]) -> Batch:
    def raw(text: str | None) -> bytes | None:
        return None if text is None else bytes.fromhex(text)

    records = [
        Record(timestamp, raw(key), raw(value), [(name, raw(data)) for name, data in headers])
        for timestamp, key, value, headers in golden["records"]
    ]
    return Batch(records, 0, -1, golden["attributes"], *golden["producer"])


@pytest.mark.parametrize("golden", GOLDEN, ids=[f"{i}-{g['origin'].split()[0]}" for i, g in enumerate(GOLDEN)])
def test_batches_of_other_clients(golden: dict[str, Any]) -> None:
    data = bytes.fromhex(golden["bytes"])
    leader_epoch = int.from_bytes(data[12:16], "big", signed=True)  # clients differ here: brokers do not read it
    batch = as_batch(golden)._replace(leader_epoch=leader_epoch)
    assert decode_batch(data) == batch
    assert encode_batch(batch).hex() == data.hex()


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (63, "7e"),
        (-64, "7f"),
        (64, "8001"),
        (300, "d804"),
        (8192, "808001"),
        (2**31 - 1, "feffffff0f"),
        (-(2**31), "ffffffff0f"),
        (1_700_000_000_000, "80a0abfef962"),
    ],
)
def test_documented_varints(number: int, data: str) -> None:
    assert varint.encode(number).hex() == data
    assert varint.decode(bytes.fromhex(data) + b"x") == (number, b"x")


@pytest.mark.parametrize(
    ("data", "crc"), [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)]
)
def test_published_checksums(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc
