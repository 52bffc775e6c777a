# SPDX-License-Identifier: Apache-2.0
"""What is dropped without a close lets go of everything it was given."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import pytest

from pykafka_fast._core.producer_base import ProducerBase
from pykafka_fast._core.wire import Wire
from pykafka_fast.errors import ClientCode
from tests.core.stage import DEADLINE_S, accumulator


class Held:
    """What callbacks hold: it must go with them."""

    def call(self, *args: Any) -> None:
        raise AssertionError("nobody delivers")


class Base(ProducerBase):
    def __init__(self) -> None:
        self.accumulator = accumulator(linger_ms=60_000.0)
        self.topic = self.accumulator.topic("t")
        self.topic.set_route([1] * 4)
        self.wire = Wire(self.accumulator, client_id="leaks", acks=-1, idempotent=False, max_in_flight=5,
                         request_timeout_ms=30_000, idle_timeout_ms=540_000, patience_ms=5.0, receive_max=1 << 20)
        self._open(self.accumulator, True, lambda: None)


@pytest.mark.parametrize(
    ("started", "done"), [(False, False), (True, False), (True, True)], ids=["never started", "pending", "done"])
def test_undelivered_callbacks_go_with_the_wire(started: bool, done: bool) -> None:
    base = Base()
    held = [Held() for _ in range(3)]
    gone = [weakref.ref(it) for it in held]
    if started:
        base.wire.start()
    future = base.send("t", b"v", on_delivery=held[0].call)
    future.add_callback(held[1].call).add_both(held[2].call)
    base.send("t", b"v", partition=1, on_delivery=held[0].call)
    if done:
        base.wire.abort(ClientCode.CLOSED_FORCEFULLY, "failed")
        deadline = time.monotonic() + DEADLINE_S
        while base.wire.live_count():
            assert time.monotonic() < deadline
            time.sleep(0.001)
    base.wire.stop()
    del base, held
    gc.collect()
    assert [it() for it in gone] == [None] * 3
    assert future.is_done  # it outlives them, and knows how it ended
    assert future.failed()
