# SPDX-License-Identifier: Apache-2.0
"""What was sent, what became of it, and whether a topic holds exactly that."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from pykafka_fast import KafkaProducer
from pykafka_fast._core.future import RecordFuture
from tools.readback import Record


class Ledger:
    """One thread's records for one topic, each with a value that nobody else sends.

    Args:
        producer: sends them.
        topic: where to.
        name: what the values begin with; different for every ledger of a topic.
    """

    def __init__(self, producer: KafkaProducer, topic: str, name: str = "v"):
        self._producer = producer
        self._topic = topic
        self._name = name
        self.entries: list[tuple[bytes, RecordFuture]] = []

    def send(self, key: bytes | None = None, partition: int | None = None, padding: int = 0) -> RecordFuture:
        value = b"%s-%08d" % (self._name.encode(), len(self.entries)) + b"." * padding
        future = self._producer.send(self._topic, value, key=key, partition=partition)
        self.entries.append((value, future))
        return future

    def wait(self, timeout: float) -> None:
        """Wait until every outcome is known.

        Raises:
            TimeoutError: some is not after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        for number, (_, future) in enumerate(self.entries):
            try:
                future.get(max(deadline - time.monotonic(), 0))
            except Exception:
                if not future.is_done:
                    raise TimeoutError(f"{number} of {len(self.entries)} outcomes within {timeout:g} s") from None

    def failures(self) -> list[BaseException]:
        return [error for _, future in self.entries if (error := future.exception) is not None]


def check(read: Sequence[Record], *ledgers: Ledger, once: bool = True) -> None:
    """`read`, all of the topic, is what the ledgers say, and nothing else.

    Every acknowledged record is there once, at the partition and offset its future tells; one that failed is there at
    most once, and not at all unless the error says that may be; within a partition each ledger's records are in order.
    Without `once`, which is what no idempotence means under faults, records may be there again and out of order.
    """
    found = Counter(record.value for record in read)
    twice = [value for value, count in found.items() if count > 1]
    assert not (twice and once), f"{len(twice)} records came twice, for example {twice[0]!r}"
    places = {record.value: (record.partition, record.offset) for record in read}
    entries = [entry for ledger in ledgers for entry in ledger.entries]
    strangers = found.keys() - {value for value, _ in entries}
    assert not strangers, f"{len(strangers)} records nobody sent, for example {sorted(map(str, strangers))[0]}"
    for value, future in entries:
        _check_one(value, future, places.get(value), once)
    for ledger in ledgers if once else ():
        _check_order(read, ledger)


def _check_one(value: bytes, future: RecordFuture, place: tuple[int, int] | None, once: bool) -> None:
    assert future.is_done, value
    metadata = future.value
    if metadata is None:
        error: Any = future.exception
        assert place is None or error.in_doubt, f"{value!r} is there although it failed with {error!r}"
        return
    assert place is not None, f"{value!r} was acknowledged at {metadata.partition}:{metadata.offset} and is not there"
    assert metadata.partition == place[0], value
    assert not once or metadata.offset in (place[1], -1), (value, metadata.offset, place)


def _check_order(read: Iterable[Record], ledger: Ledger) -> None:
    order = {value: number for number, (value, _) in enumerate(ledger.entries)}
    by_partition: dict[int, list[int]] = defaultdict(list)
    for record in read:
        if record.value in order:
            by_partition[record.partition].append(order[record.value])
    for partition, numbers in by_partition.items():
        wrong = [(a, b) for a, b in pairwise(numbers) if a >= b]
        assert not wrong, f"partition {partition}: record {wrong[0][0]} before {wrong[0][1]}, {len(wrong)} such places"
