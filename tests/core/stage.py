# SPDX-License-Identifier: Apache-2.0
"""An accumulator with a wire thread and no broker: what is appended stays until the test says what becomes of it."""

from __future__ import annotations

import time
from typing import Any

from pykafka_fast._core.accumulator import Accumulator
from pykafka_fast._core.delivery import Deliveries
from pykafka_fast._core.producer_base import ProducerBase
from pykafka_fast._core.wire import Wire
from pykafka_fast.errors import ClientCode

DEADLINE_S = 10.0


def accumulator(**options: Any) -> Accumulator:
    defaults: dict[str, Any] = {
        "buffer_memory": 1 << 20, "batch_size": 16_384, "batch_max_size": 65_536, "max_request_size": 1 << 20,
        "linger_ms": 5.0, "delivery_timeout_ms": 120_000.0,
    }  # fmt: skip
    return Accumulator(**(defaults | options))


class Stage(ProducerBase):
    """The base class with an accumulator, and a note of what the fast path does not do itself."""

    def __init__(self, partitions: int = 4, **options: Any) -> None:
        self.accumulator = accumulator(**options)
        self.wire = Wire(self.accumulator, client_id="stage", acks=-1, idempotent=False, max_in_flight=5,
                         request_timeout_ms=30_000, idle_timeout_ms=540_000, patience_ms=5.0, receive_max=1 << 20)
        self.wire.start()
        self.deliveries = Deliveries(self.accumulator)
        self.delivery_starts = 0
        self.refused: list[tuple[Any, ...]] = []
        self.ended = False
        self.topic = self.accumulator.topic("t")
        if partitions:
            self.topic.set_route([1] * partitions)
        self._open(self.accumulator, True, self.start_delivery)

    def start_delivery(self) -> None:
        self.delivery_starts += 1

    def _send(self, *args: Any) -> Any:
        self.refused.append(args)
        return "refused"

    def append(self, value: Any = b"v", key: Any = None, headers: Any = None, partition: int | None = None,
               timestamp_ms: int | None = None, on_delivery: Any = None, notify: bool = False, wait: float = 0) -> Any:
        """What _do_send calls last."""
        return self._append(self.topic, value, key, headers, partition, timestamp_ms, on_delivery, notify,
                            time.monotonic() + wait)

    def end(self) -> None:
        """Fail what is left, end the thread; all memory has come back."""
        if self.ended:
            return
        self.ended = True
        self.accumulator.close()
        self.wire.abort(ClientCode.CLOSED_FORCEFULLY, "the test is over")
        deadline = time.monotonic() + DEADLINE_S
        while self.wire.live_count():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        self.wire.stop()
        self.accumulator.close_delivery()
        while self.deliveries.deliver(0.01):
            assert time.monotonic() < deadline
        stats = self.accumulator.pool_stats()
        assert (stats["slabs_acquired"], stats["acquired"], stats["waiting"]) == (0, 0, 0)
        assert self.accumulator.pending_callbacks() == 0
