# SPDX-License-Identifier: Apache-2.0
"""The comparison itself, in its quick form: it runs, it counts, and it refuses to report what was not delivered."""

import dataclasses
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.compare import plot, report, runner, summary
from benchmarks.compare.broker import Broker, Mock
from benchmarks.compare.cli import chosen, known, matching
from benchmarks.compare.result import Comparison, EntryResult, ScenarioResult
from benchmarks.compare.runner import ROOT, RunFailed, judge, run_entry, run_scenario
from benchmarks.compare.scenario import Entry, Target
from benchmarks.compare.scenarios import SCENARIOS
from benchmarks.compare.scenarios.entries import CALLBACKS, PLAIN, REPLAY
from benchmarks.compare.scenarios.throughput import THROUGHPUT_100
from tools.brokers.mock import MESSAGE_TOO_LARGE, PRODUCE

# Which clients take part here; the full comparison runs them all.
ONLY = {
    "throughput-100": ["replay", "ours, callbacks", "no callbacks", "positional", "aiokafka", "kafka-python"],
    "throughput-1000": ["ours, futures"],
    "replicated-100": ["ours, callbacks"],
    "defaults-100": ["confluent, callbacks", "positional"],
    "defaults-1000": ["confluent, no callbacks"],
    "gil-hog": ["ours, futures, hog"],
    "lz4-100": ["ours, futures"],
    "zstd-100": ["ours, callbacks", "confluent, callbacks"],
    "lz4-1000": ["confluent, callbacks"],
    "zstd-1000": ["2 codec threads"],
    "gzip-100": ["ours, callbacks"],
    "gzip-1000": ["ours, futures, 256 KB"],
    "snappy-100": ["ours, callbacks"],
    "snappy-1000": ["confluent, callbacks"],
    "flights": ["ours, zstd", "confluent, none"],
    "weather": ["ours, gzip", "ours, none"],
    "latency": ["ours"],
    "latency-300000": ["ours"],
    "round-trips": ["ours, linger 0", "confluent, linger 0"],
    "thread-pool": ["ours", "confluent"],
    "call-cost": ["send()", "confluent"],
    "idle-partitions": ["ours, 1 MB pool", "confluent"],
    "partitions": ["ours, 1 partition", "ours, 10,000"],
    "threads": ["ours, 4", "confluent, 2"],
    "processes": ["2 processes"],
    "sizes": ["ours, 0 B", ", 1,000,000 B"],
    "keys-headers": ["headers"],
    "serializers": ["ours, orjson", "ours, str.encode", "confluent, json.dumps"],
    "slow-broker": ["ours, callbacks"],
    "tuning-100": ["defaults", "256 KB, linger 5"],
    "tuning-1000": ["defaults"],
    "peer-100": ["confluent, callbacks, poll() every 10,000", "aiokafka, linger 0"],
    "peer-1000": ["confluent, no callbacks, reports"],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_delivers_every_record(name: str, mock_broker: Broker) -> None:
    scenario = SCENARIOS[name]
    entries = matching(scenario, mock_broker, ONLY.get(name))
    assert entries
    result = run_scenario(scenario, entries, mock_broker, 1, True, print)
    assert [error for entry in result.entries for error in entry.errors] == []
    assert all(len(entry.values(scenario.metric)) == 1 for entry in result.entries)


def test_targets_name_entries_and_scenarios_are_told_apart() -> None:
    for scenario in SCENARIOS.values():
        labels = [entry.label for entry in scenario.entries]
        assert len(set(labels)) == len(labels), scenario.name
        assert {label for target in scenario.targets for label in (target.label, *target.base)} <= set(labels)
        assert scenario.workload in report.COLUMNS
        assert all((entry.x is not None) == bool(scenario.axis) for entry in scenario.entries)


def test_scenarios_are_chosen_by_pattern(mock_broker: Broker) -> None:
    assert [scenario.name for scenario in chosen(["zstd-*"], mock_broker)] == ["zstd-100", "zstd-1000"]
    assert {scenario.name for scenario in chosen(["*"], mock_broker)} == set(SCENARIOS)
    everyday = {scenario.name for scenario in chosen(None, mock_broker)}
    assert {"throughput-100", "lz4-100", "partitions"} <= everyday < set(SCENARIOS) - {"replicated-100"}
    with pytest.raises(Exception, match="no scenario is called throughput-10;"):
        known("throughput-10")


@pytest.mark.parametrize(
    ("entry", "message"),
    [(REPLAY, "error 10"), (PLAIN, r"\d+ records acknowledged, \d+ on the broker"), (CALLBACKS, "MSG_SIZE_TOO_LARGE")],
)
def test_a_refused_batch_fails_the_run(entry: Entry, message: str, mock_broker: Mock) -> None:
    """librdkafka without callbacks says nothing about it: the broker's own count shows it."""
    mock_broker.cluster.push_request_errors(PRODUCE, 0, MESSAGE_TOO_LARGE)
    with pytest.raises(RunFailed, match=message):
        run_entry(THROUGHPUT_100, entry, mock_broker, quick=True)
    mock_broker.cluster.clear_request_errors(PRODUCE)


@pytest.mark.parametrize(("kind", "rehearsals"), [("mock", 0), ("kafka", 1), ("kafka3", 1)])
def test_real_kafka_is_warmed_up_by_every_entry(
    kind: str, rehearsals: int, mock_broker: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(scenario: object, entry: Entry, *rest: object) -> dict[str, float]:
        ran.append(entry.label)
        return {THROUGHPUT_100.metric: float(len(ran))}

    monkeypatch.setattr(runner, "run_entry", run)
    monkeypatch.setattr(mock_broker, "kind", kind)
    entries = THROUGHPUT_100.entries[:3]
    result = run_scenario(THROUGHPUT_100, list(entries), mock_broker, 2, False, print)
    assert Counter(ran) == dict.fromkeys((entry.label for entry in entries), 2 + rehearsals)
    for entry in result.entries:
        assert [run[THROUGHPUT_100.metric] > 3 * rehearsals for run in entry.runs] == [True, True]


def test_targets_compare_medians() -> None:
    result = ScenarioResult("x", "x", "throughput", "rate")
    for label, rates in {"a": [10, 30, 20], "b": [5, 4, 6], "c": [8, 8, 1]}.items():
        result.entries.append(EntryResult(label, label, {}, [{"rate": rate} for rate in rates]))
    assert judge(Target("a", "rate", ("b",), least=4), result).value == 4
    assert judge(Target("a", "rate", ("b",), least=4), result).reached
    assert not judge(Target("a", "rate", ("b", "c"), least=2.6), result).reached
    assert judge(Target("b", "rate", most=5), result).reached
    result.entries[1].runs.clear()
    assert not judge(Target("a", "rate", ("b",), least=4), result).reached


def comparison(*scenarios: ScenarioResult) -> Comparison:
    machine: dict[str, object] = {"cpu": "c", "cores": 2, "system": "s", "python": "p", "versions": {"v": "1"}}
    return Comparison("2026-01-02", "python -m benchmarks compare", machine, "mock", 3, False, list(scenarios))


@pytest.fixture
def rates() -> ScenarioResult:
    entry = EntryResult("ours, futures", "ours", {"linger_ms": 0}, [{"rate": 2e6}, {"rate": 1e6}, {"rate": 4e6}])
    scenario = ScenarioResult("x", "rates", "throughput", "rate", [entry])
    scenario.targets.append(judge(Target("ours, futures", "rate", least=1e6), scenario))
    return scenario


@pytest.fixture
def growing() -> ScenarioResult:
    scenario = ScenarioResult("y", "sizes", "throughput", "rate", axis="bytes")
    for series, factor in (("ours", 3.0), ("confluent", 1.0)):
        for size in (0, 10, 100):
            runs = [{"rate": factor * 1e6 / (1 + size), "cpu_per_million": 1.0 + size} for _ in range(3)]
            scenario.entries.append(EntryResult(f"{series}, {size} B", series, {}, runs, series=series, x=size))
    return scenario


def test_results_come_back_from_the_file(tmp_path: Path, rates: ScenarioResult, growing: ScenarioResult) -> None:
    before = comparison(rates, growing)
    before.save(tmp_path / "deeper" / "result.json")
    after = Comparison.load(tmp_path / "deeper" / "result.json")
    assert after == before
    assert "| ours, futures | 2,000.0 (1,000.0-4,000.0) |" in report.markdown(after)
    assert "reached" in report.plain(after)
    assert report.plain(after).endswith("\n1 of 1 wanted figures reached")


def test_each_size_is_compared_with_the_same_size(growing: ScenarioResult) -> None:
    headings, rows = report.tables(growing)
    assert headings[-1] == "x confluent"
    assert [row[-1] for row in rows] == ["3.00", "3.00", "3.00", "-", "-", "-"]


def test_pictures_of_bars_and_of_lines(tmp_path: Path, rates: ScenarioResult, growing: ScenarioResult) -> None:
    paths = plot.draw(comparison(rates, growing), tmp_path / "plots")
    assert [path.name for path in paths] == ["x-mock.png", "x-mock.svg", "y-mock.png", "y-mock.svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    drawn = paths[3].read_text()
    assert all(text in drawn for text in ("client CPU s/M", "k records/s", "confluent"))


def test_a_missing_library_is_named_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"pip install matplotlib"):
        plot.require()


def test_what_is_published_can_still_be_read() -> None:
    files = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    assert files
    for file in files:
        published = Comparison.load(file)
        assert report.plain(published)
        assert dataclasses.asdict(published)["scenarios"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "--runs", "0"], "'0' is not a number from 1"),
        (["compare", "--seconds", "-1"], "'-1' is not a number of seconds"),
        (["compare", "--warmup", "nan"], "'nan' is not a number of seconds"),
        (["compare", "--broker", "nonsense"], "neither mock, kafka, kafka3 nor HOST:PORT"),
        (["compare", "--only", "nobody", "--quick"], "no client and scenario match"),
        (["compare", "--json", "/dev/null/x.json", "--quick"], "results cannot be kept"),
        (["compare", "--scenario", "none"], "no scenario is called none"),
        (["table", "/nowhere.json"], "holds no results"),
        (["summary", "/dev/null"], "holds no results"),
        (["table", "/nowhere.json", "--scenario", "none"], "no scenario is called none"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_measured(arguments: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_summary_shows_a_peers_cheapest_call() -> None:
    entry = lambda label, rate: EntryResult(label, "", {}, runs=[{"rate": rate, "cpu_per_million": 1.0}])  # noqa: E731
    labels = {"ours, futures": 5e6, "ours, callbacks": 4e6, "confluent, no callbacks": 2e6, "confluent, callbacks": 1e6,
              "confluent, callbacks, positional call": 1.6e6}  # fmt: skip
    scenario = ScenarioResult("throughput-100", "", "", "rate", [entry(*item) for item in labels.items()])
    (line,) = summary.throughput([Comparison("", "", {}, "mock", 1, False, [scenario])])[2:]
    assert "| 4,000 | 1,600 | 2.5 |" in line


def test_the_summary_shows_the_last_of_a_scenario() -> None:
    made = lambda broker, *names: Comparison("", "", {}, broker, 1, False, [ScenarioResult(name, "", "", "rate", [])  # noqa: E731
                                                                            for name in names])  # fmt: skip
    kept = summary.newest([made("mock", "a"), made("mock", "b", "c"), made("kafka", "b"), made("mock", "a", "b")])
    assert [(it.broker, [scenario.name for scenario in it.scenarios]) for it in kept] == [
        ("mock", ["c"]), ("kafka", ["b"]), ("mock", ["a", "b"])]  # fmt: skip
