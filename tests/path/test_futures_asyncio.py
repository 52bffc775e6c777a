# SPDX-License-Identifier: Apache-2.0
"""Awaiting futures in asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from pykafka_fast import RecordFuture
from pykafka_fast.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make

TIMEOUT_S = 10.0


def run(main: Any) -> Any:
    return asyncio.run(asyncio.wait_for(main, 30))


def test_await(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, max_request_size=1000)

    async def main() -> None:
        future = producer.send("t", b"v", partition=1)
        metadata = await future
        assert (metadata.partition, metadata.offset) == (1, 0)
        assert await future == metadata == future.get(0)  # done: at once, and again
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send("t", bytes(1000))
        broker.fail("Produce", 29, topic="t")
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send("t", b"v")

    run(main())


def test_gather_of_a_thousand(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)

    async def main() -> list[Any]:
        return await asyncio.gather(*(producer.send("t", b"%d" % n, partition=n % 4) for n in range(1000)))

    results = run(main())
    assert [(metadata.partition, metadata.offset) for metadata in results] == [(n % 4, n // 4) for n in range(1000)]


def test_gather_with_failures(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, max_request_size=1000)

    async def main() -> list[Any]:
        sends = [producer.send("t", bytes(1000 if n % 10 == 0 else 10)) for n in range(100)]
        return await asyncio.gather(*sends, return_exceptions=True)

    results = run(main())
    assert [isinstance(result, MessageSizeTooLargeError) for result in results] == [n % 10 == 0 for n in range(100)]


def test_an_awaited_batch_does_not_linger(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=30_000, delivery_timeout_ms=90_000)

    async def main() -> None:
        for _ in range(5):
            await producer.send("t", b"v")

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began < 10


def test_the_loop_goes_on_meanwhile(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")

    async def main() -> None:
        waiting = asyncio.ensure_future(asyncio.wait_for(producer.send("t", b"v"), TIMEOUT_S))
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not waiting.done()
        broker.release()
        assert (await waiting).offset == 0

    run(main())


def test_cancellation(broker: EmbeddedBroker, make: Make) -> None:
    """Cancels the waiting, not the record."""
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")

    async def main() -> RecordFuture:
        future = producer.send("t", b"v")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(future, 0.05)
        task = asyncio.gather(*(future for _ in range(3)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        broker.release()
        assert (await future).offset == 0
        return future

    assert run(main()).succeeded()
    assert broker.record_count("t") == 1


def test_many_tasks_await_one_future(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)

    async def wait(future: RecordFuture) -> Any:
        return await future

    async def main() -> list[Any]:
        future = producer.send("t", b"v")
        return await asyncio.gather(*(wait(future) for _ in range(50)))

    assert len({metadata.offset for metadata in run(main())}) == 1


def test_a_loop_closed_before_the_outcome(broker: EmbeddedBroker, make: Make) -> None:
    """Nobody waits in it any more; the others are told all the same."""
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")
    futures: list[RecordFuture] = []

    async def leave() -> None:
        futures.append(producer.send("t", b"v"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(futures[0], 0.02)

    asyncio.run(leave())
    called: list[Any] = []
    futures[0].add_callback(called.append)
    broker.release()
    assert futures[0].get(TIMEOUT_S).offset == 0
    assert len(called) == 1
    assert producer.send("t", b"v", on_delivery=lambda *a: called.append(a)).get(TIMEOUT_S).offset >= 0
    assert len(called) == 2


def test_loops_in_several_threads(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    results: list[Any] = []

    async def main() -> None:
        for _ in range(20):
            results.append(await asyncio.gather(*(producer.send("t", b"v") for _ in range(10))))

    threads = [threading.Thread(target=run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 80
    producer.flush(TIMEOUT_S)
    assert broker.record_count("t") == 800


def test_on_delivery_into_a_loop(broker: EmbeddedBroker, make: Make) -> None:
    """The way those go who want a callback in the loop's thread."""
    producer = make(broker)

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        producer.send("t", b"v", on_delivery=lambda m, e: loop.call_soon_threadsafe(done.set_result, m))
        return await done

    assert run(main()).offset == 0


class Unhashable(asyncio.SelectorEventLoop):
    """A loop that fails the delivery thread, as short memory would."""

    def __hash__(self) -> int:
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError
        return 1


def test_a_loop_that_cannot_be_noted_costs_nobody_anything(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    called: list[Any] = []

    async def main() -> None:
        future = producer.send("t", b"v", partition=0)
        future.add_callback(called.append)
        awaiting = asyncio.ensure_future(asyncio.wait_for(future, TIMEOUT_S))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        future.add_callback(called.append)
        broker.release()
        assert (await awaiting).offset == 0
        assert future.get(TIMEOUT_S).offset == 0

    producer.partitions_for("t")
    broker.hold("Produce")
    loop = Unhashable()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    producer.send("t", b"v", partition=0, on_delivery=lambda *_: called.append(None)).get(TIMEOUT_S)
    producer.flush(TIMEOUT_S)
    assert len(called) == 3
