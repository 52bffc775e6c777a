# SPDX-License-Identifier: Apache-2.0
"""The process of one run: reads a job from standard input, prints its figures as one line of JSON."""

import gc
import json
import sys
from collections.abc import Callable

from benchmarks.compare import records, usage
from benchmarks.compare.clients import load
from benchmarks.compare.clients.client import Client
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.workloads import awaiting, call_cost, latency, memory, throughput

WORKLOADS: dict[str, Callable[[Client, Job], Figures]] = {
    "throughput": throughput.run,
    "threads": throughput.run_threads,
    "serializer": throughput.run_serializer,
    "paced": latency.run_paced,
    "round-trips": latency.run_round_trips,
    "pool": latency.run_pool,
    "awaiting": awaiting.run,
    "slow-broker": memory.run_slow_broker,
    "idle-partitions": memory.run_idle_partitions,
    "call-cost": call_cost.run,
}


def main() -> None:
    job = Job.from_json(sys.stdin.read())
    adapter = load(job.client)
    supply = records.make(job)
    gc.collect()
    before = usage.resident_bytes()
    usage.reset_peak_resident()
    client = adapter(job, supply)
    figures = WORKLOADS[job.workload](client, job)
    # What the producer added to the interpreter, the client's library and the records.
    figures["peak_rss"] = float(usage.peak_resident_bytes())
    figures["peak_over_start"] = figures["peak_rss"] - before
    client.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
