# SPDX-License-Identifier: Apache-2.0
"""What one send() costs its caller, beside an empty Python function of three parameters in the same loop."""

import time
from collections.abc import Callable
from statistics import median

from benchmarks.compare import usage
from benchmarks.compare.clients.client import Client
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.workloads.throughput import warm_up

# 2 MB of 100-byte records: the pool never fills, so no call waits.
CALLS = 20_000


def empty(topic: str, value: bytes, key: object) -> None:
    pass


def run(client: Client, job: Job) -> Figures:
    """Bursts of both in turns, everything acknowledged before each; nanoseconds per call, loop included."""
    sent = warm_up(client, job)
    window = usage.Window(job.broker_pids)
    sends: list[float] = []
    empties: list[float] = []
    deadline = time.perf_counter() + job.seconds
    while time.perf_counter() < deadline or len(sends) < 5:
        client.drain()
        empties.append(timed(lambda: loop_empty(client.topic, client.records.take(CALLS))))
        sends.append(timed(lambda: client.burst(CALLS)))
    client.drain()
    calls = CALLS * len(sends)
    figures = window.close(calls)
    figures["send_ns"] = 1e9 * median(sends) / CALLS
    figures["empty_ns"] = 1e9 * median(empties) / CALLS
    figures["times_empty"] = figures["send_ns"] / figures["empty_ns"]
    figures["sent_total"] = float(sent + calls)
    return figures


def timed(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def loop_empty(topic: str, values: list[bytes]) -> None:
    call = empty
    for value in values:
        call(topic, value, None)
