# SPDX-License-Identifier: Apache-2.0
"""librdkafka's mock cluster, a fresh one per test."""

from collections.abc import Iterator

import pytest

from tools.brokers.mock import MockCluster


@pytest.fixture
def mock() -> Iterator[MockCluster]:
    """One mock broker."""
    with MockCluster(1) as cluster:
        yield cluster


@pytest.fixture
def mock3() -> Iterator[MockCluster]:
    """Three mock brokers."""
    with MockCluster(3) as cluster:
        yield cluster
