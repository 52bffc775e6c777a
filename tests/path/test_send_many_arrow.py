# SPDX-License-Identifier: Apache-2.0
"""send_many() with columns that come by Arrow's C data interface, and what they may do meanwhile."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests import arrow
from tests.path.conftest import Make

TIMEOUT_S = 20.0


class Reentrant(arrow.Chunks):
    """While it is read, it sends itself: it offers the same capsule again."""

    def __init__(self, producer: Any) -> None:
        rows = arrow.binary([b"a", b"b"])
        super().__init__([rows], rows.schema)
        self.producer, self.capsule, self.said, self.releases = producer, super().__arrow_c_stream__(), [], 0

    def _get_next(self, stream: int, to: int) -> int:
        assert not self.released
        with pytest.raises(ValueError) as refused:
            self.producer.send_many("t", self)
        self.said.append(str(refused.value))
        return super()._get_next(stream, to)

    def _release(self, stream: int) -> None:
        self.releases += 1
        super()._release(stream)

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self.capsule


def test_a_stream_that_is_received_while_it_is_read(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    column = Reentrant(producer)
    producer.send_many("t", column, partition=0).get(TIMEOUT_S)
    assert [record.value for record in broker.records("t", 0)] == [b"a", b"b"]
    assert len(column.said) == 2
    assert all("has been released, or was received before" in said for said in column.said)
    assert column.releases == 1
    with pytest.raises(ValueError, match="received before"):
        producer.send_many("t", column)
    gc.collect()
    assert (column.releases, arrow.unreleased()) == (1, 0)


class PolarsColumn:
    """As polars exports a Series: one of dtype Object as its objects' addresses."""

    def __init__(self, dtype: Any, exported: arrow.Exported) -> None:
        self.dtype, self.exported = dtype, arrow.chunked([exported])

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self.exported.__arrow_c_stream__()


class Object:
    """polars.Object, as far as it is seen."""

    def __repr__(self) -> str:
        return "Object"


def test_addresses_of_objects_are_not_sent(broker: EmbeddedBroker, make: Make) -> None:
    before = arrow.unreleased()
    addresses = arrow.Exported(b"w:8", [None, bytes(range(16))], 2, nulls=0)
    for producer in (make(broker), make(broker, value_serializer=bytes, key_serializer=bytes)):
        for dtype in (Object(), "Object"):
            with pytest.raises(TypeError, match=r"values: a polars column of dtype Object.*to_list\(\)"):
                producer.send_many("t", PolarsColumn(dtype, addresses))
            with pytest.raises(TypeError, match="keys: a polars column of dtype Object"):
                producer.send_many("t", [b"a", b"b"], PolarsColumn(dtype, addresses))
        producer.send_many("t", PolarsColumn("Binary", arrow.views([b"a"])), [b"k"]).get(TIMEOUT_S)
    assert [record.value for record in broker.records("t")] == [b"a"] * 2
    gc.collect()
    assert arrow.unreleased() == before


@pytest.mark.parametrize("format", [b"c", b"C", b"s", b"S", b"i", b"I", b"l", b"L"])
def test_whole_numbers_of_every_width(format: bytes, broker: EmbeddedBroker, make: Make) -> None:
    signed, size = format.islower(), {b"c": 1, b"s": 2, b"i": 4, b"l": 8}[format.lower()]
    most = min((1 << 8 * size - signed) - 1, 1_700_000_000_000)
    producer = make(broker)
    times = [0, 1, most, most // 2 + 1]
    metadata = producer.send_many("t", [b"v"] * 4, partition=arrow.numbers([3, 1, 0, 2], format, before=3),
                                  timestamps_ms=arrow.numbers(list(times), format, before=2)).get(TIMEOUT_S)
    assert [it.partition for it in metadata] == [3, 1, 0, 2]
    assert [it.timestamp for it in metadata] == times
    assert [broker.records("t", partition)[0].timestamp for partition in (3, 1, 0, 2)] == times
    if most > 2**31 - 1:
        with pytest.raises(ValueError, match="row 1: partition is 2147483648, which is out of range"):
            producer.send_many("t", [b"v"] * 2, partition=arrow.numbers([0, 1 << 31], format))
