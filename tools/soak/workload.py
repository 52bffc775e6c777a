# SPDX-License-Identifier: Apache-2.0
"""Threads that send stamped records through one producer and note what became of each."""

import random
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from tools.soak.audit import Audit
from tools.soak.clients import Client
from tools.soak.journal import Journal, read_journal
from tools.soak.stamp import Stamp

BURST = 60


class Lane(threading.Thread):
    """One thread's records, in bursts, until told to stop.

    Args:
        client: sends them.
        stamp: run and thread of the records; its partition is the number of partitions.
        journal: where outcomes are noted.
        rate: records per second, 0 for as many as go.
        rng: draws partitions and pauses.
    """

    def __init__(self, client: Client, stamp: Stamp, journal: Journal, rate: float, rng: random.Random):
        super().__init__(name=f"lane-{stamp.thread}", daemon=True)
        self.sent = 0
        self.settled = 0
        self.errors: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self._client = client
        self._stamp = stamp
        self._journal = journal
        self._rate = rate
        self._rng = rng
        self._numbers = [0] * stamp.partition
        self._pending: list[deque[Any]] = [deque() for _ in range(stamp.partition)]
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        began = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._burst()
                self.harvest()
                early = began + self.sent / self._rate - time.monotonic() if self._rate else 0.0
                if early > 0:
                    self._stopping.wait(early)
        except BaseException as error:
            self.failure = error

    def _burst(self) -> None:
        """Runs of one partition, so that batches hold more than one record, and now and then a wait."""
        left = self._rng.randint(1, BURST)
        while left > 0:
            partition = self._rng.randrange(len(self._numbers))
            run = min(left, self._rng.randint(1, BURST // 2))
            for _ in range(run):
                self._send(partition)
            left -= run
        if self._rng.random() < 0.02 and self._pending[partition]:
            self._client.serve(self._pending[partition][-1], 0.05)

    def _send(self, partition: int) -> None:
        number = self._numbers[partition]
        value = self._stamp._replace(partition=partition, number=number).value()
        self._pending[partition].append(self._client.send(partition, value))
        self._numbers[partition] = number + 1
        self.sent += 1

    def harvest(self) -> None:
        """Note the outcomes that are known."""
        for partition, pending in enumerate(self._pending):
            while pending:
                told = self._client.outcome(pending[0])
                if told is None:
                    break
                if told[0]:
                    self.errors[self._client.error(pending[0])] += 1
                self._journal.add(partition, self._numbers[partition] - len(pending), *told)
                self.settled += 1
                pending.popleft()

    def unresolved(self) -> int:
        return sum(map(len, self._pending))


class Workload:
    """Several lanes of one client.

    Args:
        client: closed by `finish`.
        folder: for the journals.
        partitions: of the topic.
        threads: how many lanes.
        rate: records per second of all lanes together, 0 for as many as go.
        seed: what the lanes draw; also the run's number.
    """

    def __init__(
        self, client: Client, folder: Path, *, partitions: int, threads: int = 4, rate: float = 0, seed: int = 0
    ):
        rng = random.Random(seed)
        self._client = client
        self._folder = folder
        self._journals = [Journal(folder / f"journal{thread}") for thread in range(threads)]
        self._lanes = [
            Lane(client, Stamp(seed, thread, partitions, 0), journal, rate / threads, random.Random(rng.random()))
            for thread, journal in enumerate(self._journals)
        ]
        for lane in self._lanes:
            lane.start()

    @property
    def sent(self) -> int:
        return sum(lane.sent for lane in self._lanes)

    @property
    def settled(self) -> int:
        """Records whose outcome has been noted."""
        return sum(lane.settled for lane in self._lanes)

    @property
    def errors(self) -> Counter[str]:
        """Why records failed."""
        return sum((lane.errors for lane in self._lanes), Counter())

    def failures(self) -> list[str]:
        """Of lanes that ended too early."""
        return [f"{lane.name} ended with {lane.failure!r}" for lane in self._lanes if lane.failure is not None]

    def finish(self, timeout: float) -> list[str]:
        """Stop sending, deliver, close the producer and the journals; what is wrong then."""
        for lane in self._lanes:
            lane.stop()
        deadline = time.monotonic() + timeout
        for lane in self._lanes:
            lane.join(max(deadline - time.monotonic(), 0))
        problems = [f"{lane.name} hangs" for lane in self._lanes if lane.is_alive()]
        problems += self._client.finish(max(deadline - time.monotonic(), 1))
        for lane, journal in zip(self._lanes, self._journals, strict=True):
            lane.harvest()
            journal.close()
            if lane.unresolved():
                problems.append(f"{lane.name}: {lane.unresolved()} records without an outcome after close()")
        return [*problems, *self.failures()]


def settle(audit: Audit, folder: Path) -> None:
    """Show every journal in a folder to the audit."""
    for file in sorted(folder.glob("journal*")):
        audit.settle(int(file.name.removeprefix("journal")), read_journal(file))
