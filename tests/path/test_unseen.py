# SPDX-License-Identifier: Apache-2.0
"""A failed record whose future nobody looked at is said once per producer, topic and error class."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make

AUTHORIZATION, TOO_OLD = 29, 32
WAIT_S = 20.0


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "nobody looked at" in record.getMessage()]


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def failed_record(producer: KafkaProducer, **more: Any) -> Any:
    """The future of a record that has failed, looked at by nobody."""
    future = producer.send("t", b"x", partition=0, **more)
    producer.flush(WAIT_S)
    assert future.is_done
    return future


def test_dropped_after_it_failed(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(broker)
    broker.fail("Produce", AUTHORIZATION, times=None)
    future = failed_record(producer)
    assert said(caplog) == []
    del future
    (message,) = said(caplog)
    assert "'t'" in message
    assert "TopicAuthorizationFailedError" in message
    for _ in range(3):
        failed_record(producer)
    assert len(said(caplog)) == 1


def test_dropped_by_an_exception(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """It is on its way when the future goes, and stays what it is, whatever the log raises."""
    producer = make(broker)
    broker.fail("Produce", AUTHORIZATION, times=None)
    with pytest.raises(KeyError, match="of the caller"):
        print([failed_record(producer), {}["of the caller"]])
    assert len(said(caplog)) == 1


def test_a_log_that_raises(
    broker: EmbeddedBroker, make: Make, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit("of the log")

    raising, told = Raising(logging.ERROR), list[Any]()
    logger = logging.getLogger("pykafka_fast")
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_value))
    producer = make(broker)
    broker.fail("Produce", AUTHORIZATION, times=None)
    logger.addHandler(raising)
    request.addfinalizer(lambda: logger.removeHandler(raising))
    with pytest.raises(KeyError, match="of the caller"):
        print([failed_record(producer), {}["of the caller"]])
    wait_for(lambda: told)
    assert str(told) == "[SystemExit('of the log')]"


def test_dropped_before_it_failed(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Fire and forget: nobody holds the future when the outcome is known."""
    producer = make(broker, linger_ms=60_000)
    broker.fail("Produce", AUTHORIZATION, times=None)
    for _ in range(3):
        for partition in range(4):
            producer.send("t", b"x", partition=partition)
        producer.flush(WAIT_S)
    wait_for(lambda: said(caplog))
    broker.clear()
    assert producer.send("t", b"x").get(WAIT_S)  # all that came before was dealt with by then
    assert len(said(caplog)) == 1
    assert caplog.records[-1].levelno >= logging.ERROR


