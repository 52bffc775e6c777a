# SPDX-License-Identifier: Apache-2.0
"""pykafka_fast, with futures that nobody looks at and with a callback for each record."""

from collections.abc import Callable
from typing import Any

from benchmarks.compare.clients.client import TIMEOUT, Client, DeliveryFailed, Pending
from benchmarks.compare.job import Job
from benchmarks.compare.records import Records
from benchmarks.compare.serializers import serializer
from pykafka_fast import KafkaProducer


class Futures(Client):
    """`send()` returns a future; the last one of each burst is looked at later, the others are dropped."""

    producer: KafkaProducer

    def __init__(self, job: Job, records: Records, producer: KafkaProducer | None = None):
        super().__init__(job, records, producer)
        self._pending = Pending()
        self._sent = 0

    def connect(self, job: Job) -> KafkaProducer:
        options: dict[str, Any] = dict(job.options)
        if job.load.serializer:
            options["value_serializer"] = serializer(job.load.serializer)
        return KafkaProducer(bootstrap_servers=job.address, **options)

    def burst(self, count: int) -> None:
        future = self._send(self.records.take(count))
        self._sent += count
        self._pending.add(self._sent, future)

    def _send(self, records: list[Any]) -> object:
        """Send all; the last one's future."""
        send, topic, headers = self.producer.send, self.topic, self.records.headers
        future: object = None
        if self.records.keyed:
            for name, key, value in records:
                future = send(name, value, key, headers)
        elif headers:
            for value in records:
                future = send(topic, value, None, headers)
        else:
            last = records.pop()
            for value in records:
                send(topic, value)
            future = send(topic, last)
        return future

    def acknowledged(self) -> int:
        return self._pending.settled()

    def drain(self) -> None:
        self.producer.flush(TIMEOUT)
        self._pending.expect(self._sent)

    def send_then(self, arrived: Callable[[object], None]) -> None:
        self.producer.send(self.topic, self.value, on_delivery=lambda metadata, error: arrived(error))

    def round_trip(self) -> None:
        self.producer.send(self.topic, self.value).get(TIMEOUT)

    def touch(self, topic: str, partitions: int) -> None:
        send, value = self.producer.send, self.value
        # In groups, so that a list of futures does not pass for memory of the partitions.
        for first in range(0, partitions, 500):
            group = range(first, min(first + 500, partitions))
            for future in [send(topic, value, partition=partition) for partition in group]:
                future.get(TIMEOUT)

    def close(self) -> None:
        self.producer.close(TIMEOUT)


class Callbacks(Futures):
    """`send(..., on_delivery=callable)` for each record; the callback counts."""

    def __init__(self, job: Job, records: Records, producer: KafkaProducer | None = None):
        super().__init__(job, records, producer)
        self._on_delivery, self.acknowledged = tally()  # type: ignore[method-assign]

    def burst(self, count: int) -> None:
        send, topic, on_delivery = self.producer.send, self.topic, self._on_delivery
        records = self.records.take(count)
        if self.records.keyed:
            for name, key, value in records:
                send(name, value, key, on_delivery=on_delivery)
        else:
            for value in records:
                send(topic, value, on_delivery=on_delivery)
        self._sent += count

    def drain(self) -> None:
        self.producer.flush(TIMEOUT)
        if self.acknowledged() != self._sent:
            raise DeliveryFailed(f"flushed, but only {self.acknowledged()} of {self._sent} callbacks have run")


def tally() -> tuple[Callable[[object, BaseException | None], None], Callable[[], int]]:
    """A callback that counts as cheaply as Python can, and a reader of its count."""
    arrived = 0
    failure: BaseException | None = None

    def on_delivery(metadata: object, error: BaseException | None) -> None:
        nonlocal arrived, failure
        if error is None:
            arrived += 1
        else:
            failure = error

    def acknowledged() -> int:
        if failure is not None:
            raise DeliveryFailed(repr(failure))
        return arrived

    return on_delivery, acknowledged
