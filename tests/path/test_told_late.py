# SPDX-License-Identifier: Apache-2.0
"""Callbacks and awaits attached in the very moment in which a batch is done: told once, and only at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer, RangeFuture
from pykafka_fast._core.future import set_starter
from pykafka_fast.errors import InvalidRecordError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tools.brokers.processes import wait_for

TIMEOUT_S = 20.0
INVALID_RECORD, NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE = 87, 19, 10


def between(producer: KafkaProducer, action: Callable[[], object]) -> None:
    """Run it once, when a listener has found a batch to wait for and is about to wait."""
    accumulator, delivery = producer._lifecycle.accumulator, producer._lifecycle.delivery

    def start() -> None:
        set_starter(accumulator, delivery.ensure_started)
        action()
        delivery.ensure_started()

    set_starter(accumulator, start)


def half_done(start_broker: StartBroker, make: Make) -> tuple[EmbeddedBroker, RangeFuture]:
    """Two rows on two nodes: the first is done in that moment, the second fails after release()."""
    broker = start_broker(topics={"t": 2}, brokers=2)
    producer = make(broker, linger_ms=0)
    for partition in range(2):
        producer.send("t", b"x", partition=partition).get(TIMEOUT_S)
    first, second = (broker.leader("t", partition)[0] for partition in range(2))
    broker.hold("Produce", node=first)
    broker.hold("Produce", node=second)
    broker.fail("Produce", INVALID_RECORD, node=second)
    future = producer.send_many("t", [b"a", b"b"], partition=[0, 1])
    behind = producer.send("t", b"x", partition=0)

    def end_the_first() -> None:
        broker.release(node=first)
        behind.get(TIMEOUT_S)

    between(producer, end_the_first)
    return broker, future


def test_a_range_of_which_a_part_is_done(start_broker: StartBroker, make: Make) -> None:
    broker, future = half_done(start_broker, make)
    told: list[Any] = []
    future.add_both(told.append)
    assert (told, future.is_done) == ([], False)
    broker.release()
    with pytest.raises(InvalidRecordError):
        future.get(TIMEOUT_S)
    assert [type(it) for it in told] == [InvalidRecordError]


def test_await_of_a_range_of_which_a_part_is_done(start_broker: StartBroker, make: Make) -> None:
    broker, future = half_done(start_broker, make)

    async def wait() -> None:
        waiting = asyncio.ensure_future(future)
        await asyncio.sleep(0)
        assert not waiting.done()
        broker.release()
        with pytest.raises(InvalidRecordError):
            await asyncio.wait_for(waiting, TIMEOUT_S)

    asyncio.run(wait())


def test_a_record_whose_batch_is_split(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=1000, retry_backoff_ms=20, retry_backoff_max_ms=20)
    producer.send("t", b"x", partition=0).get(TIMEOUT_S)
    broker.hold("Produce")
    broker.fail("Produce", MESSAGE_TOO_LARGE)
    broker.fail("Produce", NOT_ENOUGH_REPLICAS, times=None)
    futures = [producer.send("t", b"%d" % i * 100, partition=0) for i in range(2)]
    broker.wait_for_requests("Produce", 2)

    def split() -> None:
        broker.release()
        broker.wait_for_requests("Produce", 3)  # a piece: the batch itself is done with

    between(producer, split)
    told: list[Any] = []
    futures[1].add_both(told.append)
    assert (told, futures[1].is_done) == ([], False)
    broker.clear()
    metadata = futures[1].get(TIMEOUT_S)
    assert told == [metadata]
    assert metadata.offset == 2


def test_callbacks_of_records_that_linger_do_not_stop_the_rest(broker: EmbeddedBroker, make: Make) -> None:
    """All callbacks that may wait to be run are those of records that wait for more: who waits for room ends that."""
    producer = make(broker, linger_ms=60_000, batch_size=1 << 20, batch_max_size=1 << 20, max_block_ms=10_000)
    told: list[Any] = []

    def tell(metadata: object, error: object) -> None:
        told.append(error)

    for i in range(262_144):
        producer.send("t", b"", partition=i % 4, on_delivery=tell)
    assert told == []
    began = time.monotonic()
    last = producer.send("t", b"", partition=0, on_delivery=tell)
    assert last.exception is None
    assert time.monotonic() - began < 5
    producer.flush(TIMEOUT_S)
    assert told == [None] * 262_145


class Refusing(asyncio.SelectorEventLoop):
    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        if getattr(callback, "__name__", "") == "resolve_all":
            raise ValueError("this loop takes nothing")
        return super().call_soon_threadsafe(callback, *args, context=context)


def test_a_loop_that_takes_no_outcome_harms_nobody_else(broker: EmbeddedBroker, make: Make,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    producer = make(broker, linger_ms=0)
    producer.send("t", b"x").get(TIMEOUT_S)
    broker.hold("Produce")

    async def wait() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(producer.send("t", b"y"), 0.2)

    loop = Refusing()
    loop.run_until_complete(wait())
    broker.release()
    told: list[Any] = []
    producer.send("t", b"z", on_delivery=lambda metadata, error: told.append(error)).get(TIMEOUT_S)
    producer.flush(TIMEOUT_S)
    assert told == [None]
    # A loop is told when a group of callbacks is done, which may be the one that has just told us.
    wait_for(lambda: "did not take the outcomes of 1 records" in caplog.text, "a warning", TIMEOUT_S)
    loop.close()
