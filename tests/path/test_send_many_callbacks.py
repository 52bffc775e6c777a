# SPDX-License-Identifier: Apache-2.0
"""Callbacks of send_many(): once for all records, in order, on their own thread."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import pytest

from pykafka_fast._core.future import set_starter
from pykafka_fast.errors import InvalidRecordError, KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make
from tests.path.test_send_many import KEYS, VALUES
from tools.brokers.processes import wait_for

TIMEOUT_S = 20.0


def test_callbacks_run_on_their_own_thread_and_not_before_earlier_ones(broker: EmbeddedBroker, make: Make) -> None:
    """Also when nothing has to be waited for: for no records, or for such that are done when the call returns."""
    producer = make(broker, acks=0, linger_ms=0, enable_idempotence=False)
    producer.send("t", b"known").get(TIMEOUT_S)
    begun, go_on = threading.Event(), threading.Event()
    called: list[Any] = []

    def note(name: str) -> None:
        called.append((name, threading.current_thread().name))

    producer.send("t", b"a", on_delivery=lambda *_: (begun.set(), go_on.wait(TIMEOUT_S), note("send")))
    assert begun.wait(TIMEOUT_S)
    futures = [producer.send_many("t", [b"b"] * (i % 2), on_delivery=lambda *_, i=i: note(f"send_many {i}"))
               for i in range(50)]
    futures[0].add_callback(lambda _: note("added"))
    wait_for(lambda: all(future.is_done for future in futures), "their end", TIMEOUT_S)
    late = producer.send_many("t", [], on_delivery=lambda *_: note("late"))
    assert late.is_done
    assert called == []
    with pytest.raises(KafkaTimeoutError):
        late.get(0.05)
    go_on.set()
    late.get(TIMEOUT_S)
    names = [name for name, _ in called]
    assert names[0] == "send"
    assert names[-1] == "late"
    assert names[names.index("send_many 0") + 1] == "added"
    assert sorted(names[1:-1]) == sorted(["added", *(f"send_many {i}" for i in range(50))])
    assert {thread for _, thread in called} == {producer.config["client_id"] + "-delivery"}


def test_callbacks_run_in_the_order_in_which_they_were_added(broker: EmbeddedBroker, make: Make) -> None:
    """Also one that is added when all is known, while an earlier one still runs behind a batch that came late."""
    producer = make(broker)
    keys: dict[int, bytes] = {}
    for number in range(100):
        key = b"%d" % number
        keys.setdefault(producer.send("t", b"x", key=key).get(TIMEOUT_S).partition, key)
    begun, go_on = threading.Event(), threading.Event()
    called: list[str] = []

    def first(*_: Any) -> None:
        begun.set()
        go_on.wait(TIMEOUT_S)
        called.append("first")

    broker.fail("Produce", 6, topic="t", partition=0)  # its leader has moved: decided last, by a second try
    future = producer.send_many("t", [b"a", b"b"], keys=[keys[0], keys[1]], on_delivery=first)
    assert begun.wait(TIMEOUT_S)
    assert future.is_done
    future.add_callback(lambda _: called.append("second")).add_both(lambda _: called.append("third"))
    assert called == []
    go_on.set()
    producer.flush(TIMEOUT_S)
    assert called == ["first", "second", "third"]
    future.add_callback(lambda _: called.append("late"))
    assert called[-1] == "late"


def test_callbacks_once_for_all(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, batch_size=1000, batch_max_size=1000)
    called: list[Any] = []
    future = producer.send_many("t", VALUES, KEYS, on_delivery=lambda *it: called.append(("delivered", *it)))
    assert future.add_callback(lambda *it: called.append(("callback", *it)), "more") is future
    future.add_both(lambda it: called.append(("both", it))).add_errback(lambda it: called.append(("errback", it)))
    producer.flush(TIMEOUT_S)
    assert [it[0] for it in called] == ["delivered", "callback", "both"]
    assert list(called[0][1]) == list(called[1][2]) == list(called[2][1]) == list(future.get(0))
    assert called[0][2] is None
    broker.fail("Produce", 29, topic="t", partition=1, times=None)
    called.clear()
    future = producer.send_many("t", VALUES, KEYS, on_delivery=lambda *it: called.append(("delivered", *it)))
    future.add_callback(lambda it: called.append(("callback", it))).add_errback(
        lambda it: called.append(("errback", it)))
    producer.flush(TIMEOUT_S)
    assert [it[0] for it in called] == ["delivered", "errback"]
    row = called[0][2].row
    assert called[1][1].row == row == next(iter(future.failures))
    assert called[0][1][row].offset == -1
    future.add_errback(lambda it: called.append(("late", it)))
    assert called[-1][0] == "late"


def test_other_callbacks_do_not_wait_for_the_range(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0)
    producer.partitions_for("t")
    broker.hold("Produce")
    before, after = threading.Event(), threading.Event()
    future = producer.send_many("t", [b"a", b"b"], partition=[0, 1])
    future.add_callback(lambda it: after.set())
    producer.send("t", b"c", partition=0).add_callback(lambda it: before.set())
    broker.fail("Produce", 5, topic="t", partition=1, times=1)  # it is tried again, a while later
    broker.release()
    assert before.wait(TIMEOUT_S)
    assert after.wait(TIMEOUT_S)
    assert future.succeeded()


def test_very_many_callbacks_of_one_range(broker: EmbeddedBroker, make: Make) -> None:
    """Each is let go behind its call: all at once they would let go of one another on the thread's stack."""
    producer = make(broker, linger_ms=60_000)
    future = producer.send_many("t", [b"x"])
    called: list[None] = []
    for _ in range(300_000):
        future.add_callback(lambda _: called.append(None))
    producer.flush(TIMEOUT_S)
    assert len(called) == 300_000


