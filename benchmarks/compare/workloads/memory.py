# SPDX-License-Identifier: Apache-2.0
"""A producer whose broker is slower than the caller, and partitions that are idle. Memory is what counts here."""

import gc
import time

from benchmarks.compare import usage
from benchmarks.compare.clients.client import Client
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.workloads.throughput import send_for, warm_up


def run_slow_broker(client: Client, job: Job) -> Figures:
    """Send as fast as the client takes it."""
    client.burst(1)
    client.drain()
    window = usage.Window(job.broker_pids)
    sent = send_for(client, job.seconds, burst=100)
    client.drain()
    figures = window.close(sent)
    figures["sent_total"] = float(1 + sent)
    return figures


def run_idle_partitions(client: Client, job: Job) -> Figures:
    """Rate of one busy partition before and after params["partitions"] others were used once, and what they cost.

    The pool is filled by the load before, so that only partitions and metadata are new in the difference. The topic
    with the idle partitions is the busy one's name with "-idle" behind it.
    """
    partitions = int(job.params["partitions"])
    sent = warm_up(client, job)
    alone, more = busy_rate(client, job.seconds)
    sent += more
    before = settled_resident()
    client.touch(f"{job.topic}-idle", partitions)
    after = settled_resident()
    window = usage.Window(job.broker_pids)
    more = send_for(client, job.seconds)
    client.drain()
    figures = window.close(more)
    figures["rate_alone"] = alone
    figures["rate_kept"] = figures["rate"] / alone
    figures["bytes_per_partition"] = (after - before) / partitions
    figures["sent_total"] = float(sent + more)
    return figures


def busy_rate(client: Client, seconds: float) -> tuple[float, int]:
    start = time.perf_counter()
    sent = send_for(client, seconds)
    client.drain()
    return sent / (time.perf_counter() - start), sent


def settled_resident() -> int:
    gc.collect()
    return usage.resident_bytes()
