# SPDX-License-Identifier: Apache-2.0
"""What came out, in a form that goes to a file and comes back."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.compare.job import Figures


@dataclass
class EntryResult:
    """One client's runs. A run that failed is in `errors` and not in `runs`. `series` and `x` place it in a plot."""

    label: str
    client: str
    options: dict[str, object]
    runs: list[Figures] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    series: str = ""
    x: float | None = None

    def values(self, metric: str) -> list[float]:
        return [run[metric] for run in self.runs if metric in run]

    def median(self, metric: str) -> float | None:
        values = self.values(metric)
        return median(values) if values else None


@dataclass
class TargetResult:
    text: str
    value: float | None
    reached: bool


@dataclass
class ScenarioResult:
    name: str
    title: str
    workload: str
    metric: str
    entries: list[EntryResult] = field(default_factory=list)
    targets: list[TargetResult] = field(default_factory=list)
    axis: str = ""

    def find(self, label: str) -> EntryResult | None:
        return next((entry for entry in self.entries if entry.label == label), None)


@dataclass
class Comparison:
    """A whole invocation."""

    date: str
    command: str
    machine: dict[str, object]
    broker: str
    runs: int
    quick: bool
    scenarios: list[ScenarioResult] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return any(entry.errors for scenario in self.scenarios for entry in scenario.entries)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> "Comparison":
        """What `save` wrote.

        Raises:
            SystemExit: there is no such file, or something else is in it.
        """
        try:
            return Comparison._from(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SystemExit(f"{path} holds no results of `compare --json`: {error}") from None

    @staticmethod
    def _from(raw: dict[str, Any]) -> "Comparison":
        scenarios = [
            ScenarioResult(
                **{
                    **scenario,
                    "entries": [EntryResult(**entry) for entry in scenario["entries"]],
                    "targets": [TargetResult(**target) for target in scenario["targets"]],
                }
            )
            for scenario in raw["scenarios"]
        ]
        return Comparison(**{**raw, "scenarios": scenarios})
