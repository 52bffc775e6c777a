# SPDX-License-Identifier: Apache-2.0
"""Runs a scenario: the clients in turns, each run in a fresh process, each run's records counted on the broker."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

from confluent_kafka import KafkaException

from benchmarks.compare import distance, java, memory, replay
from benchmarks.compare.broker import Broker
from benchmarks.compare.clients.client import TIMEOUT, DeliveryFailed
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.load import Load
from benchmarks.compare.result import EntryResult, ScenarioResult, TargetResult
from benchmarks.compare.scenario import Entry, Scenario, Target

ROOT = Path(__file__).parents[2]
QUICK_SECONDS, QUICK_WARMUP = 0.2, 0.05
QUICK_TOPICS, QUICK_PARTITIONS = 5, 100
ADDED = ("acknowledged", "sent_total", "rate", "megabytes", "cpu_percent", "peak_rss", "peak_over_start")
# A topic that cannot be made or counted fails the run, too, and not the comparison.
FAILURES = (
    DeliveryFailed, replay.ReplayFailed, java.JavaFailed, subprocess.TimeoutExpired, TimeoutError, KafkaException,
)  # fmt: skip
PROGRAMS: dict[str, Callable[[Job, Broker], Figures]] = {"replay": replay.run, "java": java.run}


def run_scenario(
    scenario: Scenario, entries: list[Entry], broker: Broker, runs: int, quick: bool, say: Callable[[str], None]
) -> ScenarioResult:
    """Every entry once, then every entry once more in another order, `runs` times.

    A real broker goes through all of them once before, unrecorded: its compiler and its page cache have to get to know
    each load, and run after run was faster until they did.
    """
    result = ScenarioResult(scenario.name, scenario.title, scenario.workload, scenario.metric, axis=scenario.axis)
    result.entries = [
        EntryResult(entry.label, entry.client, dict(entry.options), series=entry.series, x=entry.x)
        for entry in entries
    ]
    broker.set_round_trip(scenario.round_trip_ms)
    try:
        rehearsals = 0 if quick or broker.kind == "mock" else 1
        for number in range(-rehearsals, runs):
            for turn in range(len(entries)):
                index = (turn + number) % len(entries)
                outcome = result.entries[index]
                try:
                    figures = run_entry(scenario, entries[index], broker, quick)
                    if number >= 0:
                        outcome.runs.append(figures)
                    say(f"{scenario.name} {number + 1}/{runs} {outcome.label}: {figures[scenario.metric]:,.6g}")
                except RunFailed as error:
                    outcome.errors.append(str(error))
                    say(f"{scenario.name} {number + 1}/{runs} {outcome.label}: FAILED {error}")
    finally:
        broker.set_round_trip(0)
    wanted = [target for target in scenario.targets if broker.kind in target.brokers and present(target, result)]
    result.targets = [judge(target, result) for target in wanted]
    return result


class RunFailed(Exception):
    pass


def run_entry(scenario: Scenario, entry: Entry, broker: Broker, quick: bool) -> Figures:
    """One run, in its own topic.

    Raises:
        RunFailed: an error, or the broker does not have exactly the records that were acknowledged.
    """
    idle = min(scenario.idle_partitions, QUICK_PARTITIONS) if quick else scenario.idle_partitions
    load = scenario.load_of(entry)
    if quick:
        load = replace(load, topics=min(load.topics, QUICK_TOPICS), partitions=min(load.partitions, QUICK_PARTITIONS))
    try:
        with broker.topics(load, idle) as topic:
            job = make_job(scenario, entry, broker, topic, load, quick, idle)
            if broker.kind.startswith("kafka") and not quick:
                memory.touch_free()
            apart = distance.core_to_core_ns()
            figures = PROGRAMS[job.client](job, broker) if job.client in PROGRAMS else run_children(job)
            stored = broker.stored(load, topic)
    except FAILURES as error:
        raise RunFailed(f"{type(error).__name__}: {error}") from None
    if stored != figures["sent_total"]:
        raise RunFailed(f"{figures['sent_total']:.0f} records acknowledged, {stored} on the broker")
    if apart is not None:
        figures[distance.METRIC] = apart
    return figures


def make_job(
    scenario: Scenario, entry: Entry, broker: Broker, topic: str, load: Load, quick: bool, idle: int = 0
) -> Job:
    return Job(
        client=entry.client,
        workload=scenario.workload,
        address=broker.address,
        topic=topic,
        load=load,
        seconds=QUICK_SECONDS if quick else scenario.seconds,
        warmup_seconds=QUICK_WARMUP if quick else scenario.warmup_seconds,
        options=dict(entry.options),
        params={**scenario.params, **entry.params, **({"partitions": float(idle)} if idle else {})},
        broker_pids=broker.pids,
        mock=broker.kind == "mock",
        quick=quick,
    )


def run_children(job: Job) -> Figures:
    """One process, or params["processes"] of them at once: their figures added up."""
    count = int(job.params.get("processes", 1))
    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(run_child, [job] * count))
    return found[0] if count == 1 else together(found)


def together(found: Sequence[Figures]) -> Figures:
    """Rates, counts and memory add up; what is per record is weighed by the records. The broker's work is shared."""
    records = sum(figures["acknowledged"] for figures in found)
    added = {name: sum(figures[name] for figures in found) for name in ADDED if name in found[0]}
    weighed = {
        name: sum(figures[name] * figures["acknowledged"] for figures in found) / records
        for name in found[0]
        if name.endswith("per_million")
    }
    if "broker_cpu_per_million" in weighed:
        # Each of them saw all that the broker did.
        weighed["broker_cpu_per_million"] /= len(found)
    return {**added, **weighed}


def run_child(job: Job, prefix: Sequence[str] = ()) -> Figures:
    """`prefix` is a command that runs another, a profiler for example."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "benchmarks.compare.child"],
        input=job.to_json(),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=4 * (job.seconds + job.warmup_seconds) + 2 * TIMEOUT,
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        # librdkafka's own log lines start with a percent sign and may come last.
        said = [line for line in done.stderr.splitlines() if line and not line.startswith("%")]
        raise RunFailed(f"status {done.returncode}: {said[-1] if said else 'no message'}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def present(target: Target, result: ScenarioResult) -> bool:
    """Whether the entries it compares take part."""
    return all(map(result.find, (target.label, *target.base)))


def judge(target: Target, result: ScenarioResult) -> TargetResult:
    """A target that cannot be computed, because a run failed, is not reached."""
    entry = result.find(target.label)
    value = entry.median(target.metric) if entry else None
    text = f"{target.label}: {target.metric}"
    if target.base:
        bases = [found.values(target.base_metric or target.metric) for found in map(result.find, target.base) if found]
        medians = [median(values) for values in bases if values]
        value = value / max(medians) if value is not None and medians else None
        text += f" / {target.base[0] if len(target.base) == 1 else 'best of the others'}"
    text += f" >= {target.least:,g}" if target.least is not None else f" <= {target.most:,g}"
    reached = (
        value is not None
        and (target.least is None or value >= target.least)
        and (target.most is None or value <= target.most)
    )
    return TargetResult(text, value, reached)
