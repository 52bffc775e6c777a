# SPDX-License-Identifier: Apache-2.0
"""pykafka_fast, with futures that nobody looks at and with a callback for each record."""

from collections.abc import Callable
from itertools import repeat
from typing import Any

from benchmarks.compare.clients.client import TIMEOUT, Client, DeliveryFailed, Pending
from benchmarks.compare.job import Job
from pykafka_fast import KafkaProducer


class Futures(Client):
    """`send()` returns a future; the last one of each burst is looked at later, the others are dropped."""

    def __init__(self, job: Job):
        super().__init__(job)
        options: dict[str, Any] = dict(job.options)
        self._producer = KafkaProducer(bootstrap_servers=job.address, **options)
        self._pending = Pending()
        self._sent = 0

    def burst(self, count: int) -> None:
        send, topic, value = self._producer.send, self.topic, self.value
        for _ in repeat(None, count - 1):
            send(topic, value)
        self._sent += count
        self._pending.add(self._sent, send(topic, value))

    def acknowledged(self) -> int:
        return self._pending.settled()

    def drain(self) -> None:
        self._producer.flush(TIMEOUT)
        self._pending.expect(self._sent)

    def send_then(self, arrived: Callable[[object], None]) -> None:
        self._producer.send(self.topic, self.value, on_delivery=lambda metadata, error: arrived(error))

    def round_trip(self) -> None:
        self._producer.send(self.topic, self.value).get(TIMEOUT)

    def touch(self, topic: str, partitions: int) -> None:
        send, value = self._producer.send, self.value
        # In groups, so that a list of futures does not pass for memory of the partitions.
        for first in range(0, partitions, 500):
            group = range(first, min(first + 500, partitions))
            for future in [send(topic, value, partition=partition) for partition in group]:
                future.get(TIMEOUT)

    def close(self) -> None:
        self._producer.close(TIMEOUT)


class Callbacks(Futures):
    """`send(..., on_delivery=callable)` for each record; the callback counts."""

    def __init__(self, job: Job):
        super().__init__(job)
        self._on_delivery, self.acknowledged = tally()  # type: ignore[method-assign]

    def burst(self, count: int) -> None:
        send, topic, value, on_delivery = self._producer.send, self.topic, self.value, self._on_delivery
        for _ in repeat(None, count):
            send(topic, value, on_delivery=on_delivery)
        self._sent += count

    def drain(self) -> None:
        self._producer.flush(TIMEOUT)
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
