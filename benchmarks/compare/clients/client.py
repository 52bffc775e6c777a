# SPDX-License-Identifier: Apache-2.0
"""What the workloads need from a client."""

import copy
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

from benchmarks.compare.job import Job
from benchmarks.compare.records import Records

TIMEOUT = 120.0


class DeliveryFailed(Exception):
    """A record was not acknowledged: the run does not count."""


class Client(ABC):
    """A producer, and one thread's hand on it.

    Attributes:
        producer: what `connect` returned.
        topic, value: of calls that send a single record.
    """

    def __init__(self, job: Job, records: Records, producer: Any = None):
        self.job = job
        self.topic = job.load.topic_names(job.topic)[0]
        self.records = records
        self.value = records.value
        self.producer = self.connect(job) if producer is None else producer

    @abstractmethod
    def connect(self, job: Job) -> Any:
        """A producer with the job's options."""

    def twin(self) -> "Client":
        """Another hand on the same producer, for another thread."""
        return type(self)(self.job, copy.copy(self.records), self.producer)

    @abstractmethod
    def burst(self, count: int) -> None:
        """Send `count` records from a bare loop, blocking as the client does when its buffer is full."""

    @abstractmethod
    def acknowledged(self) -> int:
        """Records known to be acknowledged since the start. Exact with one partition and one hand only.

        Raises:
            DeliveryFailed: one was refused.
        """

    @abstractmethod
    def drain(self) -> None:
        """Wait until everything sent is acknowledged.

        Raises:
            DeliveryFailed: something was not.
        """

    @abstractmethod
    def send_then(self, arrived: Callable[[object], None]) -> None:
        """Send one record; `arrived(error or None)` is called where the client calls back."""

    @abstractmethod
    def round_trip(self) -> None:
        """Send one record and wait for its acknowledgement the way the client's users do."""

    @abstractmethod
    def touch(self, topic: str, partitions: int) -> None:
        """Send one record to each partition of another topic and wait for the acknowledgements."""

    @abstractmethod
    def close(self) -> None: ...

    def idle(self, seconds: float) -> None:
        """Pass the time between two paced sends, serving callbacks if the client needs that."""
        time.sleep(seconds)


class Pending:
    """Futures in send order, each standing for all records sent up to it."""

    def __init__(self) -> None:
        self._futures: deque[tuple[int, Any]] = deque()
        self._done = 0

    def add(self, sent: int, future: Any) -> None:
        self._futures.append((sent, future))

    def settled(self) -> int:
        """Records settled so far; their futures are let go."""
        futures = self._futures
        while futures and futures[0][1].is_done:
            sent, future = futures.popleft()
            if future.exception is not None:
                raise DeliveryFailed(repr(future.exception))
            self._done = sent
        return self._done

    def expect(self, sent: int) -> None:
        if self.settled() != sent:
            raise DeliveryFailed(f"flushed, but only {self._done} of {sent} records are settled")
