# SPDX-License-Identifier: Apache-2.0
"""Logging handlers that are in the way: slow, broken, or senders to Kafka themselves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import ClosedForcefullyError, KafkaTimeoutError
from pykafka_fast.log import LogThread, get_logger
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker, threads_of
from tools.brokers.processes import free_port, wait_for

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
    port, handler = free_port(), Sending()
    handler.producer = make(f"127.0.0.1:{port}", reconnect_backoff_ms=20, reconnect_backoff_max_ms=100, linger_ms=0)
    attach(handler)
    brokers: list[EmbeddedBroker] = []
    timer = threading.Timer(0.5, lambda: brokers.append(start_broker(topics={"t": 1}, port=port)))
    timer.start()
    began = time.monotonic()
    logging.getLogger("pykafka_fast.users").error("a line")
    assert time.monotonic() - began < 10
    name, future = handler.sent[0]
    assert name == threading.current_thread().name
    assert future.get(TIMEOUT_S).offset >= 0
    handler.producer.close(TIMEOUT_S)
    timer.join()
    assert b"a line" in [record.value for record in brokers[0].records("t")]


def test_one_that_sends_what_the_producer_says_keeps_nobody_waiting(attach: Callable[..., None], make: Make) -> None:
    """Its send() waits for metadata; what came behind the line that it sends is sent in its time."""
    handler = Sending()
    handler.producer = make(f"127.0.0.1:{free_port()}", max_block_ms=1500)
    attach(handler)
    began = time.monotonic()
    handler.producer.send("other", b"x")
    assert 1.4 < time.monotonic() - began < 4
    wait_for(lambda: bool(handler.sent), "a line", TIMEOUT_S)
    name, future = handler.sent[0]
    assert name.endswith("-log")
    assert isinstance(future.exception, KafkaTimeoutError)


class Acting(logging.Handler):
    """Does something at every line of the client's."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(logging.WARNING)
        self.act = act
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.act()
        self.count += 1


