# SPDX-License-Identifier: Apache-2.0
"""The checksum: every implementation this machine has, and the C extension crc32c for comparison."""

import crc32c as reference
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykafka_fast._core.crc32c import crc32c, implementations

pytestmark = pytest.mark.benchmark(group="crc32c")

SIZES = [100, 1_024, 16_384, 262_144]


def throughput(benchmark: BenchmarkFixture, size: int) -> None:
    assert benchmark.stats is not None
    benchmark.extra_info["gb_per_second"] = size / benchmark.stats.stats.median / 1e9


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("implementation", implementations())
def test_crc32c(benchmark: BenchmarkFixture, implementation: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    assert benchmark(crc32c, data, 0, implementation) == reference.crc32c(data)
    throughput(benchmark, size)


@pytest.mark.parametrize("size", SIZES)
def test_reference(benchmark: BenchmarkFixture, size: int) -> None:
    data = b"x" * size
    assert benchmark(reference.crc32c, data) == crc32c(data)
    throughput(benchmark, size)
