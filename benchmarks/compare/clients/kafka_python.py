# SPDX-License-Identifier: Apache-2.0
"""kafka-python."""

from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer  # type: ignore[import-untyped]
from kafka.net.connection import KafkaConnection  # type: ignore[import-untyped]

from benchmarks.compare.clients.client import TIMEOUT, Client, Pending
from benchmarks.compare.job import Job
from benchmarks.compare.records import Records


def limit_api_versions() -> None:
    """Make new connections ask ApiVersions v2: the mock answers newer ones with bytes kafka-python cannot read."""
    original = KafkaConnection.__init__

    def start_lower(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self._api_versions_idx = 2

    KafkaConnection.__init__ = start_lower


class Futures(Client):
    def __init__(self, job: Job, records: Records, producer: Any = None):
        super().__init__(job, records, producer)
        self._pending = Pending()
        self._sent = 0

    def connect(self, job: Job) -> Any:
        if job.mock:
            limit_api_versions()
        return KafkaProducer(bootstrap_servers=job.address, **job.options)

    def burst(self, count: int) -> None:
        send, topic = self.producer.send, self.topic
        records = self.records.take(count)
        if self.records.keyed:
            futures = [send(name, value, key) for name, key, value in records]
        else:
            futures = [send(topic, value) for value in records]
        for future in futures:
            self._sent += 1
            self._pending.add(self._sent, future)

    def acknowledged(self) -> int:
        return self._pending.settled()

    def drain(self) -> None:
        self.producer.flush(TIMEOUT)
        self._pending.expect(self._sent)

    def send_then(self, arrived: Callable[[object], None]) -> None:
        self.producer.send(self.topic, self.value).add_callback(lambda metadata: arrived(None)).add_errback(arrived)

    def round_trip(self) -> None:
        self.producer.send(self.topic, self.value).get(TIMEOUT)

    def touch(self, topic: str, partitions: int) -> None:
        futures = [self.producer.send(topic, self.value, partition=partition) for partition in range(partitions)]
        for future in futures:
            future.get(TIMEOUT)

    def close(self) -> None:
        self.producer.close(TIMEOUT)
