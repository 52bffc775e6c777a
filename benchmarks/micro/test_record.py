# SPDX-License-Identifier: Apache-2.0
"""One record of message format v2: its size, its bytes, and back."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykafka_fast._core import record

pytestmark = pytest.mark.benchmark(group="record")

HEADERS = [("source", b"benchmark"), ("attempt", None)]
SHAPES = {
    "10 B": (None, b"x" * 10, ()),
    "100 B": (None, b"x" * 100, ()),
    "100 B, key": (b"k" * 16, b"x" * 100, ()),
    "100 B, key, headers": (b"k" * 16, b"x" * 100, HEADERS),
    "1000 B": (None, b"x" * 1_000, ()),
    "100 KB": (None, b"x" * 100_000, ()),
}
Shape = tuple[bytes | None, bytes, list[tuple[str, bytes | None]]]


@pytest.fixture(params=SHAPES.values(), ids=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> Shape:
    chosen: Shape = request.param
    return chosen


def test_size(benchmark: BenchmarkFixture, shape: Shape) -> None:
    assert benchmark(record.size, *shape) == len(record.encode(*shape))


def test_encode(benchmark: BenchmarkFixture, shape: Shape) -> None:
    encoded = benchmark(record.encode, *shape, 5, 7)
    assert record.decode(encoded) == [(5, 7, shape[0], shape[1], list(shape[2]))]


def test_decode(benchmark: BenchmarkFixture, shape: Shape) -> None:
    """A thousand of them, one behind the other (ten of the largest)."""
    count = 10 if len(shape[1]) > 10_000 else 1_000
    encoded = b"".join(record.encode(*shape, 0, number) for number in range(count))
    decoded = benchmark(record.decode, encoded)
    assert [offset for _, offset, *_ in decoded] == list(range(count))
