# SPDX-License-Identifier: Apache-2.0
"""Flights through KafkaProducer, timed."""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from pykafka_fast import KafkaProducer
from pykafka_fast.cli import Progress
from tools.demo.flights import Flight

# One record in so many carries a callback that takes the time.
SAMPLE = 100


class Sent(NamedTuple):
    """What sending cost. `latencies` are seconds from send() to the callback, in ascending order."""

    records: int
    seconds: float
    cpu_seconds: float
    latencies: list[float]
    failed: Sequence[BaseException]

    def report(self) -> str:
        rate, cpu = self.records / self.seconds, self.cpu_seconds / (self.records / 1e6)
        return (
            f"sent      {self.records:,} records in {self.seconds:.2f} s: {rate:,.0f} records/s\n"
            f"client    {cpu:.2f} s of CPU per million records\n"
            f"latency   {describe(self.latencies)} from send() to callback, at full speed"
        )


def describe(latencies: Sequence[float]) -> str:
    """Percentiles of seconds in ascending order."""
    return f"p50 {percentile(latencies, 50) * 1e3:.1f} ms, p99 {percentile(latencies, 99) * 1e3:.1f} ms"


def percentile(ordered: Sequence[float], percent: float) -> float:
    if not ordered:
        return math.nan
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def send_all(bootstrap: str, topic: str, flights: Sequence[Flight]) -> Sent:
    """Send every flight and wait until all are acknowledged. From the first send() to the end of flush() is timed."""
    latencies: list[float] = []
    with KafkaProducer(bootstrap_servers=bootstrap) as producer:
        producer.partitions_for(topic)
        futures = []
        progress = Progress(len(flights))
        cpu, started = time.process_time(), time.perf_counter()
        for begin in range(0, len(flights), SAMPLE):
            first, *others = flights[begin : begin + SAMPLE]
            stopwatch = Stopwatch(latencies)
            futures.append(producer.send(topic, first.value, first.key, on_delivery=stopwatch))
            for flight in others:
                futures.append(producer.send(topic, flight.value, flight.key))
            progress.update(begin, begin)
        producer.flush()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
        progress.finish()
        failed = [error for future in futures if (error := future.exception) is not None]
    return Sent(len(flights), seconds, cpu_seconds, sorted(latencies), failed)


def send_slowly(bootstrap: str, topic: str, flights: Sequence[Flight], rate: int) -> list[float]:
    """Send `rate` flights a second to a topic of their own; the latencies in ascending order."""
    latencies: list[float] = []
    with KafkaProducer(bootstrap_servers=bootstrap) as producer:
        producer.send(topic, b"connected").get(timeout=30)
        started = time.perf_counter()
        for number, flight in enumerate(flights):
            time.sleep(max(started + number / rate - time.perf_counter(), 0))
            producer.send(topic, flight.value, flight.key, on_delivery=Stopwatch(latencies))
        producer.flush()
    return sorted(latencies)


class Stopwatch:
    """A delivery callback that notes how long ago it was made."""

    __slots__ = ("_latencies", "_started")

    def __init__(self, latencies: list[float]):
        self._latencies = latencies
        self._started = time.perf_counter()

    def __call__(self, metadata: object, error: BaseException | None) -> None:
        self._latencies.append(time.perf_counter() - self._started)
