# SPDX-License-Identifier: Apache-2.0
"""Time from send() to the callback, at a fixed rate; and the round trips of threads that wait for each record."""

import time
from array import array
from concurrent.futures import ThreadPoolExecutor

from benchmarks.compare import usage
from benchmarks.compare.clients.client import TIMEOUT, Client, DeliveryFailed
from benchmarks.compare.job import Figures, Job

# Faster than one record a millisecond means several at each millisecond: nobody sleeps for microseconds.
TICK = 0.001


def run_paced(client: Client, job: Job) -> Figures:
    """params["rate"] records a second for `job.seconds`; the schedule does not wait for slow answers."""
    rate = job.params["rate"]
    arrivals = Arrivals()
    paced(client, arrivals, rate, max(20, int(rate * job.warmup_seconds)))
    warm = arrivals.count
    window = usage.Window(job.broker_pids)
    paced(client, arrivals, rate, max(20, int(rate * job.seconds)))
    figures = window.close(arrivals.count - warm)
    figures |= quantiles(arrivals.latencies[warm:])
    figures["sent_total"] = float(arrivals.count)
    return figures


def paced(client: Client, arrivals: "Arrivals", rate: float, count: int) -> None:
    group = max(1, round(rate * TICK))
    send_then, arrived, sent = client.send_then, arrivals.arrived, arrivals.sent.append
    clock = time.perf_counter
    start = clock()
    for number in range(0, count, group):
        due = start + number / rate
        while (wait := due - clock()) > 0:
            client.idle(wait)
        for _ in range(min(group, count - number)):
            sent(clock())
            send_then(arrived)
    deadline = clock() + TIMEOUT
    while arrivals.count < len(arrivals.sent):
        if clock() > deadline:
            raise DeliveryFailed(f"{len(arrivals.sent) - arrivals.count} callbacks missing after {TIMEOUT:g} s")
        client.idle(TICK)
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
    window = usage.Window(job.broker_pids)
    latencies = round_trips(client, job.seconds)
    figures = window.close(len(latencies))
    figures |= quantiles(latencies)
    figures["sent_total"] = float(len(warm) + len(latencies))
    return figures


def run_pool(client: Client, job: Job) -> Figures:
    """The same in each of params["threads"] threads of a pool, all on one producer, as request handlers do it."""
    warm = round_trips(client, job.warmup_seconds)
    hands = [client.twin() for _ in range(int(job.params["threads"]))]
    window = usage.Window(job.broker_pids)
    latencies = array("d")
    with ThreadPoolExecutor(len(hands)) as pool:
        for some in pool.map(lambda hand: round_trips(hand, job.seconds), hands):
            latencies.extend(some)
    figures = window.close(len(latencies))
    del figures["caller_cpu_per_million"]
    figures |= quantiles(latencies)
    figures["sent_total"] = float(len(warm) + len(latencies))
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
    shares = {"p50_ms": 0.50, "p99_ms": 0.99, "p999_ms": 0.999}
    return {name: 1e3 * ordered[round(share * last)] for name, share in shares.items()}
