# SPDX-License-Identifier: Apache-2.0
"""confluent-kafka (librdkafka). The loop in its favour: poll() once per burst, every error in one place."""

from collections.abc import Callable
from operator import length_hint
from typing import Any

from confluent_kafka import Producer

from benchmarks.compare.clients.client import TIMEOUT, Client, DeliveryFailed
from benchmarks.compare.job import Job
from benchmarks.compare.records import Records
from benchmarks.compare.serializers import serializer

OnDelivery = Callable[[object, object], None]


class NoCallbacks(Client):
    """produce() alone. librdkafka tells nobody about an error; the comparison counts the broker's records."""

    producer: Producer

    def __init__(self, job: Job, records: Records, producer: Producer | None = None):
        super().__init__(job, records, producer)
        self._serialize = serializer(job.load.serializer) if job.load.serializer else None
        self._sent = 0

    def connect(self, job: Job) -> Producer:
        return Producer({"bootstrap.servers": job.address, **job.options})

    def burst(self, count: int) -> None:
        records = self.records.take(count)
        left = iter(records)
        while True:
            try:
                self._send(left)
                break
            except BufferError:
                # The refused record has been taken from the iterator: send it again.
                self.producer.poll(0.01)
                left = iter(records[count - 1 - length_hint(left) :])
        self.producer.poll(0)
        self._sent += count

    def _send(self, records: Any) -> None:
        produce, topic, headers, serialize = self.producer.produce, self.topic, self.records.headers, self._serialize
        if self.records.keyed:
            for name, key, value in records:
                produce(name, value, key)
        elif headers:
            for value in records:
                produce(topic, value, headers=headers)
        elif serialize:
            for value in records:
                produce(topic, serialize(value))
        else:
            for value in records:
                produce(topic, value)

    def acknowledged(self) -> int:
        return self._sent - len(self.producer)

    def drain(self) -> None:
        left = self.producer.flush(TIMEOUT)
        if left:
            raise DeliveryFailed(f"{left} records left after flush")

    def send_then(self, arrived: Callable[[object], None]) -> None:
        self.producer.produce(self.topic, self.value, on_delivery=lambda error, message: arrived(error))

    def idle(self, seconds: float) -> None:
        # Below a millisecond poll() is a busy loop.
        self.producer.poll(max(seconds, 0.001))

    def round_trip(self) -> None:
        self.producer.produce(self.topic, self.value)
        self.producer.flush(TIMEOUT)

    def touch(self, topic: str, partitions: int) -> None:
        for partition in range(partitions):
            self.producer.produce(topic, self.value, partition=partition)
        self.drain()

    def close(self) -> None:
        self.drain()


class Callbacks(NoCallbacks):
    """produce(..., on_delivery=callable) for each record; the callback counts."""

    def __init__(self, job: Job, records: Records, producer: Producer | None = None):
        super().__init__(job, records, producer)
        self._on_delivery, self.acknowledged = tally()  # type: ignore[method-assign]

    def _send(self, records: Any) -> None:
        produce, topic, on_delivery = self.producer.produce, self.topic, self._on_delivery
        if self.records.keyed:
            for name, key, value in records:
                produce(name, value, key, on_delivery=on_delivery)
        else:
            for value in records:
                produce(topic, value, on_delivery=on_delivery)

    def drain(self) -> None:
        super().drain()
        if self.acknowledged() != self._sent:
            raise DeliveryFailed(f"flushed, but only {self.acknowledged()} of {self._sent} callbacks have run")


class PositionalCallbacks(Callbacks):
    """The same with every argument positional: the cheapest way to hand a callback to produce()."""

    def _send(self, records: Any) -> None:
        produce, topic, on_delivery = self.producer.produce, self.topic, self._on_delivery
        if self.records.keyed:
            for name, key, value in records:
                produce(name, value, key, -1, on_delivery)
        else:
            for value in records:
                produce(topic, value, None, -1, on_delivery)


def tally() -> tuple[OnDelivery, Callable[[], int]]:
    """A callback that counts as cheaply as Python can, and a reader of its count."""
    arrived = 0
    failure: object = None

    def on_delivery(error: object, message: object) -> None:
        nonlocal arrived, failure
        if error is None:
            arrived += 1
        else:
            failure = error

    def acknowledged() -> int:
        if failure is not None:
            raise DeliveryFailed(str(failure))
        return arrived

    return on_delivery, acknowledged
