# SPDX-License-Identifier: Apache-2.0
"""Kafka's own ProducerPerformance, on real Kafka: the Java yardstick."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from benchmarks.compare import records
from benchmarks.compare.broker import Broker
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.usage import cpu_seconds
from tools.brokers import kafka, maven

# The JVM's compiler needs seconds: a shorter run would measure the interpreter.
LEAST_SECONDS = 12.0
# Records a second it is expected to reach at most, by value size, unless params["java_rate"] says: how many it gets.
# Where it is faster, and so done too soon, it is run again with more.
EXPECTED = {100: 1_500_000, 1_000: 300_000}
LINE = re.compile(r"^(\d+) records sent, ([\d.]+) records/sec", re.MULTILINE)


class JavaFailed(Exception):
    pass


def run(job: Job, broker: Broker) -> Figures:
    """The better of the whole run's rate and the best five-second stretch after the first, which warms the JVM up.

    CPU time is the whole process's, start included.
    """
    seconds = job.seconds if job.quick else max(job.seconds, LEAST_SECONDS)
    size = job.load.value_size
    expected = job.params.get("java_rate", EXPECTED.get(size, 70_000_000 // max(size, 100)))
    sent = 0
    while True:
        count = int(seconds * expected)
        figures = _run_once(job, broker, count)
        sent += count
        if job.quick or count >= LEAST_SECONDS * figures["rate_whole_run"]:
            return {**figures, "sent_total": float(sent)}
        expected = 1.2 * figures["rate"]


def _run_once(job: Job, broker: Broker, count: int) -> Figures:
    broker_before = cpu_seconds(broker.pids)
    with tempfile.TemporaryDirectory() as folder, Path(folder, "out").open("w+") as out:
        line = command(job, count, Path(folder, "payloads"))
        process = subprocess.Popen(line, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    rates = [(int(count), float(rate)) for count, rate in LINE.findall(text)]
    if process.returncode or not rates or rates[-1][0] != count or "Exception" in text:
        raise JavaFailed(text[-2000:])
    whole = rates[-1][1]
    figures: Figures = {
        "acknowledged": float(count),
        "rate": max([whole] + [stretch for _, stretch in rates[1:-1]]),
        "rate_whole_run": whole,
        "cpu_per_million": 1e6 * (used.ru_utime + used.ru_stime) / count,
        "peak_rss": 1024.0 * used.ru_maxrss,
    }
    if broker.pids:
        figures["broker_cpu_per_million"] = 1e6 * (cpu_seconds(broker.pids) - broker_before) / count
    return figures


def command(job: Job, count: int, file: Path) -> list[str]:
    """Anything but bytes that are all the same it gets as lines of `file`, from which it chooses at random."""
    if job.load.payload == "same":
        what = ["--record-size", str(job.load.value_size)]
    else:
        supply = records.make(job)
        file.write_bytes(b"\n".join(supply.take(supply.size)))
        what = ["--payload-file", str(file)]
    settings = {"bootstrap.servers": job.address, "acks": "all", "enable.idempotence": "true", **job.options}
    return [
        maven.java(), "-Xmx1g", "-cp", f"{kafka.jars()}/*", "org.apache.kafka.tools.ProducerPerformance",
        "--topic", job.topic, "--num-records", str(count), *what,
        "--throughput", "-1", "--producer-props", *(f"{name}={value}" for name, value in settings.items()),
    ]  # fmt: skip
