# SPDX-License-Identifier: Apache-2.0
"""The pool of memory behind the producer's buffers (Java's BufferPool; here its pieces are slabs of several sizes)."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast._core.slab import SlabPool
from pykafka_fast.errors import BufferExhaustedError, MessageSizeTooLargeError, ProducerClosedError

KB = 1024
WAIT_S = 20.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def figures(pool: SlabPool) -> tuple[int, int, int]:
    """Bytes available, slabs outside, threads waiting."""
    stats = pool.stats()
    return stats["available"], stats["slabs_acquired"], stats["waiting"]


class Waiter(threading.Thread):
    """Acquires in a thread of its own; `outcome` is when it was served, or what was raised."""

    def __init__(self, pool: SlabPool, size: int, timeout: float = WAIT_S) -> None:
        super().__init__(daemon=True)
        self.pool, self.size, self.timeout = pool, size, timeout
        self.outcome: Any = None
        before = pool.stats()["waits"]
        self.start()
        until(lambda: pool.stats()["waits"] > before)

    def run(self) -> None:
        try:
            slab = self.pool.acquire(self.size, self.timeout)
            self.outcome = time.monotonic()
            slab.release()
        except Exception as error:
            self.outcome = error

    def end(self) -> Any:
        self.join(WAIT_S)
        return self.outcome


def test_bp01_a_slab_returns_to_the_free_ones() -> None:
    """What is released is free again at once, keeps its pages, and is the next to be handed out."""
    pool = SlabPool(64 * KB)
    slab = pool.acquire(16 * KB)
    assert figures(pool) == (48 * KB, 1, 0)
    slab.release()
    assert figures(pool) == (64 * KB, 0, 0)
    assert pool.stats()["resident"] == 16 * KB
    again = pool.ready(16 * KB)  # takes nothing but what was used before
    assert figures(pool) == (48 * KB, 1, 0)
    again.release()


def test_bp02_a_slab_used_again_is_whole() -> None:
    """A slab that was used and released comes back at its full size, to be written from its beginning."""
    pool = SlabPool(64 * KB)
    first = pool.acquire(16 * KB)
    first.write(b"x" * 16 * KB)
    address = first.address
    first.release()
    second = pool.acquire(16 * KB)
    assert (second.address, len(second)) == (address, 16 * KB)
    second.write(b"y" * 16 * KB)
    with memoryview(second) as view:
        assert bytes(view) == b"y" * 16 * KB
    second.release()


def test_bp03_free_slabs_make_room_for_other_sizes() -> None:
    """Free slabs of one size are given up when another size needs their room; large ones are never kept at all."""
    pool = SlabPool(2048 * KB)
    small = [pool.acquire(4 * KB) for _ in range(512)]
    for slab in small:
        slab.release()
    assert pool.stats()["resident"] == 2048 * KB
    odd = pool.acquire(1500 * KB)
    assert len(odd) == 1500 * KB
    assert pool.stats()["resident"] <= 2048 * KB
    odd.release()
    with pytest.raises(BufferExhaustedError):
        pool.ready(1500 * KB)
    assert pool.stats()["resident"] <= (2048 - 1500) * KB
    assert figures(pool) == (2048 * KB, 0, 0)


def test_bp04_the_whole_pool_and_one_byte_more() -> None:
    """All of the memory can be had in one piece; one byte more never can, and is refused at once."""
    pool = SlabPool(64 * KB)
    everything = pool.acquire(64 * KB)
    assert figures(pool) == (0, 1, 0)
    everything.release()
    with pytest.raises(MessageSizeTooLargeError):
        pool.acquire(64 * KB + 1, WAIT_S)
    assert figures(pool) == (64 * KB, 0, 0)


def test_bp05_who_waits_goes_on_when_memory_returns() -> None:
    """A blocked allocation ends soon after enough memory was returned, and not before."""
    pool = SlabPool(64 * KB)
    slabs = [pool.acquire(16 * KB) for _ in range(4)]
    waiter = Waiter(pool, 32 * KB)
    slabs.pop().release()
    time.sleep(0.1)
    assert waiter.outcome is None
    released = time.monotonic()
    slabs.pop().release()
    assert 0 <= waiter.end() - released < 5
    for slab in slabs:
        slab.release()


def test_bp06_waiting_ends_when_the_time_is_up() -> None:
    """Without memory the wait ends with BufferExhaustedError, never before its time and within a second after."""
    pool = SlabPool(64 * KB)
    everything = pool.acquire(64 * KB)
    took = []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(BufferExhaustedError):
            pool.acquire(1, timeout=0.25)
        took.append(time.monotonic() - began)
    assert all(it >= 0.25 for it in took)
    assert min(took) < 1.25
    everything.release()


def test_bp07_a_wait_in_vain_leaves_nothing_behind() -> None:
    """After a time-out nobody waits any more, and what had been set aside for the waiter is free."""
    pool = SlabPool(64 * KB)
    slabs = [pool.acquire(16 * KB) for _ in range(4)]
    waiter = Waiter(pool, 48 * KB, timeout=1.0)
    slabs.pop().release()
    with pytest.raises(BufferExhaustedError):  # it belongs to the waiter
        pool.acquire(16 * KB)
    assert isinstance(waiter.end(), BufferExhaustedError)
    assert figures(pool) == (16 * KB, 3, 0)
    pool.acquire(16 * KB).release()
    for slab in slabs:
        slab.release()


def interrupt_a_wait(error: type[BaseException], pool: SlabPool, size: int) -> None:
    def handler(number: int, frame: object) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        with pytest.raises(error):
            pool.acquire(size, timeout=WAIT_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_bp08_an_interrupted_waiter_leaves_the_queue() -> None:
    """Ctrl-C ends a wait and frees its place, so that those behind are served."""
    pool = SlabPool(64 * KB)
    slabs = [pool.acquire(16 * KB) for _ in range(4)]
    interrupt_a_wait(KeyboardInterrupt, pool, 64 * KB)
    assert figures(pool) == (0, 4, 0)
    behind = Waiter(pool, 16 * KB)
    slabs.pop().release()
    assert isinstance(behind.end(), float)
    assert figures(pool) == (16 * KB, 3, 0)
    for slab in slabs:
        slab.release()


def test_bp09_an_error_during_a_wait_leaks_nothing() -> None:
    """Whatever is raised during a wait, here by a signal handler, neither the place nor set-aside memory is lost.

    In Java it is the recording of the waiting time that fails; in C that cannot.
    """
    pool = SlabPool(64 * KB)
    slabs = [pool.acquire(16 * KB) for _ in range(4)]
    threading.Timer(0.05, slabs[3].release).start()
    interrupt_a_wait(ZeroDivisionError, pool, 48 * KB)
    until(lambda: slabs[3].released)
    assert figures(pool) == (16 * KB, 3, 0)
    for slab in slabs[:3]:
        slab.release()
    pool.acquire(64 * KB).release()


def test_bp10_many_threads_and_sizes() -> None:
    """Threads that take and return pieces of all sizes all come to an end, and all memory is there afterwards."""
    pool = SlabPool(256 * KB)
    seed = random.randrange(2**32)
    print("seed", seed)
    finished: list[int] = []

    def work(number: int) -> None:
        source = random.Random(seed + number)
        for _ in range(300):
            size = source.choice([1, 4 * KB, 5 * KB, 16 * KB, 100 * KB, 250 * KB])
            slab = pool.acquire(source.randint(1, size), timeout=60)
            slab.write(b"%d" % number)
            slab.release()
        finished.append(number)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(finished) == list(range(10))
    assert figures(pool) == (256 * KB, 0, 0)
    assert pool.stats()["resident"] <= 256 * KB


def test_bp11_budgets_are_64_bit() -> None:
    """Twenty gigabytes are counted exactly; only what is used has pages."""
    gigabyte = 1 << 30
    pool = SlabPool(20 * gigabyte)
    slabs = [pool.acquire(2 * gigabyte + 1) for _ in range(3)]
    left = 20 * gigabyte - sum(map(len, slabs))
    assert 13 * gigabyte < left < 14 * gigabyte
    assert figures(pool) == (left, 3, 0)
    with pytest.raises(BufferExhaustedError):
        pool.acquire(left + 1)
    for slab in slabs:
        slab.release()
    assert figures(pool) == (20 * gigabyte, 0, 0)


def test_bp12_memory_the_system_refuses() -> None:
    """If the system has no memory, what was reserved for the piece is given back."""
    pool = SlabPool(1 << 62)
    with pytest.raises(MemoryError):
        pool.acquire(1 << 60)
    assert figures(pool) == (1 << 62, 0, 0)
    pool.acquire(16 * KB).release()


def test_bp13_a_closed_pool_only_takes_back() -> None:
    """After close nothing is handed out any more; what is outside can still be returned."""
    pool = SlabPool(64 * KB)
    slab = pool.acquire(16 * KB)
    pool.close()
    for call in (lambda: pool.acquire(1), lambda: pool.acquire(1, WAIT_S), lambda: pool.ready(16 * KB)):
        with pytest.raises(ProducerClosedError):
            call()
    slab.write(b"still mine")
    slab.release()
    assert figures(pool) == (64 * KB, 0, 0)


def test_bp14_close_wakes_everybody() -> None:
    """close() ends every wait, however much time it had left, with the error of a closed producer."""
    pool = SlabPool(64 * KB)
    everything = pool.acquire(64 * KB)
    waiters = [Waiter(pool, size, timeout=1e9) for size in (1, 16 * KB, 64 * KB)]
    pool.close()
    assert [type(waiter.end()) for waiter in waiters] == [ProducerClosedError] * 3
    assert figures(pool) == (0, 1, 0)
    everything.release()
