# SPDX-License-Identifier: Apache-2.0
"""Kafka's own ProducerPerformance, on real Kafka: the Java yardstick."""

import os
import re
import subprocess
import tempfile

from benchmarks.compare.broker import Broker
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.usage import cpu_seconds
from tools.brokers import kafka, maven

# The JVM's compiler needs seconds: a shorter run would measure the interpreter.
LEAST_SECONDS = 12.0
# Records a second it is expected to reach at most, by value size: decides how many it gets.
EXPECTED = {100: 700_000, 1_000: 160_000}
LINE = re.compile(r"^(\d+) records sent, ([\d.]+) records/sec", re.MULTILINE)


class JavaFailed(Exception):
    pass


def run(job: Job, broker: Broker) -> Figures:
    """The better of the whole run's rate and the best five-second stretch after the first, which warms the JVM up.

    CPU time is the whole process's, start included.
    """
    seconds = job.seconds if job.params.get("quick") else max(job.seconds, LEAST_SECONDS)
    records = int(seconds * EXPECTED.get(job.value_size, 70_000_000 // max(job.value_size, 100)))
    broker_before = cpu_seconds(broker.pid)
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command(job, records), stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    rates = [(int(count), float(rate)) for count, rate in LINE.findall(text)]
    if process.returncode or not rates or rates[-1][0] != records or "Exception" in text:
        raise JavaFailed(text[-2000:])
    rate = max([rates[-1][1]] + [stretch for _, stretch in rates[1:-1]])
    cpu = used.ru_utime + used.ru_stime
    figures: Figures = {
        "acknowledged": float(records),
        "rate": rate,
        "rate_whole_run": rates[-1][1],
        "cpu_per_million": 1e6 * cpu / records,
        "peak_rss": 1024.0 * used.ru_maxrss,
        "sent_total": float(records),
    }
    if broker.pid:
        figures["broker_cpu_per_million"] = 1e6 * (cpu_seconds(broker.pid) - broker_before) / records
    return figures


def command(job: Job, records: int) -> list[str]:
    settings = {"bootstrap.servers": job.address, "acks": "all", "enable.idempotence": "true", **job.options}
    return [
        maven.java(), "-Xmx1g", "-cp", f"{kafka.jars()}/*", "org.apache.kafka.tools.ProducerPerformance",
        "--topic", job.topic, "--num-records", str(records), "--record-size", str(job.value_size),
        "--throughput", "-1", "--producer-props", *(f"{name}={value}" for name, value in settings.items()),
    ]  # fmt: skip
