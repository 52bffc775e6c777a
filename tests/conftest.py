# SPDX-License-Identifier: Apache-2.0
"""Fixtures for every suite."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools import readback


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def read_back() -> Callable[..., list[readback.Record]]:
    """read_back(bootstrap, topic) → every record there, read by confluent-kafka's consumer."""
    return readback.read_topic