def test_callbacks_go_on_when_somebody_would_end_their_thread(
    broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libraries do that limit a thread's time: the exception arrives in a callback, or in the line about one."""
    monkeypatch.setattr("sys.unraisablehook", lambda told: None)
    producer = make(broker)
    idents: list[int] = []
    producer.send("t", b"x", on_delivery=lambda *_: idents.append(threading.get_ident())).get(TIMEOUT_S)
    called: list[int] = []
    for i in range(10):
        assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(idents[0]), ctypes.py_object(SystemExit)) == 1
        producer.send("t", b"x", on_delivery=[].append if i % 2 else lambda *_: None).get(TIMEOUT_S)
        producer.send("t", b"x", on_delivery=lambda *_: None).get(TIMEOUT_S)
    producer.send("t", b"x", on_delivery=lambda *_: called.append(1)).get(TIMEOUT_S)
    assert called == [1]


@pytest.mark.parametrize("many", [False, True])
def test_so_do_those_of_futures(
    many: bool, broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they are called with is made in Python, where the exception arrives, too."""
    monkeypatch.setattr("sys.unraisablehook", lambda told: None)
    producer = make(broker, linger_ms=0)
    idents: list[int] = []
    producer.send("t", b"x", on_delivery=lambda *_: idents.append(threading.get_ident())).get(TIMEOUT_S)
    producer.flush(TIMEOUT_S)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(idents[0]), ctypes.py_object(SystemExit)) == 1
    if many:
        producer.send_many("t", [b"a", b"b"], on_delivery=lambda *_: None).get(TIMEOUT_S)
    else:
        broker.fail("Produce", 87)
        future = producer.send("t", b"a")
        future.add_errback(lambda *_: None)
        with pytest.raises(InvalidRecordError):
            future.get(TIMEOUT_S)
    called: list[int] = []
    producer.send("t", b"x", on_delivery=lambda *_: called.append(1)).get(TIMEOUT_S)
    producer.flush(TIMEOUT_S)
    assert called == [1]


def test_an_interrupt_before_the_callback_is_attached(broker: EmbeddedBroker, make: Make) -> None:
    """All rows are taken by then, whoever catches the interrupt is told, and what he attaches is called."""
    producer = make(broker)
    producer.partitions_for("t")
    delivery = producer._lifecycle.delivery
    called: list[Any] = []

    def interrupted() -> None:
        set_starter(producer._lifecycle.accumulator, delivery.ensure_started)
        raise KeyboardInterrupt

    set_starter(producer._lifecycle.accumulator, interrupted)
    with pytest.raises(KeyboardInterrupt) as told:
        producer.send_many("t", VALUES, KEYS, on_delivery=lambda *it: called.append("on_delivery"))
    taken = told.value.taken  # type: ignore[attr-defined]
    assert (told.value.row, len(taken)) == (len(VALUES), len(VALUES))  # type: ignore[attr-defined]
    taken.add_callback(lambda _: called.append("added"))
    taken.get(TIMEOUT_S)
    producer.flush(TIMEOUT_S)
    assert called == ["added"]


def test_an_interrupt_right_after_a_row_was_appended(
    broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as taken: whoever goes on at `row` sends none twice."""
    producer = make(broker, value_serializer=lambda value: value)
    real, appended = producer._append_until, []

    def append(*args: Any) -> Any:
        appended.append(real(*args))
        if len(appended) == 3:
            raise KeyboardInterrupt
        return appended[-1]

    monkeypatch.setattr(producer, "_append_until", append)
    rows = [b"%d" % i for i in range(10)]
    with pytest.raises(KeyboardInterrupt) as told:
        producer.send_many("t", rows, partition=0)
    row, taken = told.value.row, told.value.taken  # type: ignore[attr-defined]
    assert (row, len(taken)) == (3, 3)
    producer.send_many("t", rows[row:], partition=0).get(TIMEOUT_S)
    assert [it.offset for it in taken.get(TIMEOUT_S)] == [0, 1, 2]
    assert [record.value for record in broker.records("t", 0)] == rows
