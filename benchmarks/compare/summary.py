# SPDX-License-Identifier: Apache-2.0
"""Comparisons in short, for the README: a line per scenario, the clients beside each other."""

from collections.abc import Iterable
from dataclasses import replace

from benchmarks.compare.report import CALLBACKS, NO_CALLBACKS, header
from benchmarks.compare.result import Comparison, EntryResult, ScenarioResult

FUTURES, OURS_CALLBACKS, LATENCY = "ours, futures", "ours, callbacks", "ours"
HOG = ", hog"
POSITIONAL = CALLBACKS + ", positional call"
OTHERS = {"Java": "Java ProducerPerformance", "aiokafka": "aiokafka", "kafka-python": "kafka-python"}


def markdown(comparisons: Iterable[Comparison]) -> str:
    """The rates and CPU times of all comparisons, then their latencies, then machine and command of each."""
    comparisons = newest(comparisons)
    lines = [*throughput(comparisons), "", *latencies(comparisons), ""]
    for comparison in comparisons:
        lines += [f"- {header(comparison)}. `{comparison.command}`"]
    targets = [target for comparison in comparisons for scenario in comparison.scenarios for target in scenario.targets]
    lines += ["", f"{sum(target.reached for target in targets)} of {len(targets)} wanted figures of these runs reached"]
    return "\n".join(lines)


def newest(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Of a scenario that several have of one kind of broker, what the last one has."""
    seen: set[tuple[str, str]] = set()
    kept: list[Comparison] = []
    for comparison in reversed(list(comparisons)):
        named = {(comparison.broker, scenario.name): scenario for scenario in comparison.scenarios}
        new = [scenario for key, scenario in named.items() if key not in seen]
        seen |= named.keys()
        kept[:0] = [replace(comparison, scenarios=new)] if new else []
    return kept


def throughput(comparisons: Iterable[Comparison]) -> list[str]:
    lines = [
        "| thousand records/s | ours | confluent-kafka | x "
        "| ours, callbacks | confluent-kafka, callbacks, its cheapest call | x | "
        + " | ".join(OTHERS)
        + " | CPU per record, ours / confluent-kafka |",
        "|---" + "|---:" * (7 + len(OTHERS)) + "|",
    ]
    for comparison in comparisons:
        for scenario in comparison.scenarios:
            hog = HOG if scenario.find(FUTURES + HOG) else ""
            lines += [line(comparison, scenario, hog)] if scenario.find(FUTURES) and scenario.find(NO_CALLBACKS) else []
    return lines


def line(comparison: Comparison, scenario: ScenarioResult, hog: str) -> str:
    """`hog`: what the labels of those beside a busy thread end with, where the scenario is about that."""
    futures, callbacks = scenario.find(FUTURES + hog), scenario.find(OURS_CALLBACKS + hog)
    plain, called = scenario.find(NO_CALLBACKS + hog), fastest(scenario, CALLBACKS + hog, POSITIONAL + hog)
    cells = [thousands(futures), thousands(plain), times(futures, plain, "rate")]
    cells += [thousands(callbacks), thousands(called), times(callbacks, called, "rate")]
    cells += [thousands(scenario.find(label)) for label in OTHERS.values()]
    cells += [times(futures, plain, "cpu_per_million")]
    return f"| {scenario.name}, {comparison.broker} | " + " | ".join(cells) + " |"


def latencies(comparisons: Iterable[Comparison]) -> list[str]:
    lines = ["| ms from send to callback, p50 / p99 | ours | confluent-kafka |", "|---|---:|---:|"]
    for comparison in comparisons:
        for scenario in comparison.scenarios:
            ours, theirs = scenario.find(LATENCY), scenario.find("confluent")
            if ours and theirs and scenario.metric == "p50_ms":
                lines += [f"| {scenario.name}, {comparison.broker} | {quantiles(ours)} | {quantiles(theirs)} |"]
    return lines


def fastest(scenario: ScenarioResult, *labels: str) -> EntryResult | None:
    """Of the ways in which a peer can do the same, the one that it does best."""
    found = [entry for label in labels if (entry := scenario.find(label))]
    return max(found, key=lambda entry: entry.median("rate") or 0.0, default=None)


def thousands(entry: EntryResult | None) -> str:
    rate = entry.median("rate") if entry else None
    return "-" if rate is None else format(rate / 1e3, ",.0f")


def times(entry: EntryResult | None, other: EntryResult | None, metric: str) -> str:
    value, unit = (each.median(metric) if each else None for each in (entry, other))
    return "-" if value is None or not unit else format(value / unit, ".3g")


def quantiles(entry: EntryResult) -> str:
    values = [entry.median(metric) for metric in ("p50_ms", "p99_ms")]
    return " / ".join("-" if value is None else format(value, ".3f") for value in values)
