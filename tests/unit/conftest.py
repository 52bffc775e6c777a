# SPDX-License-Identifier: Apache-2.0
"""A scripted sender, ended after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.sending import World

CONSTANT = {
    "retry_backoff_ms": 100,
    "retry_backoff_max_ms": 100,
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": 50,
    "socket_connection_setup_timeout_ms": 10_000,
    "socket_connection_setup_timeout_max_ms": 10_000,
}
"""Delays without growth or jitter."""


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """make_world(**options) → a world whose delays neither grow nor vary."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(monkeypatch, **{**CONSTANT, **options}))
        return worlds[-1]

    yield make
    for world in worlds:
        world.dispose()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """With default options."""
    return make_world()
