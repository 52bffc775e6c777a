# SPDX-License-Identifier: Apache-2.0
"""The comparison itself, in its quick form: it runs, it counts, and it refuses to report what was not delivered."""

from pathlib import Path

import pytest

from benchmarks.compare import report
from benchmarks.compare.broker import Broker, Mock
from benchmarks.compare.cli import matching
from benchmarks.compare.result import Comparison, EntryResult, ScenarioResult
from benchmarks.compare.runner import RunFailed, judge, run_entry, run_scenario
from benchmarks.compare.scenario import Entry, Target
from benchmarks.compare.scenarios import CALLBACKS, PLAIN, REPLAY, SCENARIOS, THROUGHPUT_100
from tools.brokers.mock import MESSAGE_TOO_LARGE, PRODUCE

# Which clients take part here; the full comparison runs them all.
ONLY = {
    "throughput-1000": ["ours, futures", "confluent, no callbacks"],
    "gil-hog": ["ours"],
    "latency": ["ours", "confluent"],
    "round-trips": ["ours", "confluent, linger 0"],
    "slow-broker": ["ours"],
    "tuning-100": ["defaults", "256 KB, linger 5"],
    "tuning-1000": ["defaults"],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_delivers_every_record(name: str, mock_broker: Broker) -> None:
    scenario = SCENARIOS[name]
    result = run_scenario(scenario, matching(scenario, mock_broker, ONLY.get(name)), mock_broker, 1, True, print)
    assert [error for entry in result.entries for error in entry.errors] == []
    assert all(len(entry.values(scenario.metric)) == 1 for entry in result.entries)


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


def test_results_come_back_from_the_file(tmp_path: Path) -> None:
    entry = EntryResult("ours, futures", "ours", {"linger_ms": 0}, [{"rate": 2e6}, {"rate": 1e6}, {"rate": 4e6}])
    scenario = ScenarioResult("x", "rates", "throughput", "rate", [entry])
    scenario.targets.append(judge(Target("ours, futures", "rate", least=1e6), scenario))
    machine: dict[str, object] = {"cpu": "c", "cores": 2, "system": "s", "python": "p", "versions": {"v": "1"}}
    before = Comparison("2026-01-02", "python -m benchmarks compare", machine, "mock", 3, False, [scenario])
    before.save(tmp_path / "deeper" / "result.json")
    after = Comparison.load(tmp_path / "deeper" / "result.json")
    assert after == before
    assert "| ours, futures | 2,000.0 (1,000.0-4,000.0) |" in report.markdown(after)
    assert "reached" in report.plain(after)
