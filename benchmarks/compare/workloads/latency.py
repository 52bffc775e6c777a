# SPDX-License-Identifier: Apache-2.0
"""Time from send() to the callback, at a fixed rate; and the round trips of a loop that waits for each record."""

import time
from array import array

from benchmarks.compare import usage
from benchmarks.compare.clients.client import TIMEOUT, Client, DeliveryFailed
from benchmarks.compare.job import Figures, Job


def run_paced(client: Client, job: Job) -> Figures:
    """params["rate"] records a second for `job.seconds`; the schedule does not wait for slow answers."""
    rate = job.params["rate"]
    arrivals = Arrivals()
    paced(client, arrivals, rate, max(20, int(rate * job.warmup_seconds)))
    warm = arrivals.count
    window = usage.Window(job.broker_pid)
    paced(client, arrivals, rate, max(20, int(rate * job.seconds)))
    figures = window.close(arrivals.count - warm)
    figures |= quantiles(arrivals.latencies[warm:])
    figures["sent_total"] = float(arrivals.count)
    figures["peak_rss"] = float(usage.peak_resident_bytes())
    return figures


def paced(client: Client, arrivals: "Arrivals", rate: float, count: int) -> None:
    start = time.perf_counter()
    for number in range(count):
        due = start + number / rate
        while (wait := due - time.perf_counter()) > 0:
            client.idle(wait)
        arrivals.sent.append(time.perf_counter())
        client.send_then(arrivals.arrived)
    deadline = time.perf_counter() + TIMEOUT
    while arrivals.count < len(arrivals.sent):
        if time.perf_counter() > deadline:
            raise DeliveryFailed(f"{len(arrivals.sent) - arrivals.count} callbacks missing after {TIMEOUT:g} s")
        client.idle(0.001)
    if arrivals.error is not None:
        raise DeliveryFailed(str(arrivals.error))


class Arrivals:
    """One partition answers in send order, so the n-th callback belongs to the n-th record."""

    def __init__(self) -> None:
        self.sent = array("d")
        self.latencies = array("d")
        self.error: object = None

    @property
    def count(self) -> int:
        return len(self.latencies)

    def arrived(self, error: object) -> None:
        if error is not None:
            self.error = error
        self.latencies.append(time.perf_counter() - self.sent[len(self.latencies)])


def run_round_trips(client: Client, job: Job) -> Figures:
    """One record at a time: send, wait, repeat."""
    warm = round_trips(client, job.warmup_seconds)
    window = usage.Window(job.broker_pid)
    latencies = round_trips(client, job.seconds)
    figures = window.close(len(latencies))
    figures |= quantiles(latencies)
    figures["sent_total"] = float(len(warm) + len(latencies))
    figures["peak_rss"] = float(usage.peak_resident_bytes())
    return figures


def round_trips(client: Client, seconds: float) -> "array[float]":
    latencies = array("d")
    before = time.perf_counter()
    deadline = before + seconds
    while before < deadline or len(latencies) < 20:
        client.round_trip()
        after = time.perf_counter()
        latencies.append(after - before)
        before = after
    return latencies


def quantiles(latencies: "array[float]") -> Figures:
    ordered = sorted(latencies)
    last = len(ordered) - 1
    return {"p50_ms": 1e3 * ordered[round(0.50 * last)], "p99_ms": 1e3 * ordered[round(0.99 * last)]}
