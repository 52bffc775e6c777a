# SPDX-License-Identifier: Apache-2.0
"""The pool of slabs: taking and giving back, alone and with other threads waiting."""

import threading

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykafka_fast._core.slab import SlabPool

pytestmark = pytest.mark.benchmark(group="slab")

MIB = 2**20


@pytest.mark.parametrize("size", [4_096, 16_384, 262_144, MIB, 3 * MIB])
def test_acquire_release(benchmark: BenchmarkFixture, size: int) -> None:
    """The same class again and again; above 1 MiB there are no classes and each is mapped anew."""
    pool = SlabPool(32 * MIB)

    def work() -> None:
        pool.acquire(size).release()

    benchmark(work)
    assert pool.stats()["acquired"] == 0


def test_growing_batch(benchmark: BenchmarkFixture) -> None:
    """What a batch does that grows to 256 KiB: every class once, the smaller one given back each time."""
    pool = SlabPool(32 * MIB)
    sizes = [2**shift for shift in range(12, 19)]

    def work() -> None:
        held = pool.acquire(sizes[0])
        for size in sizes[1:]:
            larger = pool.acquire(size)
            held.release()
            held = larger
        held.release()

    benchmark(work)
    assert pool.stats()["acquired"] == 0


def test_fill_and_empty(benchmark: BenchmarkFixture) -> None:
    """The whole budget in slabs of 16 KiB."""
    pool = SlabPool(8 * MIB)

    def work() -> None:
        for slab in [pool.acquire(16_384) for _ in range(512)]:
            slab.release()

    benchmark(work)
    assert pool.stats()["available"] == 8 * MIB


def test_four_threads_wait_for_each_other(benchmark: BenchmarkFixture) -> None:
    """Room for two, four threads, 25 turns each."""
    pool = SlabPool(2 * 16_384)

    def turns() -> None:
        for _ in range(25):
            pool.acquire(16_384, timeout=30.0).release()

    def work() -> None:
        threads = [threading.Thread(target=turns) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    benchmark(work)
    assert pool.stats()["slabs_acquired"] == 0
