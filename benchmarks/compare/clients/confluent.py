# SPDX-License-Identifier: Apache-2.0
"""confluent-kafka (librdkafka). Settings and loop in its favour: a long queue, poll() once per burst."""

from collections.abc import Callable
from functools import partial
from itertools import repeat
from operator import length_hint

from confluent_kafka import Producer

from benchmarks.compare.clients.client import TIMEOUT, Client, DeliveryFailed
from benchmarks.compare.job import Job

OnDelivery = Callable[[object, object], None]

TUNED = {
    "acks": "all",
    "enable.idempotence": True,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 262_144,
}


class NoCallbacks(Client):
    """produce() alone. librdkafka tells nobody about an error; the comparison counts the broker's records."""

    def __init__(self, job: Job):
        super().__init__(job)
        self._producer = Producer({"bootstrap.servers": job.address, **TUNED, **job.options})
        self._sent = 0

    def burst(self, count: int) -> None:
        self._run_burst(partial(self._loop, self._producer.produce, self.topic, self.value), count)

    def acknowledged(self) -> int:
        return self._sent - len(self._producer)

    def drain(self) -> None:
        left = self._producer.flush(TIMEOUT)
        if left:
            raise DeliveryFailed(f"{left} records left after flush")

    def send_then(self, arrived: Callable[[object], None]) -> None:
        self._producer.produce(self.topic, self.value, on_delivery=lambda error, message: arrived(error))

    def idle(self, seconds: float) -> None:
        # Below a millisecond poll() is a busy loop.
        self._producer.poll(max(seconds, 0.001))

    def round_trip(self) -> None:
        self._producer.produce(self.topic, self.value)
        self._producer.flush(TIMEOUT)

    def touch(self, topic: str, partitions: int) -> None:
        for partition in range(partitions):
            self._producer.produce(topic, self.value, partition=partition)
        self.drain()

    def close(self) -> None:
        self.drain()

    def _run_burst(self, loop: "Callable[[repeat[None]], None]", count: int) -> None:
        records = repeat(None, count)
        while True:
            try:
                loop(records)
                break
            except BufferError:
                # The refused record has been taken from the iterator: send it again.
                self._producer.poll(0.01)
                records = repeat(None, 1 + length_hint(records))
        self._producer.poll(0)
        self._sent += count

    @staticmethod
    def _loop(produce: Callable[..., None], topic: str, value: bytes, records: "repeat[None]") -> None:
        for _ in records:
            produce(topic, value)


class Callbacks(NoCallbacks):
    """produce(..., on_delivery=callable) for each record; the callback counts."""

    def __init__(self, job: Job):
        super().__init__(job)
        self._on_delivery, self.acknowledged = tally()  # type: ignore[method-assign]

    def burst(self, count: int) -> None:
        loop = partial(self._loop_with, self._producer.produce, self.topic, self.value, self._on_delivery)
        self._run_burst(loop, count)

    def drain(self) -> None:
        super().drain()
        if self.acknowledged() != self._sent:
            raise DeliveryFailed(f"flushed, but only {self.acknowledged()} of {self._sent} callbacks have run")

    @staticmethod
    def _loop_with(
        produce: Callable[..., None], topic: str, value: bytes, on_delivery: OnDelivery, records: "repeat[None]"
    ) -> None:
        for _ in records:
            produce(topic, value, on_delivery=on_delivery)


class PositionalCallbacks(Callbacks):
    """The same with every argument positional: the cheapest way to hand a callback to produce()."""

    @staticmethod
    def _loop_with(
        produce: Callable[..., None], topic: str, value: bytes, on_delivery: OnDelivery, records: "repeat[None]"
    ) -> None:
        for _ in records:
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
