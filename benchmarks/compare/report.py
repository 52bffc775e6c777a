# SPDX-License-Identifier: Apache-2.0
"""Comparisons as tables: for the terminal and, in Markdown, for the README."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.compare.distance import METRIC
from benchmarks.compare.result import Comparison, EntryResult, ScenarioResult, TargetResult

MIB = 1024 * 1024
REPLAY, NO_CALLBACKS, CALLBACKS = "replay in C (the limit)", "confluent, no callbacks", "confluent, callbacks"


@dataclass(frozen=True)
class Column:
    """One figure: its name, heading, divisor and format. `spread` adds smallest and largest."""

    metric: str
    heading: str
    unit: float = 1.0
    form: str = ",.2f"
    spread: bool = False


RATE = Column("rate", "k records/s", 1e3, ",.1f", spread=True)
MEGABYTES = Column("megabytes", "MB/s", form=",.0f")
CPU = Column("cpu_per_million", "client CPU s/M", form=",.3f")
CALLER_CPU = Column("caller_cpu_per_million", "of it caller", form=",.3f")
SYSTEM_CPU = Column("system_cpu_per_million", "of it kernel", form=",.3f")
BROKER_CPU = Column("broker_cpu_per_million", "broker CPU s/M", form=",.3f")
PEAK = Column("peak_rss", "peak RSS MiB", MIB, ",.0f")
OVER_START = Column("peak_over_start", "peak RSS above start MiB", MIB, ",.1f", spread=True)
P50, P99 = Column("p50_ms", "p50 ms", form=",.3f", spread=True), Column("p99_ms", "p99 ms", form=",.3f", spread=True)
P999 = Column("p999_ms", "p99.9 ms", form=",.3f", spread=True)
CPU_PERCENT = Column("cpu_percent", "client CPU %", form=",.1f")
BROKER_PERCENT = Column("broker_cpu_percent", "broker CPU %", form=",.1f")

# Columns without a figure in any row are left out.
THROUGHPUT = (RATE, MEGABYTES, CPU, CALLER_CPU, SYSTEM_CPU, BROKER_CPU, PEAK)
COLUMNS: dict[str, tuple[Column, ...]] = {
    "throughput": THROUGHPUT,
    "threads": THROUGHPUT,
    "serializer": (
        RATE,
        Column("send_ns", "caller ns/record", form=",.0f"),
        Column("serializer_ns", "serializer alone", form=",.0f"),
        Column("beside_serializer_ns", "all else", form=",.0f", spread=True),
        CPU,
        BROKER_CPU,
        PEAK,
    ),
    "paced": (P50, P99, P999, CPU_PERCENT, BROKER_PERCENT, PEAK),
    "round-trips": (RATE, P50, P99, P999, CPU_PERCENT, BROKER_PERCENT),
    "pool": (RATE, P50, P99, P999, CPU, BROKER_CPU, PEAK),
    "awaiting": (RATE, Column("wakeups_per_record", "wake-ups/record", form=",.4f"), CPU, BROKER_CPU, PEAK),
    "call-cost": (
        Column("times_empty", "times empty call", spread=True),
        Column("send_ns", "ns per call", form=",.0f"),
        Column("empty_ns", "ns per empty call", form=",.0f"),
    ),
    "slow-broker": (OVER_START, RATE),
    "idle-partitions": (
        Column("bytes_per_partition", "bytes per idle partition", form=",.0f", spread=True),
        Column("rate_kept", "rate kept", spread=True),
        RATE,
        PEAK,
    ),
}


def tables(scenario: ScenarioResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of one scenario."""
    columns = columns_of(scenario)
    bases = [label for label in (NO_CALLBACKS, CALLBACKS, REPLAY) if scenario.metric == "rate" and scenario.find(label)]
    headings = ["", *(column.heading for column in columns), *(f"x {base.split(' in C')[0]}" for base in bases)]
    rivals = not bases and scenario.metric == "rate" and any(rival(scenario, entry) for entry in scenario.entries)
    rows = []
    for entry in scenario.entries:
        cells = [cell(entry, column) for column in columns]
        cells += [ratio(entry, scenario.find(base), scenario.metric) for base in bases]
        cells += [ratio(entry, rival(scenario, entry), scenario.metric)] if rivals else []
        rows.append([entry.label + (" FAILED" if entry.errors else ""), *cells])
    return headings + ["x confluent"] * rivals, rows


