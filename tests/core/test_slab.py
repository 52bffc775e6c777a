# SPDX-License-Identifier: Apache-2.0
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pykafka_fast._core.slab import Slab, SlabPool, round_size
from pykafka_fast.errors import BufferExhaustedError, MessageSizeTooLargeError, ProducerClosedError

KB = 1024


@pytest.fixture
def pool() -> Iterator[SlabPool]:
    pool = SlabPool(64 * KB)
    yield pool
    stats = pool.stats()
    assert (stats["slabs_acquired"], stats["acquired"], stats["waiting"]) == (0, 0, 0)
    assert stats["available"] == stats["budget"] == 64 * KB


@pytest.mark.parametrize(
    ("size", "rounded"),
    [(0, 4 * KB), (1, 4 * KB), (4 * KB + 1, 8 * KB), (16 * KB, 16 * KB), (600 * KB, 1024 * KB), (2**64 - 1, 0)],
)
def test_sizes_are_rounded_to_classes(size: int, rounded: int) -> None:
    assert round_size(size) == rounded


def test_a_slab_holds_what_is_written_and_is_charged_rounded(pool: SlabPool) -> None:
    slab = pool.acquire(5_000)
    assert len(slab) == 8 * KB
    assert slab.address % 64 == 0
    slab.write(b"end", 8 * KB - 3)
    with memoryview(slab) as view:
        assert bytes(view[-3:]) == b"end"
        assert view.readonly
    assert pool.stats()["available"] == 56 * KB
    with pytest.raises(ValueError, match="do not fit"):
        slab.write(b"end", 8 * KB - 2)
    slab.release()


def test_a_slab_with_views_is_not_released(pool: SlabPool) -> None:
    slab = pool.acquire(1)
    view = memoryview(slab)
    with pytest.raises(BufferError):
        slab.release()
    view.release()
    slab.release()
    assert slab.released
    for use in (slab.release, lambda: slab.write(b"x"), lambda: memoryview(slab), lambda: len(slab)):
        with pytest.raises(ValueError, match="released"):
            use()


def test_a_forgotten_slab_goes_back(pool: SlabPool) -> None:
    slab: Slab | None = pool.acquire(16 * KB)
    assert pool.stats()["slabs_acquired"] == 1
    slab = None
    assert slab is None
    assert pool.stats()["slabs_acquired"] == 0


def test_budget_is_a_bound(pool: SlabPool) -> None:
    slabs = [pool.acquire(16 * KB) for _ in range(4)]
    with pytest.raises(BufferExhaustedError):
        pool.acquire(1)
    with pytest.raises(MessageSizeTooLargeError):
        pool.acquire(64 * KB + 1)
    with pytest.raises(ValueError, match="4096"):
        SlabPool(4095)
    for slab in slabs:
        slab.release()


def test_ready_takes_only_what_was_used_before(pool: SlabPool) -> None:
    with pytest.raises(BufferExhaustedError):
        pool.ready(16 * KB)
    pool.acquire(16 * KB).release()
    pool.ready(9 * KB).release()


def test_overdraft_is_charged_and_made_good(pool: SlabPool) -> None:
    everything, extra = pool.acquire(64 * KB), pool.overdraft(16 * KB)
    assert pool.stats()["available"] == -16 * KB
    extra.release()
    with pytest.raises(BufferExhaustedError):
        pool.acquire(1)
    everything.release()


def test_waiting_ends_with_the_time(pool: SlabPool) -> None:
    everything = pool.acquire(64 * KB)
    start = time.monotonic()
    with pytest.raises(BufferExhaustedError):
        pool.acquire(1, timeout=0.12)
    assert 0.12 <= time.monotonic() - start < 5
    stats = pool.stats()
    assert (stats["waits"], stats["exhausted"]) == (1, 1)
    assert stats["wait_ns"] >= 120_000_000
    everything.release()


class Acquirer(threading.Thread):
    """Acquires in a thread and keeps what came of it."""

    def __init__(self, pool: SlabPool, size: int, served: list[int]):
        super().__init__(daemon=True)
        self.pool, self.size, self.served = pool, size, served
        self.error: BaseException | None = None
        waits = pool.stats()["waits"]
        self.start()
        until(lambda: pool.stats()["waits"] > waits)

    def run(self) -> None:
        try:
            slab = self.pool.acquire(self.size, timeout=30)
            self.served.append(self.size)
            slab.release()
        except Exception as exc:
            self.error = exc


def until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_first_come_first_served(pool: SlabPool) -> None:
    everything = pool.acquire(64 * KB)
    served: list[int] = []
    # The large one comes first; small ones must not live on what it is waiting for.
    threads = [Acquirer(pool, size, served) for size in (64 * KB, 40 * KB, 33 * KB)]
    assert pool.waiting
    with pytest.raises(BufferExhaustedError):
        pool.acquire(1)
    everything.release()
    for thread in threads:
        thread.join(30)
        assert thread.error is None
    assert served == [64 * KB, 40 * KB, 33 * KB]
    assert not pool.waiting


def test_closing_wakes_who_waits_and_still_takes_back(pool: SlabPool) -> None:
    everything = pool.acquire(64 * KB)
    thread = Acquirer(pool, 1, [])
    pool.close()
    thread.join(30)
    assert isinstance(thread.error, ProducerClosedError)
    with pytest.raises(ProducerClosedError):
        pool.acquire(1)
    everything.release()


def test_a_signal_interrupts_the_wait(pool: SlabPool) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    everything = pool.acquire(64 * KB)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            pool.acquire(1, timeout=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    everything.release()
    pool.acquire(64 * KB).release()  # its place in the queue is gone
