# SPDX-License-Identifier: Apache-2.0
"""A comparison as pictures: bars where clients stand beside each other, lines where something grows."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.compare.report import CPU, PEAK, RATE, Column, columns_of
from benchmarks.compare.result import Comparison, EntryResult, ScenarioResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, ROW, LINES_HEIGHT = 11.0, 0.32, 4.5
# Read by colour-blind people too; ours first.
COLOURS = {"ours": "#0072b2", "confluent": "#d55e00", "replay": "#999999", "Java": "#cc79a7", "defaults": "#0072b2"}
OTHER_COLOUR = "#009e73"


def require() -> None:
    """Before anything is measured.

    Raises:
        SystemExit: matplotlib is missing; the message says what to install.
    """
    if find_spec("matplotlib") is None:
        raise SystemExit("plots need matplotlib: pip install matplotlib (or this project with its extra [bench])")


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """SCENARIO-BROKER.png and .svg for each scenario; the paths."""
    require()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for scenario in comparison.scenarios:
        figure = Figure(figsize=(WIDTH, height(scenario)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = chosen(scenario)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, column in zip(axes, panels, strict=True):
            (lines if scenario.axis else bars)(axis, scenario, column)
        figure.suptitle(scenario.title[0].upper() + scenario.title[1:], fontsize=10)
        figure.text(0.5, -0.01, footnote(comparison), ha="center", va="top", fontsize=6)
        for kind in ("png", "svg"):
            path = folder / f"{scenario.name}-{comparison.broker}.{kind}"
            figure.savefig(path, dpi=150, bbox_inches="tight")
            paths.append(path)
    return paths


def chosen(scenario: ScenarioResult) -> list[Column]:
    """The scenario's own figure, then CPU, then memory: what there is of them, without one that is there already."""
    columns = columns_of(scenario)
    own = [column for column in columns if column.metric == scenario.metric]
    cost = [column for column in (CPU, PEAK) if column in columns and column not in own]
    return [*(own or [RATE]), *cost]


def height(scenario: ScenarioResult) -> float:
    return LINES_HEIGHT if scenario.axis else 1.2 + ROW * len(scenario.entries)


def bars(axis: "Axes", scenario: ScenarioResult, column: Column) -> None:
    """Medians, with smallest and largest as whiskers."""
    entries = [entry for entry in scenario.entries if entry.runs]
    places = range(len(entries))
    medians = [(entry.median(column.metric) or 0.0) / column.unit for entry in entries]
    axis.barh(places, medians, xerr=spreads(entries, column), color=[colour(entry.label) for entry in entries])
    first = axis.get_subplotspec() is None or axis.get_subplotspec().is_first_col()  # type: ignore[union-attr]
    axis.set_yticks(places, [entry.label if first else "" for entry in entries], fontsize=7)
    axis.invert_yaxis()
    finish(axis, column, "x")


def lines(axis: "Axes", scenario: ScenarioResult, column: Column) -> None:
    """One line for each series."""
    for series in dict.fromkeys(entry.series for entry in scenario.entries):
        points = [entry for entry in scenario.entries if entry.series == series and entry.values(column.metric)]
        where = [entry.x or 0.0 for entry in points]
        medians = [(entry.median(column.metric) or 0.0) / column.unit for entry in points]
        axis.errorbar(
            where, medians, yerr=spreads(points, column), marker="o", capsize=2, label=series, color=colour(series)
        )
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(left=0 if any(entry.x == 0 for entry in scenario.entries) else 0.8)
    axis.set_xlabel(scenario.axis, fontsize=8)
    axis.legend(fontsize=7)
    finish(axis, column, "y")


def spreads(entries: Sequence[EntryResult], column: Column) -> list[list[float]]:
    """Distances from the median to the smallest and to the largest."""
    below, above = [], []
    for entry in entries:
        values, middle = entry.values(column.metric) or [0.0], entry.median(column.metric) or 0.0
        below.append((middle - min(values)) / column.unit)
        above.append((max(values) - middle) / column.unit)
    return [below, above]


def finish(axis: "Axes", column: Column, direction: str) -> None:
    axis.set_title(column.heading, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(axis="x" if direction == "x" else "y", alpha=0.3)
    if direction == "x":
        axis.set_xlim(left=0)
    else:
        axis.set_ylim(bottom=0)


def colour(label: str) -> str:
    return next((found for word, found in COLOURS.items() if label.startswith(word)), OTHER_COLOUR)


def footnote(comparison: Comparison) -> str:
    machine = comparison.machine
    return (
        f"{comparison.date}, {machine['cpu']}, {machine['cores']} cores, broker: {comparison.broker}, "
        f"medians of {comparison.runs} runs, whiskers from smallest to largest"
        + (", QUICK: not for comparison" if comparison.quick else "")
    )
