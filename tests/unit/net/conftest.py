# SPDX-License-Identifier: Apache-2.0
"""Listeners and clients that are closed after each test."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pykafka_fast.net.connection import ConnectionState
from tests.unit.net.peer import Client, Listener, Peer


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack
    gc.collect()  # a socket left open makes the test that left it fail


@pytest.fixture
def listen(stack: ExitStack) -> Callable[..., Listener]:
    """Opens ports."""

    def listen(*args: Any) -> Listener:
        listener = Listener(*args)
        stack.callback(listener.close)
        return listener

    return listen


@pytest.fixture
def connect(stack: ExitStack) -> Callable[..., tuple[Client, Peer]]:
    """Starts a connection to a listener and returns both of its ends; the client has sent ApiVersions."""

    def connect(listener: Listener, *args: Any, **kwargs: Any) -> tuple[Client, Peer]:
        client = Client([listener.address], *args, **kwargs)
        stack.callback(client.connection.close)
        client.connection.start()
        client.run_until(lambda: client.state is not ConnectionState.CONNECTING)
        peer = listener.accept()
        stack.callback(peer.close)
        return client, peer

    return connect


@pytest.fixture
def ready(listen: Callable[..., Listener], connect: Callable[..., tuple[Client, Peer]]) -> tuple[Client, Peer]:
    """Both ends of a connection that has shaken hands."""
    client, peer = connect(listen())
    peer.shake_hands()
    client.run_until(lambda: client.ready == 1)
    return client, peer
