# SPDX-License-Identifier: Apache-2.0
"""The log of one partition: batches in offset order, and the rules for appending to it."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .batch import BatchError, BatchHeader, check_header, peek, read_header, stamp
from .codes import Code
from .producers import ProducerTable
from .records import Record, check_records, decode_records, payload

__all__ = ["AppendResult", "LogPolicy", "PartitionLog", "StoredBatch"]


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """What a log accepts.

    Attributes:
        max_message_bytes: size limit of one batch, header included; above it MESSAGE_TOO_LARGE.
        log_append_time: the broker's clock replaces the producer's timestamps.
        strict_records: check every record when it is appended; otherwise when somebody asks.
        require_known_producer: UNKNOWN_PRODUCER_ID for a producer that starts past 0, as before Kafka 2.5.
        strangers: producers may have their ids and topic ids from another cluster.
    """

    max_message_bytes: int = 1_048_588
    log_append_time: bool = False
    strict_records: bool = True
    require_known_producer: bool = False
    strangers: bool = False


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What the producer is told, and what to note beside it.

    Attributes:
        base_offset: offset of the first record.
        append_time: milliseconds, -1 unless the broker set the time (or the batch is a duplicate, where Kafka
            answers the batch's own time).
        duplicate: the batch was already there.
        remarks: violations that a broker lets pass.
    """

    base_offset: int
    append_time: int
    duplicate: bool = False
    remarks: tuple[str, ...] = ()


class StoredBatch:
    """A batch in the log; ``data`` is what a consumer is given.

    Attributes:
        header: the decoded header, base offset and all as the broker set them.
        data: the whole batch.
        partition: partition number.
    """

    __slots__ = ("checked", "data", "header", "partition")

    def __init__(self, partition: int, header: BatchHeader, data: bytearray, checked: bool) -> None:
        self.partition = partition
        self.header = header
        self.data = data
        self.checked = checked

    @property
    def base_offset(self) -> int:
        """Offset of the first record."""
        return self.header.base_offset

    @property
    def last_offset(self) -> int:
        """Offset of the last record."""
        return self.header.base_offset + self.header.last_offset_delta

    def records(self) -> Iterator[Record]:
        """The decoded records."""
        return decode_records(self.partition, self.header, self.data)


def _check_body(header: BatchHeader, data: bytes | bytearray | memoryview) -> list[str]:
    """Check the records; remarks about what a broker would silently correct."""
    highest = header.base_timestamp + check_records(payload(header, data), header.record_count)
    if highest == header.max_timestamp:
        return []
    return [f"max timestamp {header.max_timestamp} in the header, {highest} among the records"]


