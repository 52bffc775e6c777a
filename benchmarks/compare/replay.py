# SPDX-License-Identifier: Apache-2.0
"""The limit of the wire: a C program that sends ready-made requests."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.compare.broker import Broker
from benchmarks.compare.compiled import program
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.usage import cpu_seconds

IN_FLIGHT = 5


class ReplayFailed(Exception):
    pass


def run(job: Job, broker: Broker) -> Figures:
    """On the mock, which is one thread, the two ends get a processor each; else the kernel may put both on one."""
    pinned = broker.kind == "mock" and (os.cpu_count() or 1) > 1
    with _pinned(broker) if pinned else _as_they_are() as processor:
        return _run(job, broker, processor)


def _run(job: Job, broker: Broker, processor: set[int] | None) -> Figures:
    host, _, port = broker.leader_address(job.topic).rpartition(":")
    arguments = [host, port, job.topic, 0, job.load.value_size, int(job.params["batch_size"]), IN_FLIGHT]
    command = [str(program("replay")), *map(str, arguments), str(job.warmup_seconds), str(job.seconds)]
    broker_before = cpu_seconds(broker.pids)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=job.seconds + job.warmup_seconds + 60,
        preexec_fn=(lambda: os.sched_setaffinity(0, processor)) if processor else None,
    )
    if done.returncode:
        raise ReplayFailed(done.stderr.strip())
    figures: Figures = json.loads(done.stdout)
    records, seconds, cpu = figures["acknowledged"], figures["seconds"], figures.pop("cpu_seconds")
    figures["rate"] = records / seconds
    figures["cpu_per_million"] = 1e6 * cpu / records
    figures["cpu_percent"] = 100 * cpu / seconds
    if broker.pids:
        used = cpu_seconds(broker.pids) - broker_before
        figures["broker_cpu_per_million"] = 1e6 * used / figures["sent_total"]
    return figures


@contextmanager
def _pinned(broker: Broker) -> Iterator[set[int] | None]:
    allowed = sorted(os.sched_getaffinity(0))
    broker.pin({allowed[0]})
    try:
        yield {allowed[-1]}
    finally:
        broker.pin(set(allowed))


@contextmanager
def _as_they_are() -> Iterator[set[int] | None]:
    yield None