@pytest.mark.parametrize("what", ["sleep", "get", "flush", "close", "send_many", "another thread that logs"])
def test_a_retry_does_not_wait_for_a_handler(what: str, attach: Callable[..., None], broker: EmbeddedBroker,
                                             make: Make) -> None:
    """Nor for what that waits for, which may be the very record that is to be sent again."""
    producer = make(broker, linger_ms=0, delivery_timeout_ms=10_000, request_timeout_ms=5_000)
    producer.send("t", b"x", partition=0).get(TIMEOUT_S)
    release = threading.Event()
    acts: dict[str, Callable[[], object]] = {
        "sleep": lambda: release.wait(TIMEOUT_S),
        "get": lambda: producer.send("t", b"line", partition=0).get(),
        "flush": producer.flush,
        "close": producer.close,
        "send_many": lambda: producer.send_many("t", [b"x" * 1000] * 100, partition=0).get(),
        "another thread that logs": lambda: pool.submit(other.warning, "on its way").result(),
    }
    other = logging.getLogger("tests.other")
    with ThreadPoolExecutor(1) as pool:
        handler = Acting(acts[what])
        attach(handler)
        broker.fail("Produce", 7)
        began = time.monotonic()
        assert producer.send("t", b"y", partition=0).get(TIMEOUT_S).offset >= 1
        assert time.monotonic() - began < 4
        release.set()
        wait_for(lambda: handler.count > 0, "a line", TIMEOUT_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("beside_one_that_raises", [False, True])
def test_lines_without_room_are_counted(beside_one_that_raises: bool, attach: Callable[..., None]) -> None:
    release, told = threading.Event(), list[str]()
    handler = Acting(lambda: release.wait(TIMEOUT_S))
    handler.addFilter(lambda record: not told.append(record.getMessage()))  # type: ignore[func-returns-value]
    attach(handler)
    if beside_one_that_raises:
        attach(Broken())
    log_thread, logger = LogThread("a-log"), get_logger("pykafka_fast.lines")

    def say(first: int, behind: int) -> None:
        log_thread.adopt()
        for number in range(first, behind):
            logger.warning("line %d", number)

    def say_on_a_thread(*arguments: int) -> None:
        thread = threading.Thread(target=say, args=arguments)
        thread.start()
        thread.join()

    say_on_a_thread(0, 1500)
    release.set()
    wait_for(lambda: handler.count == 1001, "what there is room for", TIMEOUT_S)
    say_on_a_thread(1500, 1501)
    log_thread.close(TIMEOUT_S)
    kept = [f"line {number}" for number in range(1000)]
    assert told == [*kept, "500 lines are missing: logging handlers are too slow", "line 1500"]


class Duck:
    """What logging asks of a handler, and no more."""

    level = logging.WARNING

    def __init__(self) -> None:
        self.lines: list[str] = []

    def handle(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def raising_factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
    raise ValueError("no record")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("factory", [logging.LogRecord, raising_factory])
def test_what_else_logging_allows(factory: Callable[..., logging.LogRecord], attach: Callable[..., None],
                                  broker: EmbeddedBroker, make: Make) -> None:
    """Handlers without a lock; factories of records that count on a thread of the user's."""
    producer = make(broker, linger_ms=0)
    producer.send("t", b"x").get(TIMEOUT_S)
    duck: Any = Duck()
    attach(duck)
    broker.fail("Produce", 7)
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(factory)
    try:
        assert producer.send("t", b"y").get(TIMEOUT_S).offset >= 0
        wait_for(lambda: bool(duck.lines), "a line", TIMEOUT_S)
    finally:
        logging.setLogRecordFactory(before)
    assert "sent again" in duck.lines[0]


class Closing(logging.Handler):
    """Closes its producer when it is closed, as one does that sends lines to Kafka."""

    producer: KafkaProducer

    def close(self) -> None:
        self.producer.close()
        super().close()


def test_close_returns_while_logging_is_configured_anew(broker: EmbeddedBroker, make: Make) -> None:
    """Logging's own lock is held all the while, and taken by whoever asks for a level for the first time."""
    handler = Closing()
    handler.producer = producer = make(broker, linger_ms=0)
    producer.send("t", b"x").get(TIMEOUT_S)
    broker.hold("Produce")
    broker.fail("Produce", 7)
    future = producer.send("t", b"y")
    manager: Any = logging.root.manager
    manager._clear_cache()
    thread = threading.Timer(0.3, broker.release)
    thread.start()
    with logging._lock:  # type: ignore[attr-defined]
        handler.close()
    assert future.succeeded()


def test_a_callback_closes_while_a_handler_waits_for_it(attach: Callable[..., None], broker: EmbeddedBroker,
                                                        make: Make) -> None:
    producer, closed = make(broker, linger_ms=0), threading.Event()

    def close(*_: object) -> None:
        producer.close()  # which is worth a warning
        closed.set()

    def wait() -> None:
        if not closed.is_set():
            producer.send("t", b"x", on_delivery=close)
            assert closed.wait(TIMEOUT_S)

    handler = Acting(wait)
    attach(handler)
    logging.getLogger("pykafka_fast.users").warning("a line")
    assert handler.count >= 1


def test_a_handler_that_closes_leaves_no_thread(attach: Callable[..., None], broker: EmbeddedBroker,
                                                make: Make) -> None:
    producer = make(broker, linger_ms=0, client_id="closed-by-a-handler")
    producer.send("t", b"x").get(TIMEOUT_S)
    attach(Acting(producer.close))
    broker.fail("Produce", 7)
    assert producer.send("t", b"y").get(TIMEOUT_S).offset >= 0
    wait_for(lambda: not any("by-a-handler" in thread.name for thread in threading.enumerate()), "the end", TIMEOUT_S)


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
    port = free_port()
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
    producer = make(f"127.0.0.1:{free_port()}", max_block_ms=300, **{name: value})
    assert isinstance(producer.send("t", b"x").exception, KafkaTimeoutError)
    assert producer._lifecycle.fatal is None


def test_close_ends_everything_though_a_filter_of_its_warning_raises(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000)
    future = producer.send("t", b"x")

    def refuse(_: logging.LogRecord) -> bool:
        raise ValueError("a filter of the user's")

    logger = logging.getLogger("pykafka_fast.lifecycle")
    logger.addFilter(refuse)
    try:
        with pytest.raises(ValueError, match="a filter of the user's"):
            producer.close(timeout=0)
    finally:
        logger.removeFilter(refuse)
    assert isinstance(future.exception, ClosedForcefullyError)
    assert threads_of(producer) == []
