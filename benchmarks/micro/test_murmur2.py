# SPDX-License-Identifier: Apache-2.0
"""The hash of keys, with kafka-python's in Python for comparison."""

import pytest
from kafka.partitioner.default import murmur2 as reference  # type: ignore[import-untyped]
from pytest_benchmark.fixture import BenchmarkFixture

from pykafka_fast._core.murmur2 import murmur2

pytestmark = pytest.mark.benchmark(group="murmur2")

SIZES = [4, 16, 36, 256]


@pytest.mark.parametrize("size", SIZES)
def test_murmur2(benchmark: BenchmarkFixture, size: int) -> None:
    key = bytes(range(size % 256)) or b"k" * size
    assert benchmark(murmur2, key) & 0xFFFFFFFF == reference(key) & 0xFFFFFFFF


@pytest.mark.parametrize("size", SIZES)
def test_reference(benchmark: BenchmarkFixture, size: int) -> None:
    key = b"k" * size
    assert benchmark(reference, key) & 0xFFFFFFFF == murmur2(key) & 0xFFFFFFFF
