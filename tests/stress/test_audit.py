# SPDX-License-Identifier: Apache-2.0
"""The audit must be able to say no: every kind of damage, one at a time."""

from pathlib import Path

import pytest

from tools.soak.audit import Audit
from tools.soak.journal import Entry, Journal, Outcome, read_journal
from tools.soak.stamp import Stamp, stamp_of

RUN = 77
ACK, FAILED, DOUBT = Outcome.ACKNOWLEDGED, Outcome.FAILED, Outcome.IN_DOUBT


def value(number: int, run: int = RUN, partition: int = 0, thread: int = 0) -> bytes:
    return Stamp(run, thread, partition, number).value()


def audited(read: list[bytes | None], told: list[Entry], once: bool = True) -> list[str]:
    audit = Audit(RUN, once)
    for offset, found in enumerate(read):
        audit.see(0, offset, found)
    audit.settle(0, told)
    return audit.problems()


def told(*outcomes: Outcome) -> list[Entry]:
    """Outcomes of records 0, 1, ...; acknowledged ones at the offset of their number."""
    return [Entry(0, n, outcome, n if outcome is ACK else -1) for n, outcome in enumerate(outcomes)]


def test_all_is_well() -> None:
    assert audited([value(0), value(1)], told(ACK, ACK)) == []
    failed = [Entry(0, 0, FAILED, -1), Entry(0, 1, ACK, 0), Entry(0, 2, DOUBT, -1), Entry(0, 3, DOUBT, -1)]
    assert audited([value(1), value(3)], failed) == []


@pytest.mark.parametrize(
    ("read", "outcomes", "problem"),
    [
        ([value(0)], told(ACK, ACK), "1 records lost: thread 0 partition 0 number 1 acknowledged at 1"),
        ([value(0), value(1), value(1)], told(ACK, ACK), "1 records doubled"),
        ([value(0), value(2), value(1)], told(ACK, ACK, DOUBT), "1 records out of order"),
        ([value(0), value(1)], told(ACK, FAILED), "1 records there although it failed without doubt"),
        ([value(0), value(1)], told(ACK), "1 records without an outcome"),
        ([value(0), value(1)], told(ACK, ACK)[:1] * 2, "outcome missing or told twice"),
        ([value(0), value(1)], told(ACK, ACK)[1:], "outcome missing or told twice"),
        ([value(1), value(0)], told(ACK, ACK), "at another offset"),
        ([value(0), value(0, run=RUN + 1)], told(ACK), "1 records nobody's"),
        ([value(0), value(0, partition=1)], told(ACK), "1 records nobody's"),
        ([value(0), value(1)[:-1]], told(ACK, DOUBT), "1 records nobody's"),
        ([value(0), None], told(ACK), "1 records nobody's"),
    ],
)
def test_what_is_wrong_is_named(read: list[bytes | None], outcomes: list[Entry], problem: str) -> None:
    assert any(problem in line for line in audited(read, outcomes)), audited(read, outcomes)


def test_at_least_once_is_less() -> None:
    assert audited([value(1), value(0), value(1)], told(ACK, ACK), once=False) == []
    assert audited([value(1)], told(ACK, ACK), once=False) != []


def test_threads_and_partitions_are_told_apart() -> None:
    audit = Audit(RUN)
    for thread in (0, 1):
        for partition in (0, 1):
            audit.see(partition, thread, value(0, partition=partition, thread=thread))
    audit.settle(0, [Entry(0, 0, ACK, 0), Entry(1, 0, ACK, 0)])
    audit.settle(1, [Entry(0, 0, ACK, 1)])
    assert audit.problems() == ["1 records without an outcome: (1, 1): 1"]


def test_stamps_and_journals_come_back(tmp_path: Path) -> None:
    for number in range(30):
        stamp = Stamp(RUN, 3, 2, number)
        assert stamp_of(stamp.value()) == stamp
    assert stamp_of(b"short") is None
    journal = Journal(tmp_path / "journal0")
    entries = [Entry(1, 2, ACK, 1 << 40), Entry(65_535, 1 << 50, DOUBT, -1)]
    for entry in entries:
        journal.add(*entry)
    journal.close()
    assert list(read_journal(tmp_path / "journal0")) == entries
