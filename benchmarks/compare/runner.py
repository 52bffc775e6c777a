# SPDX-License-Identifier: Apache-2.0
"""Runs a scenario: the clients in turns, each run in a fresh process, each run's records counted on the broker."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.compare import distance, java, replay
from benchmarks.compare.broker import Broker
from benchmarks.compare.clients.client import TIMEOUT, DeliveryFailed
from benchmarks.compare.job import Figures, Job
from benchmarks.compare.result import EntryResult, ScenarioResult, TargetResult
from benchmarks.compare.scenario import Entry, Scenario, Target

ROOT = Path(__file__).parents[2]
QUICK_SECONDS, QUICK_WARMUP = 0.3, 0.05
QUICK_PARTITIONS = 500
PROGRAMS: dict[str, Callable[[Job, Broker], Figures]] = {"replay": replay.run, "java": java.run}


def run_scenario(
    scenario: Scenario, entries: list[Entry], broker: Broker, runs: int, quick: bool, say: Callable[[str], None]
) -> ScenarioResult:
    """Every entry once, then every entry once more in another order, `runs` times."""
    result = ScenarioResult(scenario.name, scenario.title, scenario.workload, scenario.metric)
    result.entries = [EntryResult(entry.label, entry.client, dict(entry.options)) for entry in entries]
    broker.set_round_trip(scenario.round_trip_ms)
    try:
        for number in range(runs):
            for turn in range(len(entries)):
                index = (turn + number) % len(entries)
                outcome = result.entries[index]
                try:
                    figures = run_entry(scenario, entries[index], broker, quick)
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
    idle = QUICK_PARTITIONS if quick and scenario.idle_partitions else scenario.idle_partitions
    with broker.topic(idle_partitions=idle) as topic:
        job = make_job(scenario, entry, broker, topic, quick, idle)
        apart = distance.core_to_core_ns()
        try:
            figures = PROGRAMS[job.client](job, broker) if job.client in PROGRAMS else run_child(job)
        except (DeliveryFailed, replay.ReplayFailed, java.JavaFailed, subprocess.TimeoutExpired) as error:
            raise RunFailed(str(error)) from None
        stored = broker.end_offset(topic)
    if stored != figures["sent_total"]:
        raise RunFailed(f"{figures['sent_total']:.0f} records acknowledged, {stored} on the broker")
    if apart is not None:
        figures[distance.METRIC] = apart
    return figures


def make_job(scenario: Scenario, entry: Entry, broker: Broker, topic: str, quick: bool, idle: int) -> Job:
    params = {**scenario.params, **entry.params}
    if quick:
        params["quick"] = 1.0
    if idle:
        params["partitions"] = float(idle)
    return Job(
        client=entry.client,
        workload=scenario.workload,
        address=broker.address,
        topic=topic,
        value_size=scenario.value_size,
        seconds=QUICK_SECONDS if quick else scenario.seconds,
        warmup_seconds=QUICK_WARMUP if quick else scenario.warmup_seconds,
        options=dict(entry.options),
        params=params,
        broker_pid=broker.pid,
        mock=broker.kind == "mock",
    )


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
