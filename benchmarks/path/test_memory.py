# SPDX-License-Identifier: Apache-2.0
"""Memory that a long stretch of sending leaves behind."""

import gc
from itertools import repeat

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.compare import usage
from pykafka_fast import KafkaProducer

RECORDS, QUICK_RECORDS = 500_000, 20_000
ALLOWANCE = 8 * 2**20


def test_resident_memory_stays(benchmark: BenchmarkFixture, producer: KafkaProducer, quick: bool) -> None:
    """Stretch after stretch: never more than the pool and 8 MB above the start, futures dropped."""
    records = QUICK_RECORDS if quick else RECORDS
    send, value = producer.send, b"x" * 100
    gc.collect()
    before = usage.resident_bytes()

    def work() -> None:
        for _ in repeat(None, records):
            send("path-1", value)
        producer.flush(60)

    benchmark.pedantic(work, rounds=1 if quick else 5)  # type: ignore[no-untyped-call]
    gc.collect()
    grown = usage.resident_bytes() - before
    benchmark.extra_info["grown_mib"] = grown / 2**20
    assert grown <= producer.config["buffer_memory"] + ALLOWANCE
