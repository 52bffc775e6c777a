# SPDX-License-Identifier: Apache-2.0
"""The limit of the wire: a C program that sends ready-made requests. Compiled when needed."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.compare.broker import Broker
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.usage import cpu_seconds
from tools.brokers.maven import cache_dir

SOURCE = Path(__file__).with_name("replay.c")
FLAGS = ["-O3", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
IN_FLIGHT = 5


class ReplayFailed(Exception):
    pass


def program() -> Path:
    """The compiled program; its name carries a digest of the source, so an edit compiles anew."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    path = cache_dir("benchmarks") / f"replay-{digest}"
    if not path.exists():
        compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
        if compiler is None:
            raise ReplayFailed("no C compiler found: install gcc or set CC")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *FLAGS, "-o", str(fresh), str(SOURCE)], check=True)
        fresh.rename(path)
    return path


def run(job: Job, broker: Broker) -> Figures:
    """On the mock, which is one thread, the two ends get a processor each; else the kernel may put both on one."""
    pinned = broker.kind == "mock" and (os.cpu_count() or 1) > 1
    with _pinned(broker) if pinned else _as_they_are() as processor:
        return _run(job, broker, processor)


def _run(job: Job, broker: Broker, processor: set[int] | None) -> Figures:
    host, _, port = broker.leader_address(job.topic).rpartition(":")
    arguments = [host, port, job.topic, 0, job.value_size, int(job.params["batch_size"]), IN_FLIGHT]
    command = [str(program()), *map(str, arguments), str(job.warmup_seconds), str(job.seconds)]
    broker_before = cpu_seconds(broker.pid)
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
    if broker.pid:
        used = cpu_seconds(broker.pid) - broker_before
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
