# SPDX-License-Identifier: Apache-2.0
"""flush(): what was sent before it, from any thread, within its time, callbacks included."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest

from pykafka_fast.errors import KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make


def test_of_nothing_returns_at_once(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.flush()
    producer.flush(timeout=0)
    assert broker.requests == []


def test_covers_what_was_sent_before_and_ends_the_linger(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000)
    futures = [producer.send("t", b"%d" % i) for i in range(1000)]
    began = time.monotonic()
    producer.flush()
    assert time.monotonic() - began < 5
    assert all(future.is_done and future.succeeded() for future in futures)
    assert broker.record_count("t") == 1000
    assert producer.flush() is None


@pytest.mark.parametrize("timeout", [1e10, 2**70, pytest.param(10**400, id="10**400"), float("inf")])
def test_a_very_long_time_is_not_none(broker: EmbeddedBroker, make: Make, timeout: float) -> None:
    producer = make(broker)
    broker.delay("Produce", 100)
    future = producer.send("t", b"x")
    producer.flush(timeout)
    assert future.succeeded()


@pytest.mark.parametrize("timeout", ["1", b"1", [1]])
def test_a_timeout_of_a_wrong_type_says_what_is_right(broker: EmbeddedBroker, make: Make, timeout: Any) -> None:
    with pytest.raises(TypeError, match="number of seconds or None, not"):
        make(broker).flush(timeout)


@pytest.mark.parametrize("timeout", [-1, -0.001, -math.inf, math.nan])
def test_a_senseless_time_is_refused_at_once(broker: EmbeddedBroker, make: Make, timeout: float) -> None:
    producer = make(broker, linger_ms=60_000)
    future = producer.send("t", b"x")
    with pytest.raises(ValueError, match="timeout"):
        producer.flush(timeout)
    assert not future.is_done  # it was not even made to leave
    producer.flush(10)


def test_covers_what_other_threads_sent(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000)
    futures: list[Any] = []

    def send() -> None:
        futures.extend([producer.send("t", b"x", partition=i % 4) for i in range(500)])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.flush(timeout=10)
    assert len(futures) == 2000
    assert all(future.succeeded() for future in futures)


def test_does_not_wait_for_what_is_sent_after_it(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"first", partition=0).get(timeout=10)
    broker.hold("Produce")
    producer.send("t", b"before", partition=0)
    done = threading.Event()

    def flush() -> None:
        producer.flush(timeout=10)
        done.set()

    thread = threading.Thread(target=flush)
    thread.start()
    broker.wait_for_requests("Produce", 2)
    stop = threading.Event()

    def keep_sending() -> None:
        while not stop.is_set():
            producer.send("t", b"after", partition=1)
            time.sleep(0.001)

    sender = threading.Thread(target=keep_sending)
    sender.start()
    broker.release()
    try:
        assert done.wait(5), "flush() waits for records sent after it"
    finally:
        stop.set()
        sender.join()
        thread.join()


def test_timeout_is_for_the_whole_call(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"x").get(timeout=10)
    broker.hold("Produce")
    futures = [producer.send("t", b"x", partition=partition) for partition in range(4)]
    began = time.monotonic()
    with pytest.raises(KafkaTimeoutError, match=r"4 records \(4 of 't'\)"):
        producer.flush(timeout=2.5)
    assert 2.45 < time.monotonic() - began < 8  # and not that for each partition
    assert not any(future.is_done for future in futures)
    broker.release()
    producer.flush(timeout=10)
    assert all(future.succeeded() for future in futures)


def test_returns_after_the_callbacks_have_run(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    ran = []

    def slow(metadata: Any, error: Any) -> None:
        time.sleep(0.02)
        ran.append(metadata.offset)

    for _ in range(20):
        producer.send("t", b"x", partition=0, on_delivery=slow)
    producer.flush()
    assert ran == list(range(20))


def test_times_out_while_a_callback_is_slow(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    go_on = threading.Event()
    producer.send("t", b"x", on_delivery=lambda *_: go_on.wait(10))
    with pytest.raises(KafkaTimeoutError):
        producer.flush(timeout=0.3)
    go_on.set()
    producer.flush(timeout=10)


def test_in_a_callback_waits_for_outcomes(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000)
    seen: list[Any] = []

    def again(metadata: Any, error: Any) -> None:
        future = producer.send("t", b"second", partition=1, on_delivery=lambda *_: seen.append("second"))
        producer.flush(timeout=10)
        seen.append((future.is_done, future.succeeded(), list(seen)))

    producer.send("t", b"first", partition=0, on_delivery=again)
    producer.flush(timeout=10)
    producer.flush(timeout=10)
    assert seen == [(True, True, []), "second"]


def test_records_that_fail_do_not_raise(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    broker.fail("Produce", 87, times=None)
    future = producer.send("t", b"x")
    producer.flush(timeout=10)
    assert future.failed()


def test_waits_for_retries(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, retry_backoff_ms=50)
    broker.fail("Produce", 19, times=3)
    future = producer.send("t", b"x")
    producer.flush(timeout=10)
    assert future.succeeded()


def test_waits_for_the_pieces_of_a_split(start_broker: Any, make: Make) -> None:
    broker = start_broker(topics={"t": 1}, max_message_bytes=2000)
    producer = make(broker, linger_ms=60_000)
    futures = [producer.send("t", bytes(100)) for _ in range(100)]
    producer.flush(timeout=10)
    assert all(future.succeeded() for future in futures)
    assert [future.value.offset for future in futures] == list(range(100))


def test_from_many_threads_at_once(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                future = producer.send("t", b"x")
                producer.flush(timeout=10)
                assert future.succeeded()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert broker.record_count("t") == 160


def test_ends_with_the_linger_as_it_was(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=60_000)
    producer.send("t", b"x")
    producer.flush(timeout=10)
    later = producer.send("t", b"x", partition=1)
    producer.send("t", b"x", partition=0).get(timeout=10)  # the wire has been round
    assert not later.is_done
    assert later.get(timeout=10).offset >= 0


def test_what_a_wait_has_seen_done_is_not_lost(broker: EmbeddedBroker, make: Make) -> None:
    """Nor told as lost by close(0) or by a flush() that runs out of time."""
    producer = make(broker, linger_ms=0)
    for _ in range(3000):  # what is looked for is a moment within the wire thread
        producer.send("t", b"x", partition=0).get(10)
        assert producer._lifecycle.accumulator.lost() == {}
