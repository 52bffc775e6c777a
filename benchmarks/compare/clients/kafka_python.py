# SPDX-License-Identifier: Apache-2.0
"""kafka-python."""

from collections.abc import Callable
from itertools import repeat
from typing import Any

from kafka import KafkaProducer  # type: ignore[import-untyped]
from kafka.net.connection import KafkaConnection  # type: ignore[import-untyped]

from benchmarks.compare.clients.client import TIMEOUT, Client, Pending
from benchmarks.compare.job import Job


def limit_api_versions() -> None:
    """Make new connections ask ApiVersions v2: the mock answers newer ones with bytes kafka-python cannot read."""
    original = KafkaConnection.__init__

    def start_lower(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self._api_versions_idx = 2

    KafkaConnection.__init__ = start_lower


class Futures(Client):
    def __init__(self, job: Job):
        super().__init__(job)
        if job.mock:
            limit_api_versions()
        self._producer = KafkaProducer(
            bootstrap_servers=job.address, acks="all", enable_idempotence=True, **job.options
        )
        self._pending = Pending()
        self._sent = 0

    def burst(self, count: int) -> None:
        send, topic, value = self._producer.send, self.topic, self.value
        futures = [send(topic, value) for _ in repeat(None, count)]
        for future in futures:
            self._sent += 1
            self._pending.add(self._sent, future)

    def acknowledged(self) -> int:
        return self._pending.settled()

    def drain(self) -> None:
        self._producer.flush(TIMEOUT)
        self._pending.expect(self._sent)

    def send_then(self, arrived: Callable[[object], None]) -> None:
        self._producer.send(self.topic, self.value).add_callback(lambda metadata: arrived(None)).add_errback(arrived)

    def round_trip(self) -> None:
        self._producer.send(self.topic, self.value).get(TIMEOUT)

    def touch(self, topic: str, partitions: int) -> None:
        futures = [self._producer.send(topic, self.value, partition=partition) for partition in range(partitions)]
        for future in futures:
            future.get(TIMEOUT)

    def close(self) -> None:
        self._producer.close(TIMEOUT)