class PartitionLog:
    """Batches of one partition. Not thread-safe: the cluster's lock guards it.

    Args:
        partition: its number.
        renewed: there was one of this topic's name and this number before; producers go on where they were with it.
    """

    def __init__(self, partition: int, renewed: bool = False) -> None:
        self.partition = partition
        self._renewed = renewed
        self.start_offset = 0
        self.end_offset = 0
        self.producers = ProducerTable()
        self.batches: list[StoredBatch] = []
        self._last_offsets: list[int] = []  # of the batches, for bisection
        self._unchecked: list[StoredBatch] = []

    def append(
        self,
        data: bytes | bytearray | memoryview,
        policy: LogPolicy,
        now_ms: int,
        accept: Callable[[BatchHeader], None],
        leader_epoch: int,
        connection: int,
    ) -> AppendResult:
        """Check a producer's batch as a broker does and write it.

        Args:
            data: the batch, exactly as it stood in the request.
            policy: what this log accepts.
            now_ms: the broker's clock.
            accept: raises BatchError if something beyond this log speaks against the batch.
            leader_epoch: the partition's leader epoch.
            connection: number of the connection it came on.

        Raises:
            BatchError: it is refused; nothing was written.
        """
        header, remarks = self._check(data, policy, now_ms, accept)
        if header.producer_id >= 0:
            duplicate = self.producers.find_duplicate(header)
            if duplicate is not None:
                return AppendResult(duplicate.base_offset, duplicate.timestamp, True, tuple(remarks))
            self.producers.check(header, connection, policy.require_known_producer)
            if self.producers.starts_late(header) and not policy.strangers and not self._renewed:
                remarks.append(
                    f"producer {header.producer_id} starts at sequence {header.base_sequence}: a partition that does "
                    "not know it accepts that, but what was before is lost"
                )
        return self._write(header, data, policy, now_ms, leader_epoch, remarks)

    def note_refused(self, data: bytes | bytearray | memoryview) -> None:
        """A batch came and was refused for a reason that is not in the batch."""
        header = peek(data)
        if header is not None and header.producer_id >= 0 and self.producers.find_duplicate(header) is None:
            self.producers.refuse(header)

    def check(
        self,
        data: bytes | bytearray | memoryview,
        policy: LogPolicy,
        now_ms: int,
        accept: Callable[[BatchHeader], None],
    ) -> None:
        """All checks of :meth:`append` that do not depend on what is in the log.

        Raises:
            BatchError: the batch is bad in itself.
        """
        self._check(data, policy, now_ms, accept)

    def _check(
        self,
        data: bytes | bytearray | memoryview,
        policy: LogPolicy,
        now_ms: int,
        accept: Callable[[BatchHeader], None],
    ) -> tuple[BatchHeader, list[str]]:
        header = read_header(data)
        if len(data) > policy.max_message_bytes:
            raise BatchError(
                Code.MESSAGE_TOO_LARGE,
                f"a batch of {len(data)} bytes, the limit is {policy.max_message_bytes}",
                violation=False,
            )
        check_header(header, data, now_ms)
        accept(header)
        return header, _check_body(header, data) if policy.strict_records else []

    def _write(
        self,
        header: BatchHeader,
        data: bytes | bytearray | memoryview,
        policy: LogPolicy,
        now_ms: int,
        leader_epoch: int,
        remarks: list[str],
    ) -> AppendResult:
        base_offset = self.end_offset
        append_time = now_ms if policy.log_append_time else None
        stored = bytearray(data)
        stamp(stored, base_offset, leader_epoch, append_time)
        batch = StoredBatch(self.partition, read_header(stored), stored, policy.strict_records)
        self.batches.append(batch)
        self._last_offsets.append(batch.last_offset)
        if not batch.checked:
            self._unchecked.append(batch)
        self.end_offset = batch.last_offset + 1
        if header.producer_id >= 0:
            self.producers.append(header, base_offset, batch.header.max_timestamp)
        return AppendResult(base_offset, -1 if append_time is None else append_time, False, tuple(remarks))

    def check_deferred(self) -> list[str]:
        """Check the records of batches appended without; what is wrong with them."""
        problems = []
        for batch in self._unchecked:
            batch.checked = True
            try:
                problems += _check_deferred_body(batch)
            except BatchError as error:
                problems.append(f"batch at offset {batch.base_offset}: {error.text}")
        self._unchecked.clear()
        return problems

    def read(self, offset: int, max_bytes: int, at_least_one: bool) -> list[bytearray]:
        """Whole batches from the one that holds ``offset`` on, at most ``max_bytes`` unless the first is larger."""
        found: list[bytearray] = []
        size = 0
        for index in range(bisect.bisect_left(self._last_offsets, offset), len(self.batches)):
            data = self.batches[index].data
            size += len(data)
            if size > max_bytes and not (at_least_one and not found):
                break
            found.append(data)
        return found

    def find_timestamp(self, timestamp: int) -> tuple[int, int]:
        """Offset and timestamp of the first record at ``timestamp`` or later, (-1, -1) if there is none."""
        for batch in self.batches:
            if batch.header.max_timestamp >= timestamp:
                for record in batch.records():
                    if record.timestamp >= timestamp and record.offset >= self.start_offset:
                        return record.offset, record.timestamp
        return -1, -1

    def max_timestamp(self) -> tuple[int, int]:
        """Offset and timestamp of the newest record, (-1, -1) if there is none."""
        best = (-1, -1)
        for batch in self.batches:
            if batch.header.max_timestamp > best[1]:
                newest = max(batch.records(), key=lambda record: record.timestamp)
                best = (newest.offset, newest.timestamp)
        return best

    def delete_before(self, offset: int) -> None:
        """Move the start of the log to ``offset``, dropping batches that end before it."""
        self.start_offset = max(self.start_offset, min(offset, self.end_offset))
        gone = bisect.bisect_left(self._last_offsets, self.start_offset)
        del self.batches[:gone], self._last_offsets[:gone]

    def records(self) -> Iterator[Record]:
        """The decoded records from the start of the log on."""
        for batch in self.batches:
            for record in batch.records():
                if record.offset >= self.start_offset:
                    yield record


def _check_deferred_body(batch: StoredBatch) -> list[str]:
    if batch.header.is_log_append_time:
        check_records(payload(batch.header, batch.data), batch.header.record_count)
        return []
    return [f"batch at offset {batch.base_offset}: {remark}" for remark in _check_body(batch.header, batch.data)]
