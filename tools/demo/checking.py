# SPDX-License-Identifier: Apache-2.0
"""Did every record come back once, unchanged and in order per key?"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tools.demo.flights import Flight


class Verdict(NamedTuple):
    """How what was read differs from what was sent; all zero is good."""

    records: int
    keys: int
    missing: int
    repeated: int
    unknown: int
    misordered_keys: int
    split_keys: int

    @property
    def good(self) -> bool:
        return not any(self[2:])

    def line(self) -> str:
        if self.good:
            once = f"all {self.records:,} records came back once, unchanged"
            return f"OK: {once} and in order for each of {self.keys:,} keys"
        return (
            f"FAILED: of {self.records:,} records {self.missing:,} are missing, {self.repeated:,} came back again, "
            f"{self.unknown:,} were never sent like that; {self.misordered_keys:,} of {self.keys:,} keys out of order, "
            f"{self.split_keys:,} in more than one partition"
        )


def check(sent: Sequence[Flight], read: Iterable[tuple[int, bytes | None, bytes | None]]) -> Verdict:
    """Compare what was sent with (partition, key, value) as read, each partition in offset order."""
    wanted: dict[bytes | None, list[bytes | None]] = defaultdict(list)
    for flight in sent:
        wanted[flight.key].append(flight.value)
    found: dict[bytes | None, list[bytes | None]] = defaultdict(list)
    homes: dict[bytes | None, set[int]] = defaultdict(set)
    for partition, key, value in read:
        found[key].append(value)
        homes[key].add(partition)
    missing = repeated = unknown = misordered = 0
    for key in wanted.keys() | found.keys():
        want, have = wanted.get(key, []), found.get(key, [])
        if want == have:
            continue
        lost, extra = Counter(want) - Counter(have), Counter(have) - Counter(want)
        missing += lost.total()
        again = sum(count for value, count in extra.items() if value in want)
        repeated += again
        unknown += extra.total() - again
        misordered += not lost and not extra
    split = sum(len(partitions) > 1 for partitions in homes.values())
    return Verdict(len(sent), len(wanted), missing, repeated, unknown, misordered, split)
