# SPDX-License-Identifier: Apache-2.0
"""The words scenarios are written in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

EVERYWHERE = ("mock", "kafka", "address")


@dataclass(frozen=True)
class Entry:
    """One line of a comparison: a client with its settings.

    Attributes:
        options: the client's settings, in its own spelling.
        params: added to the scenario's.
        brokers: kinds of broker it can run on.
    """

    label: str
    client: str
    options: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
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
        round_trip_ms: delay of the broker's answers (mock only).
        idle_partitions: size of a second topic beside the busy one.
    """

    name: str
    title: str
    workload: str
    entries: tuple[Entry, ...]
    targets: tuple[Target, ...] = ()
    metric: str = "rate"
    value_size: int = 100
    seconds: float = 3.0
    warmup_seconds: float = 1.0
    params: Mapping[str, float] = field(default_factory=dict)
    brokers: tuple[str, ...] = EVERYWHERE
    round_trip_ms: int = 0
    idle_partitions: int = 0
