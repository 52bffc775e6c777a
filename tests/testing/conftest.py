# SPDX-License-Identifier: Apache-2.0
"""A broker with one topic, and connections to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests.testing.wire import Wire


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(topics={"t": 2}) as running:
        yield running


@pytest.fixture
def connect(broker: EmbeddedBroker) -> Iterator[Callable[[], Wire]]:
    wires = []

    def make() -> Wire:
        wires.append(Wire(broker.address))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()


@pytest.fixture
def wire(connect: Callable[[], Wire]) -> Wire:
    return connect()
