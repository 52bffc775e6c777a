# SPDX-License-Identifier: Apache-2.0
"""The process of one run: reads a job from standard input, prints its figures as one line of JSON."""

import json
import sys
from collections.abc import Callable

from benchmarks.compare.clients.client import Client
from benchmarks.compare.clients.registry import load
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.workloads import call_cost, latency, memory, throughput

WORKLOADS: dict[str, Callable[[Client, Job], Figures]] = {
    "throughput": throughput.run,
    "paced": latency.run_paced,
    "round-trips": latency.run_round_trips,
    "idle-partitions": memory.run_idle_partitions,
    "call-cost": call_cost.run,
}


def main() -> None:
    job = Job.from_json(sys.stdin.read())
    adapter = load(job)
    if job.workload == "slow-broker":
        figures = memory.run_slow_broker(lambda: adapter(job), job)
    else:
        client = adapter(job)
        figures = WORKLOADS[job.workload](client, job)
        client.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
