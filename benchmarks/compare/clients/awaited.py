# SPDX-License-Identifier: Apache-2.0
"""Clients whose records a coroutine awaits: ours, and two ways of confluent-kafka's."""

import asyncio
import threading
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.aio import AIOProducer

from benchmarks.compare.clients import confluent, ours
from benchmarks.compare.clients.client import TIMEOUT
from benchmarks.compare.clients.counting_loop import CountingLoop
from benchmarks.compare.job import Job
from benchmarks.compare.records import Records


class Ours(ours.Futures):
    """`await` on each future that `send()` returned."""

    def __init__(self, job: Job, records: Records, producer: Any = None):
        super().__init__(job, records, producer)
        self.loop = CountingLoop()

    async def deliver(self, count: int) -> None:
        """Send `count` records and await every one's acknowledgement."""
        send, topic = self.producer.send, self.topic
        for future in [send(topic, value) for value in self.records.take(count)]:
            await future

    def close(self) -> None:
        super().close()
        self.loop.close()


class ConfluentThreadsafe(confluent.NoCallbacks):
    """A callback that passes each result to the loop, and a thread that polls."""

    def __init__(self, job: Job, records: Records, producer: Producer | None = None):
        super().__init__(job, records, producer)
        self.loop = CountingLoop()
        self._polling = True
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    async def deliver(self, count: int) -> None:
        """Send `count` records and await every one's acknowledgement."""
        futures = [self._send_one(value) for value in self.records.take(count)]
        for future in futures:
            await future

    def _send_one(self, value: bytes) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = self.loop.create_future()

        def on_delivery(error: object, message: object) -> None:
            self.loop.call_soon_threadsafe(settle, future, error)

        self.producer.produce(self.topic, value, on_delivery=on_delivery)
        return future

    def _poll(self) -> None:
        while self._polling:
            self.producer.poll(0.1)

    def close(self) -> None:
        self._polling = False
        self._thread.join()
        super().close()
        self.loop.close()


def settle(future: "asyncio.Future[None]", error: object) -> None:
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(RuntimeError(str(error)))


class ConfluentAio(confluent.NoCallbacks):
    """confluent_kafka.aio.AIOProducer. It asks for callbacks only when it sends or flushes, so each group flushes."""

    def __init__(self, job: Job, records: Records, producer: Producer | None = None):
        super().__init__(job, records, producer)
        self.loop = CountingLoop()
        self._aio: AIOProducer = self.loop.run_until_complete(self._start(job))

    @staticmethod
    async def _start(job: Job) -> AIOProducer:
        return AIOProducer({"bootstrap.servers": job.address, **job.options}, batch_size=int(job.params["group"]))

    async def deliver(self, count: int) -> None:
        """Send `count` records and await every one's acknowledgement."""
        produce, topic = self._aio.produce, self.topic
        futures = [await produce(topic, value) for value in self.records.take(count)]
        await self._aio.flush(TIMEOUT)
        for future in futures:
            await future

    def close(self) -> None:
        self.loop.run_until_complete(self._aio.close())
        super().close()
        self.loop.close()
