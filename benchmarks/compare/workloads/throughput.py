# SPDX-License-Identifier: Apache-2.0
"""As fast as it goes, from one thread; optionally beside threads that only burn CPU."""

import threading
import time

from benchmarks.compare import usage
from benchmarks.compare.clients.client import Client
from benchmarks.compare.job import Figures, Job

BURST = 1_000


def run(client: Client, job: Job) -> Figures:
    """Send for `job.seconds`, flush, divide. The flush counts as time.

    With params["hogs"] CPU-bound Python threads the stretch ends with the sending instead: what is acknowledged by
    then counts, and the rest is flushed when the hogs have stopped.
    """
    burst = int(job.params.get("burst", BURST))
    hogs = [Hog() for _ in range(int(job.params.get("hogs", 0)))]
    sent = warm_up(client, job, burst)
    for hog in hogs:
        hog.start()
    window = usage.Window(job.broker_pid)
    measured = send_for(client, job.seconds, burst)
    if hogs:
        figures = window.close(client.acknowledged() - sent)
    for hog in hogs:
        hog.stop()
    client.drain()
    if not hogs:
        figures = window.close(measured)
    figures["sent_total"] = float(sent + measured)
    figures["peak_rss"] = float(usage.peak_resident_bytes())
    return figures


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
