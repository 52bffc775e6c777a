# SPDX-License-Identifier: Apache-2.0
"""As fast as it goes: from one thread, from several, beside threads that only burn CPU."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.compare import usage
from benchmarks.compare.clients.client import Client
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.serializers import serializer

BURST = 1_000
BURST_BYTES = 4 * 2**20


def run(client: Client, job: Job) -> Figures:
    """Send for `job.seconds`, flush, divide. The flush counts as time.

    With params["hogs"] CPU-bound Python threads the stretch ends with the sending instead: what is acknowledged by
    then counts, and the rest is flushed when the hogs have stopped.
    """
    burst = burst_of(job)
    hogs = [Hog() for _ in range(int(job.params.get("hogs", 0)))]
    sent = warm_up(client, job, burst)
    for hog in hogs:
        hog.start()
    window = usage.Window(job.broker_pids)
    measured = send_for(client, job.seconds, burst)
    if hogs:
        figures = window.close(client.acknowledged() - sent)
    for hog in hogs:
        hog.stop()
    client.drain()
    if not hogs:
        figures = window.close(measured)
    figures["megabytes"] = figures["rate"] * client.records.mean_value_bytes / 1e6
    figures["sent_total"] = float(sent + measured)
    return figures


def run_threads(client: Client, job: Job) -> Figures:
    """The same from params["threads"] threads on one producer."""
    sent = warm_up(client, job)
    hands = [client.twin() for _ in range(int(job.params["threads"]))]

    def work(hand: Client) -> int:
        count = send_for(hand, job.seconds)
        hand.drain()
        return count

    window = usage.Window(job.broker_pids)
    with ThreadPoolExecutor(len(hands)) as pool:
        measured = sum(pool.map(work, hands))
    figures = window.close(measured)
    # The thread that opened the window only waited.
    del figures["caller_cpu_per_million"]
    figures["sent_total"] = float(sent + measured)
    return figures


def run_serializer(client: Client, job: Job) -> Figures:
    """As `run`, with what the serializer alone takes of the calling thread; both in nanoseconds per record."""
    alone = 0.0
    if job.load.serializer:
        serialize, values = serializer(job.load.serializer), client.records.take(BURST)
        start, rounds = time.thread_time(), 0
        while (spent := time.thread_time() - start) < job.seconds / 10:
            for value in values:
                serialize(value)
            rounds += 1
        alone = 1e9 * spent / (rounds * len(values))
    figures = run(client, job)
    figures["serializer_ns"] = alone
    figures["send_ns"] = 1e3 * figures["caller_cpu_per_million"]
    figures["beside_serializer_ns"] = figures["send_ns"] - alone
    return figures


def burst_of(job: Job) -> int:
    """A burst of a few megabytes at most, so that it is a fraction of a second whatever the values."""
    limit = BURST_BYTES // max(job.load.value_size, 1)
    return int(job.params.get("burst", max(1, min(BURST, limit))))


def warm_up(client: Client, job: Job, burst: int = BURST) -> int:
    """Metadata, connection, one producer id, warm caches. Returns the number of records."""
    client.burst(1)
    client.drain()
    sent = 1 + send_for(client, job.warmup_seconds, burst)
    client.drain()
    return sent


def send_for(client: Client, seconds: float, burst: int = BURST) -> int:
    """Returns the number of records sent."""
    deadline = time.perf_counter() + seconds
    sent = 0
    while time.perf_counter() < deadline:
        client.burst(burst)
        client.acknowledged()
        sent += burst
    return sent


class Hog:
    """A Python thread that wants the GIL all the time."""

    def __init__(self) -> None:
        self._running = True
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._thread.join()

    def _spin(self) -> None:
        turns = 0
        while self._running:
            turns += 1
