# SPDX-License-Identifier: Apache-2.0
"""A thread that is started once, whatever comes between."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pykafka_fast.own_thread import OwnThread

TIMEOUT_S = 20.0


class Work:
    """Runs until it is let go; knows the threads that ran it."""

    def __init__(self) -> None:
        self.ran: list[threading.Thread] = []
        self.go_on = threading.Event()
        self.thread = OwnThread("mine", self.run)

    def run(self) -> None:
        self.ran.append(threading.current_thread())
        self.go_on.wait(TIMEOUT_S)

    def end(self) -> None:
        self.go_on.set()
        assert self.thread.join(TIMEOUT_S)
        assert "mine" not in [thread.name for thread in threading.enumerate()]
        assert len(self.ran) == 1


@pytest.fixture
def interpose(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object], bool], None]:
    """interpose(act, before): the next Thread.start() also calls act(), before or after the thread begins."""
    start = threading.Thread.start

    def to_interpose(act: Callable[[], object], before: bool) -> None:
        def start_and_act(self: threading.Thread) -> None:
            monkeypatch.setattr(threading.Thread, "start", start)
            if before:
                act()
            start(self)
            if not before:
                act()

        monkeypatch.setattr(threading.Thread, "start", start_and_act)

    return to_interpose


def test_started_once_from_many_threads() -> None:
    work = Work()
    barrier = threading.Barrier(8)
    starters = [threading.Thread(target=lambda: (barrier.wait(), work.thread.start())) for _ in range(8)]
    assert not work.thread.started
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(TIMEOUT_S)
    assert work.thread.started
    work.end()
    work.thread.start()
    work.end()


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_of_the_start(before: bool, interpose: Callable[[Callable[[], object], bool], None]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    work = Work()
    interpose(interrupt, before)
    with pytest.raises(KeyboardInterrupt):
        work.thread.start()
    work.thread.start()
    assert not work.thread.join(0)
    work.end()


@pytest.mark.parametrize("before", [True, False])
def test_needed_in_the_midst_of_the_start(
    before: bool, interpose: Callable[[Callable[[], object], bool], None]
) -> None:
    work = Work()

    def need() -> None:
        work.thread.start()
        assert work.thread.started

    interpose(need, before)
    work.thread.start()
    work.end()


def test_no_thread_to_be_had(interpose: Callable[[Callable[[], object], bool], None]) -> None:
    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    work = Work()
    interpose(refuse, True)
    with pytest.raises(RuntimeError):
        work.thread.start()
    assert not work.thread.started
    assert work.thread.join(0)
    work.thread.start()
    work.end()


def test_current_until_its_last_finalizer() -> None:
    """In the finalizer of a thread-local object threading.current_thread() is a dummy, and join() would never end."""
    seen: list[object] = []
    local = threading.local()

    class Last:
        def __del__(self) -> None:
            seen.extend([thread.is_current(), thread.join(TIMEOUT_S)])

    def run() -> None:
        local.last = Last()
        seen.append(thread.is_current())

    thread = OwnThread("mine", run)
    assert not thread.is_current()
    thread.start()
    assert thread.join(TIMEOUT_S)
    assert seen == [True, True, False]
    assert not thread.is_current()