def columns_of(scenario: ScenarioResult) -> list[Column]:
    """Those with a figure in any row; memory above the start where a target is about it."""
    columns = [column for column in COLUMNS[scenario.workload] if has(scenario, column)]
    if OVER_START not in columns and any(OVER_START.metric in target.text for target in scenario.targets):
        columns.append(OVER_START)
    return columns


def has(scenario: ScenarioResult, column: Column) -> bool:
    return any(any(entry.values(column.metric)) for entry in scenario.entries)


def rival(scenario: ScenarioResult, entry: EntryResult) -> EntryResult | None:
    """What "ours, 10 B" is to be compared with: "confluent, 10 B"."""
    if not entry.label.startswith("ours"):
        return None
    return scenario.find(entry.label.replace("ours", "confluent", 1))


def cell(entry: EntryResult, column: Column) -> str:
    values = entry.values(column.metric)
    middle = entry.median(column.metric)
    if middle is None:
        return "-"
    text = format(middle / column.unit, column.form)
    if column.spread and len(values) > 1:
        low, high = (format(value / column.unit, column.form) for value in (min(values), max(values)))
        text += f" ({low}-{high})"
    return text


def ratio(entry: EntryResult, base: EntryResult | None, metric: str) -> str:
    value, unit = entry.median(metric), base.median(metric) if base else None
    return format(value / unit, ".2f") if value is not None and unit else "-"


def distances(scenario: ScenarioResult) -> list[str]:
    """How far apart the processors were before each run: where the runs differ in that, so do their rates."""
    found = sorted(value for entry in scenario.entries for value in entry.values(METRIC))
    if not found:
        return []
    far = sum(value > 2 * found[0] for value in found)
    return [
        f"a cache line from processor to processor and back, before each run: {median(found):.0f} ns "
        f"({found[0]:.0f}-{found[-1]:.0f}); {far} of {len(found)} runs with more than twice the smallest"
    ]


def target_line(target: TargetResult) -> str:
    value = "no figure" if target.value is None else format(target.value, ",.3f")
    return f"{'reached' if target.reached else 'MISSED '}  {target.text}: {value}"


def plain(comparison: Comparison) -> str:
    lines = [header(comparison)]
    for scenario in comparison.scenarios:
        lines += ["", f"{scenario.name}: {scenario.title}", *aligned(*tables(scenario))]
        lines += [f"  {line}" for line in distances(scenario)]
        lines += [f"  {target_line(target)}" for target in scenario.targets]
        lines += [f"  {entry.label}: {error}" for entry in scenario.entries for error in entry.errors]
    targets = [target for scenario in comparison.scenarios for target in scenario.targets]
    if targets:
        lines += ["", f"{sum(target.reached for target in targets)} of {len(targets)} wanted figures reached"]
    return "\n".join(lines)


def markdown(comparison: Comparison, wanted: Callable[[ScenarioResult], bool] = lambda scenario: True) -> str:
    """The same for the README, one table per scenario, then the targets."""
    lines = [header(comparison), "", f"Command: `{comparison.command}`"]
    for scenario in filter(wanted, comparison.scenarios):
        headings, rows = tables(scenario)
        lines += ["", f"**{scenario.title[0].upper()}{scenario.title[1:]}**", ""]
        lines += ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        notes = [*distances(scenario), *map(target_line, scenario.targets)]
        if notes:
            lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines)


def header(comparison: Comparison) -> str:
    machine = comparison.machine
    versions = machine["versions"]
    assert isinstance(versions, dict)
    names = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (
        f"{comparison.date}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}, {machine['python']}; "
        f"{names}; broker: {comparison.broker}; medians of {comparison.runs} interleaved runs (smallest-largest)"
        + (", QUICK: not for comparison" if comparison.quick else "")
    )


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [headings, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    lines = []
    for label, *cells in table:
        padded = [text.rjust(width) for text, width in zip(cells, widths[1:], strict=True)]
        lines.append("  " + "  ".join([label.ljust(widths[0]), *padded]))
    return lines
