# SPDX-License-Identifier: Apache-2.0
"""The words scenarios are written in."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.compare.load import Load

EVERYWHERE = ("mock", "kafka", "kafka3", "address")


@dataclass(frozen=True)
class Entry:
    """One line of a comparison: a client with its settings.

    Attributes:
        client: "module.Class" of `clients`, or a key of `runner.PROGRAMS`.
        options: the client's settings, in its own spelling.
        params: added to the scenario's.
        load: what differs from the scenario's.
        series, x: the line of a plot this is a point of, and where; see `Scenario.axis`.
        brokers: kinds of broker it can run on.
    """

    label: str
    client: str
    options: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)
    series: str = ""
    x: float | None = None
    brokers: tuple[str, ...] = EVERYWHERE


@dataclass(frozen=True)
class Target:
    """What an entry's median has to reach: a number, or a multiple of other entries' best median.

    Attributes:
        base: labels to divide by; empty for an absolute figure.
        base_metric: the bases' metric, `metric` when empty.
        least, most: bounds of the quotient (or of the figure).
    """

    label: str
    metric: str
    base: tuple[str, ...] = ()
    base_metric: str = ""
    least: float | None = None
    most: float | None = None
    brokers: tuple[str, ...] = EVERYWHERE


@dataclass(frozen=True)
class Scenario:
    """What all entries do.

    Attributes:
        workload: key of `child.WORKLOADS`.
        metric: the figure the scenario is about.
        axis: what `x` of the entries counts, when they form lines.
        everyday: kinds of broker on which it runs when nobody names scenarios.
        round_trip_ms: delay of the broker's answers (mock only).
        idle_partitions: size of a second topic beside the busy one.
    """

    name: str
    title: str
    workload: str
    entries: tuple[Entry, ...]
    targets: tuple[Target, ...] = ()
    metric: str = "rate"
    axis: str = ""
    load: Load = field(default_factory=Load)
    seconds: float = 3.0
    warmup_seconds: float = 1.0
    params: Mapping[str, float] = field(default_factory=dict)
    brokers: tuple[str, ...] = EVERYWHERE
    everyday: tuple[str, ...] = ("mock",)
    round_trip_ms: int = 0
    idle_partitions: int = 0

    def load_of(self, entry: Entry) -> Load:
        return replace(self.load, **entry.load)
