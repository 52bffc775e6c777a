# SPDX-License-Identifier: Apache-2.0
"""Whether a topic holds exactly what its senders were told, in their order."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

from tools.soak.journal import Entry, Outcome
from tools.soak.stamp import stamp_of

ABSENT = -1
EXAMPLES = 5


class Audit:
    """Fed with all of a topic, partition by partition in offset order, then with every thread's journal.

    Args:
        run: the run's number; records of another are nobody's.
        once: demand that no record is there twice and that each thread's are in order. Without it, which is what no
            idempotence means under faults, only that none is missing.

    Attributes:
        read: records seen.
        outcomes: how many records had each outcome.
        written_in_doubt: how many that failed in doubt are there.
    """

    def __init__(self, run: int, once: bool = True):
        self._run = run
        self._once = once
        self._offsets: dict[tuple[int, int], array[int]] = defaultdict(lambda: array("q"))
        self._told: Counter[tuple[int, int]] = Counter()
        self._problems: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = defaultdict(list)
        self.read = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.written_in_doubt = 0

    def see(self, partition: int, offset: int, value: bytes | None) -> None:
        """One record of the topic."""
        self.read += 1
        stamp = stamp_of(value)
        if stamp is None or stamp.run != self._run or stamp.partition != partition:
            self._complain("nobody's", f"{partition}:{offset} {value!r:.80}")
            return
        offsets = self._offsets[stamp.thread, partition]
        if stamp.number >= len(offsets):
            offsets.extend([ABSENT] * (stamp.number - len(offsets)))
            offsets.append(offset)
            return
        before = offsets[stamp.number]
        what = f"{stamp} at offset {offset}"
        if before == ABSENT:
            offsets[stamp.number] = offset
            if self._once:
                self._complain("out of order", f"{what}, after number {len(offsets) - 1} at {offsets[-1]}")
        elif self._once:
            self._complain("doubled", f"{what} and {before}")

    def settle(self, thread: int, entries: Iterable[Entry]) -> None:
        """One thread's journal. Call it when the whole topic has been seen."""
        for partition, number, outcome, offset in entries:
            key = thread, partition
            if number != self._told[key]:
                self._complain("outcome missing or told twice", f"{key}: {number} after {self._told[key] - 1}")
            self._told[key] = number + 1
            self.outcomes[outcome] += 1
            offsets = self._offsets[key]
            found = offsets[number] if number < len(offsets) else ABSENT
            self._judge(f"thread {thread} partition {partition} number {number}", outcome, offset, found)

    def _judge(self, what: str, outcome: Outcome, offset: int, found: int) -> None:
        if outcome is Outcome.ACKNOWLEDGED:
            if found == ABSENT:
                self._complain("lost", f"{what} acknowledged at {offset}")
            elif self._once and offset not in (found, -1):
                self._complain("at another offset", f"{what} acknowledged at {offset}, is at {found}")
        elif found != ABSENT:
            self.written_in_doubt += 1
            if outcome is Outcome.FAILED:
                self._complain("there although it failed without doubt", f"{what} at {found}")

    def problems(self) -> list[str]:
        """What is wrong, a line for each kind with examples; empty if all is well. Ask after `settle`."""
        for key, offsets in sorted(self._offsets.items()):
            if len(offsets) > self._told[key]:
                self._complain("without an outcome", f"{key}: {len(offsets) - self._told[key]}")
        return [f"{count} records {kind}: {'; '.join(self._examples[kind])}" for kind, count in self._problems.items()]

    def _complain(self, kind: str, example: str) -> None:
        self._problems[kind] += 1
        if len(self._examples[kind]) < EXAMPLES:
            self._examples[kind].append(example)
