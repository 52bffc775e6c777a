# SPDX-License-Identifier: Apache-2.0
"""send() until flush() returns: records per second, CPU per record, resident memory."""

from collections.abc import Callable
from itertools import repeat

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.compare import usage
from pykafka_fast import KafkaProducer
from pykafka_fast.types import HeaderList

RECORDS, QUICK_RECORDS = 100_000, 2_000
TIMEOUT = 60.0


@pytest.fixture
def records(quick: bool) -> int:
    return QUICK_RECORDS if quick else RECORDS


def measure(benchmark: BenchmarkFixture, records: int, work: Callable[[], None]) -> None:
    """Time `work`, which delivers `records` records, and add what each cost."""
    rounds = 0

    def counted() -> None:
        nonlocal rounds
        work()
        rounds += 1

    before = usage.own_cpu_seconds()
    benchmark(counted)
    benchmark.extra_info["cpu_seconds_per_million"] = 1e6 * (usage.own_cpu_seconds() - before) / (rounds * records)
    benchmark.extra_info["resident_mib"] = usage.resident_bytes() / 2**20
    assert benchmark.stats is not None
    benchmark.extra_info["records_per_second"] = records / benchmark.stats.stats.median


@pytest.mark.parametrize("size", [100, 1_000])
def test_futures(benchmark: BenchmarkFixture, producer: KafkaProducer, records: int, size: int) -> None:
    value, send = b"x" * size, producer.send

    def work() -> None:
        for _ in repeat(None, records - 1):
            send("path-1", value)
        last = send("path-1", value)
        producer.flush(TIMEOUT)
        assert last.succeeded()

    measure(benchmark, records, work)


@pytest.mark.parametrize("size", [100, 1_000])
def test_callbacks(benchmark: BenchmarkFixture, producer: KafkaProducer, records: int, size: int) -> None:
    value, send = b"x" * size, producer.send
    arrived = 0
    errors = []

    def on_delivery(metadata: object, error: BaseException | None) -> None:
        nonlocal arrived
        arrived += 1
        if error is not None:
            errors.append(error)

    def work() -> None:
        before = arrived
        for _ in repeat(None, records):
            send("path-1", value, on_delivery=on_delivery)
        producer.flush(TIMEOUT)
        assert arrived == before + records
        assert errors == []

    measure(benchmark, records, work)


def test_keys_and_headers(benchmark: BenchmarkFixture, producer: KafkaProducer, records: int) -> None:
    """murmur2 over six partitions, a header each."""
    value, send = b"x" * 100, producer.send
    keys = [b"key-%d" % number for number in range(100)]
    headers: HeaderList = [("source", b"benchmark")]

    def work() -> None:
        for _ in repeat(None, records // len(keys)):
            for key in keys:
                last = send("path-6", value, key, headers)
        producer.flush(TIMEOUT)
        assert last.succeeded()

    measure(benchmark, records // len(keys) * len(keys), work)


def test_serializers_and_keywords(benchmark: BenchmarkFixture, mock_address: str, records: int) -> None:
    """The usual application: JSON made elsewhere, text keys and values, everything by keyword."""
    with KafkaProducer(
        bootstrap_servers=mock_address, key_serializer=str.encode, value_serializer=str.encode
    ) as producer:
        value, send = "x" * 100, producer.send

        def work() -> None:
            for _ in repeat(None, records):
                last = send("path-6", value=value, key="key")
            producer.flush(TIMEOUT)
            assert last.succeeded()

        measure(benchmark, records, work)


def test_embedded_broker(benchmark: BenchmarkFixture, embedded_address: str, records: int) -> None:
    """What a user's own tests can expect: the broker is Python and checks everything."""
    with KafkaProducer(bootstrap_servers=embedded_address) as producer:
        value, send = b"x" * 100, producer.send

        def work() -> None:
            for _ in repeat(None, records // 10):
                last = send("path-1", value)
            producer.flush(TIMEOUT)
            assert last.succeeded()

        measure(benchmark, records // 10, work)
