# SPDX-License-Identifier: Apache-2.0
"""Logging handlers that are in the way: slow, broken, or senders to Kafka themselves."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker

TIMEOUT_S = 20.0


@pytest.fixture
def attach() -> Iterator[Callable[..., None]]:
    """Attaches handlers, or filters, to the client's logger."""
    logger, added = logging.getLogger("pykafka_fast"), []

    def add(handler: logging.Handler) -> None:
        added.append(handler)
        logger.addHandler(handler)

    yield add
    for handler in added:
        logger.removeHandler(handler)


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Sending(logging.Handler):
    """Sends every line."""

    producer: KafkaProducer

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sent.append((threading.current_thread().name, self.producer.send("t", record.getMessage().encode())))


def test_one_that_sends_waits_for_no_more_than_the_broker(attach: Callable[..., None], make: Make,
                                                          start_broker: StartBroker) -> None:
    """It holds its lock while it waits for metadata; the sender, which is to fetch that, has something to say."""
    port, handler = unused_port(), Sending()
    handler.producer = make(f"127.0.0.1:{port}", reconnect_backoff_ms=20, reconnect_backoff_max_ms=100, linger_ms=0)
    attach(handler)
    brokers: list[EmbeddedBroker] = []
    threading.Timer(0.5, lambda: brokers.append(start_broker(topics={"t": 1}, port=port))).start()
    began = time.monotonic()
    logging.getLogger("pykafka_fast.users").error("a line")
    assert time.monotonic() - began < 10
    name, future = handler.sent[0]
    assert name == threading.current_thread().name
    assert future.get(TIMEOUT_S).offset >= 0
    handler.producer.close(TIMEOUT_S)
    assert b"a line" in [record.value for record in brokers[0].records("t")]


def test_what_it_sends_on_the_producers_own_thread_does_not_wait(attach: Callable[..., None], make: Make) -> None:
    handler = Sending()
    handler.producer = make(f"127.0.0.1:{unused_port()}", max_block_ms=1500)
    attach(handler)
    began = time.monotonic()
    handler.producer.send("other", b"x")
    assert 1.4 < time.monotonic() - began < 4
    name, future = handler.sent[0]
    assert name.endswith("-sender")
    assert isinstance(future.exception, KafkaTimeoutError)
    assert "own thread" in str(future.exception)


def test_close_returns_though_a_handlers_lock_is_held(attach: Callable[..., None], make: Make) -> None:
    """As logging.shutdown() holds it, while a handler closes its producer."""
    handler = logging.StreamHandler()
    with EmbeddedBroker(topics={"t": 1}) as broker:
        producer = make(broker, linger_ms=0, reconnect_backoff_ms=20, reconnect_backoff_max_ms=50)
        producer.send("t", b"x").get(TIMEOUT_S)
    attach(handler)
    began = time.monotonic()
    with handler.lock:  # type: ignore[union-attr]
        producer.send("t", b"y")
        producer.close(timeout=1)
    assert time.monotonic() - began < 5


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit("no disk")

    def filter(self, record: logging.LogRecord) -> bool:
        raise ValueError("no filter")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("what", ["emit", "filter"])
def test_one_that_raises_ends_nothing(what: str, attach: Callable[..., None], make: Make,
                                      start_broker: StartBroker) -> None:
    handler: Any = Broken()
    if what == "emit":
        handler.filter = lambda record: True
    port = unused_port()
    producer = make(f"127.0.0.1:{port}", reconnect_backoff_ms=20, reconnect_backoff_max_ms=100, max_block_ms=300)
    attach(handler)
    assert isinstance(producer.send("t", b"x").exception, KafkaTimeoutError)
    start_broker(topics={"t": 1}, port=port)
    deadline = time.monotonic() + TIMEOUT_S
    while (future := producer.send("t", b"x")).exception is not None:
        assert time.monotonic() < deadline
    assert future.get(TIMEOUT_S).offset == 0


@pytest.mark.parametrize(("name", "value"), [
    ("metadata_recovery_rebootstrap_trigger_ms", float("inf")),
    ("metadata_recovery_rebootstrap_trigger_ms", 30 * 86_400_000),
    ("metadata_max_age_ms", float("inf")), ("metadata_max_age_ms", 3_000_000_000),
    ("reconnect_backoff_ms", float("inf")), ("request_timeout_ms", float("inf")),
])  # fmt: skip
def test_what_is_due_in_a_month_can_be_waited_for(name: str, value: float, make: Make) -> None:
    producer = make(f"127.0.0.1:{unused_port()}", max_block_ms=300, **{name: value})
    assert isinstance(producer.send("t", b"x").exception, KafkaTimeoutError)
    assert producer._lifecycle.fatal is None
