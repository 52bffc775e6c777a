# SPDX-License-Identifier: Apache-2.0
"""What the future of a send_many() leads to: metadata and failures, made when somebody reads them."""

import operator
from collections.abc import Mapping, Sequence


class RangeMetadata(Sequence):
    """The RecordMetadata of every row of a send_many(), in order, made when they are read. A slice is a list."""

    __slots__ = ("_future",)

    def __init__(self, future not None):
        self._future = future

    def __len__(self):
        return len(self._future)

    def __getitem__(self, index):
        future, count = self._future, len(self._future)
        if isinstance(index, slice):
            return [future._metadata(row) for row in range(*index.indices(count))]
        row = operator.index(index)
        if not -count <= row < count:
            raise IndexError(f"index {index} in a range of {count} records")
        return future._metadata(row + count if row < 0 else row)

    def __repr__(self):
        return f"<RangeMetadata of {len(self)} records>"


class RangeFailures(Mapping):
    """Index to exception of the records of a send_many() that have failed, in order; exceptions are made when read."""

    __slots__ = ("_future",)

    def __init__(self, future not None):
        self._future = future

    def __len__(self):
        return self._future._failed_count()

    def __iter__(self):
        row = self._future._next_failed(0)
        while row >= 0:
            yield row
            row = self._future._next_failed(row + 1)

    def __getitem__(self, row):
        failure = self._future._failure(row) if isinstance(row, int) and 0 <= row < len(self._future) else None
        if failure is None:
            raise KeyError(row)
        return failure

    def __repr__(self):
        return f"<RangeFailures: {len(self)} of {len(self._future)} records>"
