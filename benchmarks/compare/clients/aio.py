# SPDX-License-Identifier: Apache-2.0
"""aiokafka. Its event loop runs inside the calls of this adapter."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]

from benchmarks.compare.clients.client import TIMEOUT, Client, DeliveryFailed
from benchmarks.compare.clients.counting_loop import CountingLoop
from benchmarks.compare.job import Job
from benchmarks.compare.records import Records


class Futures(Client):
    def __init__(self, job: Job, records: Records, producer: AIOKafkaProducer | None = None):
        self.loop = CountingLoop()
        super().__init__(job, records, producer)
        self._futures: deque[Any] = deque()
        self._sent = 0
        self._done = 0

    def connect(self, job: Job) -> AIOKafkaProducer:
        return self._run(self._start(job))

    @staticmethod
    async def _start(job: Job) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(bootstrap_servers=job.address, **job.options)
        await producer.start()
        return producer

    def burst(self, count: int) -> None:
        self._run(self._burst(count))

    async def _burst(self, count: int) -> None:
        send, topic, keep = self.producer.send, self.topic, self._futures.append
        if self.records.keyed:
            for name, key, value in self.records.take(count):
                keep(await send(name, value, key))
        else:
            for value in self.records.take(count):
                keep(await send(topic, value))
        self._sent += count

    async def deliver(self, count: int) -> None:
        """Send `count` records and await every one's acknowledgement."""
        send, topic = self.producer.send, self.topic
        for future in [await send(topic, value) for value in self.records.take(count)]:
            await future

    def acknowledged(self) -> int:
        futures = self._futures
        while futures and futures[0].done():
            error = futures.popleft().exception()
            if error is not None:
                raise DeliveryFailed(repr(error))
            self._done += 1
        return self._done

    def drain(self) -> None:
        self._run(asyncio.wait_for(self.producer.flush(), TIMEOUT))
        if self.acknowledged() != self._sent:
            raise DeliveryFailed(f"flushed, but only {self._done} of {self._sent} records are settled")

    def send_then(self, arrived: Callable[[object], None]) -> None:
        future = self._run(self.producer.send(self.topic, self.value))
        future.add_done_callback(lambda done: arrived(done.exception()))

    def idle(self, seconds: float) -> None:
        self._run(asyncio.sleep(seconds))

    def round_trip(self) -> None:
        self._run(self.producer.send_and_wait(self.topic, self.value))

    def touch(self, topic: str, partitions: int) -> None:
        self._run(self._touch(topic, partitions))

    async def _touch(self, topic: str, partitions: int) -> None:
        futures = [await self.producer.send(topic, self.value, partition=number) for number in range(partitions)]
        await asyncio.gather(*futures)

    def close(self) -> None:
        self._run(self.producer.stop())
        self.loop.close()

    def _run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)
