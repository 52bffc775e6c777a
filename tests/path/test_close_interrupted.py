# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C anywhere in close(), and a constructor that is not let finish: nothing stays behind."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from types import FrameType
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.delivery import DeliveryThread
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import threads_of
from tools.brokers.processes import wait_for

FILES = ("pykafka_fast/producer.py", "pykafka_fast/lifecycle.py", "pykafka_fast/delivery.py", "pykafka_fast/sender.py")


class Interrupt:
    """Raises KeyboardInterrupt at the n-th call of a function of FILES on this thread, as a signal's handler might."""

    def __init__(self, n: int) -> None:
        self._left = n
        self.where = ""

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event != "call" or self.where or not frame.f_code.co_filename.endswith(FILES):
            return
        self._left -= 1
        if self._left < 0:
            self.where = frame.f_code.co_name
            raise KeyboardInterrupt

    def run(self, call: Any) -> bool:
        """Whether it came through."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            call()
        except KeyboardInterrupt:
            return False
        finally:
            sys.settrace(before)
        return True


@pytest.mark.filterwarnings("ignore:unclosed producer:ResourceWarning")
def test_anywhere_in_close(broker: EmbeddedBroker) -> None:
    for n in range(1000):
        producer = KafkaProducer(bootstrap_servers=broker.address)
        producer.send("t", b"x", on_delivery=lambda *_: None).get(10)
        name = producer.config["client_id"]
        interrupt = Interrupt(n)
        through = interrupt.run(producer.close)
        del producer
        wait_for(lambda name=name: not any(t.name.startswith(name) for t in threading.enumerate()),
                 f"the end of its threads after Ctrl-C in {interrupt.where}()", 10)
        if through:
            assert n > 10
            return


def test_closed_by_a_finalizer_and_dropped_says_nothing(broker: EmbeddedBroker, monkeypatch: Any) -> None:
    """Another thread closes it then; it is not closed once more."""
    producer = KafkaProducer(bootstrap_servers=broker.address)
    future = producer.send("t", b"x")
    future.get(10)
    threads = threads_of(producer)
    monkeypatch.setattr(producer._parts, "may_wait", lambda: threading.current_thread().name == "pykafka_fast-close")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        producer.close()
        del producer
    assert not warned
    wait_for(lambda: not any(t.name in threads for t in threading.enumerate()), "the end of its threads", 10)


def test_anywhere_in_the_constructor() -> None:
    def delivery_threads() -> int:
        gc.collect()
        return sum(isinstance(it, DeliveryThread) for it in gc.get_objects())

    made: list[KafkaProducer] = []
    before = delivery_threads()
    n = 0
    while not Interrupt(n).run(lambda: made.append(KafkaProducer(bootstrap_servers="127.0.0.1:1"))):
        n += 1
    assert n > 10
    made.clear()
    assert delivery_threads() == before