def test_expired(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(broker, delivery_timeout_ms=300, request_timeout_ms=300, linger_ms=0)
    producer.partitions_for("t")
    broker.hold("Produce")
    producer.send("t", b"x")
    wait_for(lambda: said(caplog))
    assert "Expiring 1 record(s)" in said(caplog)[0]


def test_refused_before_the_append(start_broker: Any, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    broker = start_broker(topics={"t": 1, "u": 1})
    producers = [make(broker, max_request_size=1000) for _ in range(2)]
    for producer in producers:
        for _ in range(3):
            producer.send("t", bytes(2000))
            producer.send("u", bytes(2000))
            producer.send("no topic", b"x")
    classes = ["MessageSizeTooLargeError", "MessageSizeTooLargeError", "InvalidTopicError"] * 2
    assert [name for name, message in zip(classes, said(caplog), strict=True) if name in message] == classes


def test_once_for_each_producer_topic_and_class(
    start_broker: Any, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker = start_broker(topics={"t": 1, "u": 1})
    expected = 0
    for producer in [make(broker), make(broker)]:
        for code, new in ((AUTHORIZATION, 2), (TOO_OLD, 2), (AUTHORIZATION, 0)):
            expected += new
            broker.fail("Produce", code, times=None)
            for topic in ("t", "u", "t"):
                producer.send(topic, b"x")
                producer.flush(WAIT_S)
            broker.clear()
            wait_for(lambda expected=expected: len(said(caplog)) >= expected)
    producer.send("t", b"x").get(WAIT_S)
    assert len(said(caplog)) == 8


LOOKS: dict[str, Callable[[Any], object]] = {
    "exception": lambda future: future.exception,
    "failed": lambda future: future.failed(),
    "succeeded": lambda future: future.succeeded(),
    "retriable": lambda future: future.retriable(),
    "errback": lambda future: future.add_errback(lambda error: None),
    "both": lambda future: future.add_both(lambda outcome: None),
}


@pytest.mark.parametrize("look", LOOKS)
def test_who_looked_knows(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture, look: str) -> None:
    producer = make(broker)
    broker.fail("Produce", AUTHORIZATION, times=None)
    future = failed_record(producer)
    LOOKS[look](future)
    del future
    gc.collect()
    assert said(caplog) == []


def test_who_waited_or_is_called_knows(
    broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    producer = make(broker)
    broker.fail("Produce", AUTHORIZATION, times=None)

    async def wait() -> None:
        with pytest.raises(KafkaError):
            await producer.send("t", b"x")

    asyncio.run(wait())
    with pytest.raises(KafkaError):
        producer.send("t", b"x").get(WAIT_S)
    failed_record(producer, on_delivery=lambda metadata, error: None)
    producer.send("t", b"x").add_errback(lambda error: None)
    producer.send("t", bytes(2 << 20), on_delivery=lambda metadata, error: None)
    producer.flush(WAIT_S)
    broker.clear()
    producer.send("t", b"x").get(WAIT_S)
    gc.collect()
    assert said(caplog) == []


def test_looking_before_the_outcome_is_not_enough(
    broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    producer = make(broker, linger_ms=60_000)
    broker.fail("Produce", AUTHORIZATION, times=None)
    future = producer.send("t", b"x", partition=0)
    assert not future.failed()
    assert future.exception is None
    producer.flush(WAIT_S)
    del future
    assert len(said(caplog)) == 1


def test_pieces_of_a_split(start_broker: Any, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    broker = start_broker(topics={"t": 1}, max_message_bytes=2000)
    producer = make(broker, linger_ms=60_000, retry_backoff_ms=5)
    kept = [producer.send("t", bytes(100)) for _ in range(10)]
    for _ in range(90):
        producer.send("t", bytes(100))
    producer.flush(WAIT_S)
    assert all(future.succeeded() for future in kept)
    assert said(caplog) == []
    broker.configure_topic("t", max_message_bytes=50)
    producer.send("t", bytes(100))
    producer.send("t", bytes(100))
    producer.flush(WAIT_S)
    wait_for(lambda: said(caplog))
    assert "MessageSizeTooLargeError" in said(caplog)[0]


def test_what_close_drops_is_said_by_close(
    broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    producer = make(broker, linger_ms=60_000)
    kept = [producer.send("t", b"x") for _ in range(3)]
    producer.send("t", b"x")
    producer.close(0)
    del kept
    assert said(caplog) == []
    assert "4 records (4 of 't')" in caplog.text


def test_futures_that_outlive_their_producer(
    broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker.fail("Produce", AUTHORIZATION, times=None)
    with KafkaProducer(bootstrap_servers=broker.address) as producer:
        futures = [producer.send("t", b"x") for _ in range(5)]
    del producer
    gc.collect()
    assert said(caplog) == []
    futures.clear()
    assert len(said(caplog)) == 1


def test_many_threads_drop_many(broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(broker, linger_ms=0)
    broker.fail("Produce", AUTHORIZATION, times=None)

    def work() -> None:
        with contextlib.suppress(KafkaError):
            for _ in range(500):
                producer.send("t", b"x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.flush(WAIT_S)
    wait_for(lambda: said(caplog))
    broker.clear()
    producer.send("t", b"x").get(WAIT_S)
    assert len(said(caplog)) == 1
