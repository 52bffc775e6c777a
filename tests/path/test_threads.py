# SPDX-License-Identifier: Apache-2.0
"""Many threads, a neighbour that burns the processor, and producers that come and go and leave nothing behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.resources import descriptors, os_threads, resident
from tools.brokers.processes import wait_for


def test_16_threads_keep_their_order(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=1)
    failures: list[BaseException] = []
    each = 2000

    def work(thread: int) -> None:
        try:
            futures = [producer.send("t", b"%d %d" % (thread, n), partition=n % 4) for n in range(each)]
            for future in futures:
                future.get(timeout=30)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    for partition in range(4):
        seen: dict[int, int] = {}
        for record in broker.records("t", partition):
            thread, n = map(int, (record.value or b"").split())
            assert n == seen.get(thread, partition - 4) + 4
            seen[thread] = n
        assert seen == dict.fromkeys(range(16), each - 4 + partition)


def test_64_threads_through_a_small_pool(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 64})
    producer = make(broker, buffer_memory=1 << 20, linger_ms=1, max_block_ms=30_000)
    failures: list[BaseException] = []

    def work(partition: int) -> None:
        try:
            for n in range(100):
                producer.send("t", b"%d" % n + bytes(2000), partition=partition)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    producer.flush(timeout=30)
    assert failures == []
    for partition in range(64):
        values = [(record.value or b"").rstrip(b"\0") for record in broker.records("t", partition)]
        assert values == [b"%d" % n for n in range(100)]


def test_one_partition_for_all(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=0, batch_size=500)
    done: list[int] = []

    def work() -> None:
        for _ in range(200):
            producer.send("t", b"x" * 100, partition=0, on_delivery=lambda m, e: done.append(m.offset))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    producer.flush(timeout=30)
    assert done == list(range(3200))


def test_beside_a_thread_that_never_rests(start_broker: StartBroker) -> None:
    """Acknowledgements need no Python: round trips go on, and what is sent arrives."""
    broker = start_broker()
    program = textwrap.dedent("""
        import sys, threading, time
        from pykafka_fast import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=sys.argv[1], linger_ms=0)
        producer.send("t", b"x").get(timeout=10)
        stop = threading.Event()

        def burn():
            n = 0
            while not stop.is_set():
                n += 1

        thread = threading.Thread(target=burn)
        thread.start()
        began = time.monotonic()
        for i in range(20_000):
            producer.send("t", b"x" * 100, on_delivery=lambda *_: None)
        producer.flush(timeout=30)
        took = time.monotonic() - began
        stop.set()
        thread.join()
        producer.close()
        print(took)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, broker.address], capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) < 10
    assert broker.record_count("t") == 20_001


@pytest.mark.parametrize(
    ("how", "times"),
    [("close", 1000), ("unused", 1000), ("collected", 200), ("forced", 200), ("dropped", 200),
     ("dropped, collected", 100)],
)
def test_many_producers_leave_nothing_behind(broker: EmbeddedBroker, how: str, times: int) -> None:
    def one() -> None:
        producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=0)
        if how == "unused":
            producer.close()
            return
        if how.startswith("dropped"):  # the futures go before their records do
            for _ in range(10):
                producer.send("t", b"x")
            if how == "dropped":
                producer.close()
            return
        future = producer.send("t", b"x", on_delivery=lambda *_: None)
        if how == "forced":
            producer.close(timeout=0)
            producer.close(timeout=5)
            return
        future.get(timeout=10)
        if how == "close":
            producer.close()

    def rest() -> None:
        wait_for(lambda: not any("producer" in thread.name for thread in threading.enumerate()), "no thread", 10)
        gc.collect()

    def many(count: int) -> None:
        for _ in range(count):
            one()
        rest()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        many(20)
        before = descriptors(), os_threads()
        memory = resident()
        many(times)
    # The broker notices a little later that a connection has ended.
    wait_for(lambda: descriptors() <= before[0] and os_threads() <= before[1], "nothing left", 10)
    assert resident() - memory < 4 << 20


def test_closed_producers_that_are_kept_hold_no_thread(broker: EmbeddedBroker) -> None:
    kept: list[Any] = []
    before = os_threads()
    for _ in range(20):
        with KafkaProducer(bootstrap_servers=broker.address) as producer:
            kept.append((producer, producer.send("t", b"x", on_delivery=lambda *_: None)))
    wait_for(lambda: os_threads() <= before, "no thread", 10)  # one that was joined is listed for a moment
    assert all(future.succeeded() for _, future in kept)
