# SPDX-License-Identifier: Apache-2.0
"""pykafka_fast's `send_many()`: a list for each burst, or pieces of an Arrow column as it would come out of a table."""

from typing import Any

import pyarrow

from benchmarks.compare.clients.ours import Futures
from benchmarks.compare.job import Job
from benchmarks.compare.records import Records
from pykafka_fast import KafkaProducer


class Lists(Futures):
    """Values without keys; the future of each burst is looked at later."""

    def _send(self, records: list[Any]) -> object:
        return self.producer.send_many(self.topic, records, headers=self.records.headers)


class Columns(Lists):
    """The same values in one column, which is made before the run."""

    def __init__(self, job: Job, records: Records, producer: KafkaProducer | None = None):
        super().__init__(job, records, producer)
        self._column = pyarrow.array(records.take(records.size), pyarrow.binary())
        self._at = 0

    def burst(self, count: int) -> None:
        while count > 0:
            piece = self._column.slice(self._at, count)
            self._sent += len(piece)
            self._pending.add(self._sent, self.producer.send_many(self.topic, piece, headers=self.records.headers))
            self._at = (self._at + len(piece)) % len(self._column)
            count -= len(piece)
