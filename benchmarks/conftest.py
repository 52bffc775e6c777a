# SPDX-License-Identifier: Apache-2.0
"""`pytest benchmarks` measures; `pytest benchmarks --quick` shows within a minute that every benchmark works."""

from collections.abc import Iterator

import pytest

from benchmarks.compare.broker import Broker, started


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="benchmarks: as few rounds as possible")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick"):
        config.option.benchmark_min_rounds = 1
        config.option.benchmark_max_time = 0.01
        config.option.benchmark_min_time = 0.0001
        config.option.benchmark_warmup = False


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("quick"))


@pytest.fixture(scope="module")
def mock_broker() -> Iterator[Broker]:
    """librdkafka's mock cluster in its own process."""
    with started("mock") as broker:
        yield broker
