# SPDX-License-Identifier: Apache-2.0
"""Batches in a worker's hands when their time is up, the producer is closed, the process forks or the interpreter ends.

One worker, a level that takes its time, and a first record that keeps it busy: what is sent after it waits in line.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pykafka_fast.errors import ClosedForcefullyError, KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.path import test_exit, test_fork
from tests.path.conftest import Make, StartBroker, check_balance, threads_of
from tools.brokers.processes import wait_for

ROOM = 8 << 20
SLOW: dict[str, Any] = {"compression_type": "zstd", "compression_level": 22, "compression_threads": 1, "linger_ms": 0,
                        "max_request_size": ROOM}  # fmt: skip
# The same for programs: slow is a record that takes a worker about a second.
PROGRAM = f"""
    import random
    from tests.path.resources import os_threads
    from tools.brokers.processes import wait_for
    SLOW = {SLOW!r}
    words = b"departure arrival gate delay carrier tail number origin destination taxi wheels".split()
    slow = b" ".join(random.Random(1).choices(words, k=200_000))
"""


def slow_value(size: int = 1_500_000) -> bytes:
    words = b"departure arrival gate delay carrier tail number origin destination taxi wheels".split()
    return b" ".join(random.Random(1).choices(words, k=size // 7))


def delivered(future: Any) -> bool:
    with contextlib.suppress(KafkaTimeoutError):
        future.get(timeout=20)
    return bool(future.succeeded())


@pytest.fixture
def roomy(start_broker: StartBroker) -> EmbeddedBroker:
    """Takes large batches."""
    return start_broker(max_message_bytes=ROOM)


def test_expired_while_a_worker_has_it(roomy: EmbeddedBroker, make: Make) -> None:
    """Its futures learn of it in time, not when the worker is done; nothing of it is ever sent, and its partition
    goes on with what comes next."""
    producer = make(roomy, delivery_timeout_ms=400, request_timeout_ms=300, **SLOW)
    wait_for(lambda: delivered(producer.send("t", b"x", partition=0)), "a record that is written in time", 60)
    value = slow_value(4_000_000)
    began = time.monotonic()
    future = producer.send("t", value, partition=0)
    behind = [producer.send("t", b"%d" % number * 100, partition=0) for number in range(10)]
    while not future.is_done:
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    assert type(future.exception) is KafkaTimeoutError, future.exception
    assert not future.exception.in_doubt
    assert producer._lifecycle.accumulator.pool_stats()["acquired"] > len(value)  # the worker still reads it
    metrics = producer.metrics()
    assert metrics is not None
    counted = metrics["producer-metrics"]["compression-time-ns-total"]
    for other in behind:
        assert other.exception is None or not other.exception.in_doubt
    deadline = time.monotonic() + 60
    while not delivered(producer.send("t", b"later", partition=0)):
        assert time.monotonic() < deadline
    values = [record.value for record in roomy.records("t", 0)]
    assert value not in values
    assert values[0] == b"x"
    assert values[-1] == b"later"
    metrics = producer.metrics()
    assert metrics is not None
    assert metrics["producer-metrics"]["compression-time-ns-total"] > counted + 50e6  # though it was for nothing


def test_a_slow_batch_does_not_hold_other_partitions_up(roomy: EmbeddedBroker, make: Make) -> None:
    producer = make(roomy, **SLOW | {"compression_threads": 2})
    producer.send("t", b"x", partition=1).get(timeout=20)
    slow = producer.send("t", slow_value(), partition=0)
    for offset in range(1, 20):
        assert producer.send("t", b"quick" * 100, partition=1).get(timeout=20).offset == offset
    assert not slow.is_done
    assert slow.get(timeout=60).offset == 0


class InterruptedWire:
    """Ctrl-C comes while its end is waited for."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire
        self.interrupts = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wire, name)

    def stop(self, *timeout: float) -> bool:
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        return bool(self.wire.stop(*timeout))


@pytest.mark.parametrize("when", ["never", "before the deadline", "behind it"])
def test_close_leaves_the_codec_behind(
    roomy: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It cannot be interrupted; its thread and its memory go when it is done, and what becomes of the records is told
    at once. Ctrl-C is heeded meanwhile, and closes all the same."""
    producer = make(roomy, compression_type="lz4", compression_level=12, linger_ms=0, max_request_size=ROOM)
    producer.send("t", b"x", partition=0, on_delivery=lambda *_: None).get(timeout=20)
    pool = producer._lifecycle.accumulator.pool_stats
    wait_for(lambda: pool()["slabs_acquired"] == 0, "the end of the first", 20)
    began = time.monotonic()
    future = producer.send("t", bytes(random.Random(1).choices(b"01", k=2_000_000)), partition=0)  # lz4's worst
    wait_for(lambda: pool()["slabs_acquired"] == 2, "a worker that has it", 20)  # one is for the output
    if when == "before the deadline":
        threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
    elif when == "behind it":
        sender = producer._lifecycle._sender
        monkeypatch.setattr(sender, "_wire", InterruptedWire(sender._wire))
    with pytest.raises(KeyboardInterrupt) if when != "never" else contextlib.nullcontext():
        producer.close(timeout=None if when == "before the deadline" else 0.1)
    took = time.monotonic() - began
    assert isinstance(future.exception, ClosedForcefullyError)
    assert not future.exception.in_doubt
    assert pool()["acquired"] > 0
    wait_for(lambda: threads_of(producer) == [], "the end of the codec", 120)
    check_balance(producer)
    assert took < (time.monotonic() - began) / 2


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_close_does_not_wait_for_all_of_them(roomy: EmbeddedBroker, make: Make, timeout: float) -> None:
    """Only for the one batch a worker has; what waits in line for it fails with it."""
    producer = make(roomy, **SLOW)
    value = slow_value()
    began = time.monotonic()
    producer.send("t", value, partition=0).get(timeout=60)
    once = time.monotonic() - began
    outcomes: list[Any] = []
    futures = [
        producer.send("t", value, partition=number % 4, on_delivery=lambda _, error: outcomes.append(error))
        for number in range(8)
    ]
    began = time.monotonic()
    producer.close(timeout=timeout)
    assert time.monotonic() - began < 3 * once + 1
    assert [type(future.exception) for future in futures] == [ClosedForcefullyError] * 8
    assert not any(future.exception.in_doubt for future in futures)  # type: ignore[union-attr]
    deadline = time.monotonic() + 20
    while len(outcomes) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [type(error) for error in outcomes] == [ClosedForcefullyError] * 8
    assert roomy.record_count("t") == 1


def test_close_and_flush_wait_for_all_of_them(roomy: EmbeddedBroker, make: Make) -> None:
    value = slow_value(200_000)
    for end in ("flush", "close"):
        producer = make(roomy, **SLOW | {"linger_ms": 60_000})
        futures = [producer.send("t", value, partition=number % 4) for number in range(8)]
        producer.flush() if end == "flush" else producer.close()
        assert all(future.succeeded() for future in futures)
    assert roomy.record_count("t") == 16


def test_closed_while_threads_send(start_broker: StartBroker, make: Make) -> None:
    """Again and again, by timeouts of all kinds, with several workers: every future has an outcome that is true."""
    rng = random.Random(3)
    runs = ("gzip", "snappy", "lz4", "zstd") * 3
    # A topic each: what a closed producer has left behind may still be read.
    broker = start_broker(topics={f"t{run}": 4 for run in range(len(runs))})
    payload = slow_value(4_000)
    for run, codec in enumerate(runs):
        producer = make(broker, compression_type=codec, compression_threads=3, linger_ms=0, batch_size=8_000)
        futures: list[list[Any]] = [[] for _ in range(4)]

        def work(mine: list[Any], producer: Any = producer, topic: str = f"t{run}") -> None:
            while True:
                try:
                    mine.append(producer.send(topic, payload))
                except Exception:
                    return

        threads = [threading.Thread(target=work, args=(mine,)) for mine in futures]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0, 0.1))
        producer.close(timeout=rng.choice([0, 0.02, 20]))
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        told = [future for mine in futures for future in mine]
        assert all(future.is_done for future in told)
        good = sum(future.succeeded() for future in told)
        unsure = sum(future.failed() and getattr(future.exception, "in_doubt", False) for future in told)
        assert good <= broker.record_count(f"t{run}") <= good + unsure


def test_fork_while_batches_are_compressed(roomy: EmbeddedBroker) -> None:
    """The parent's are delivered as if nothing had been; the child has threads of its own as soon as it sends."""
    test_fork.run(roomy, PROGRAM + """
    alone = os_threads()
    producer = KafkaProducer(bootstrap_servers=address, **SLOW)
    producer.send("t", b"parent", partition=0).get(10)
    with_workers = os_threads()
    assert with_workers == alone + 4  # the sender's, the wire's, the worker's, the one that stands by for look-ups

    def work():
        assert os_threads() == 1
        assert all(future.failed() for future in pending)
        for offset in range(5):
            assert producer.send("t", b"child" * 1000, partition=1).get(10).offset == offset
        assert os_threads() == with_workers - alone + 1
        producer.close(10)
        wait_for(lambda: os_threads() == 1, "no worker", 10)

    pending = [producer.send("t", slow, partition=0), producer.send("t", slow[1:], partition=0)]
    time.sleep(0.1)
    pid = child(work)
    assert not pending[0].is_done
    pending += [producer.send("t", b"after" * 1000, partition=0)]
    assert [future.get(20).offset for future in pending] == [1, 2, 3]
    join(pid)
    assert os_threads() == with_workers
    producer.close(10)
    wait_for(lambda: os_threads() == alone, "no worker", 10)
    """)
    assert roomy.record_count("t") == 9
    assert {batch.header.codec for batch in roomy.batches("t", 1)} == {4}


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_forks_while_threads_send(broker: EmbeddedBroker, codec: str) -> None:
    """At any moment: also while a worker is in the library, or holds its lock."""
    test_fork.run(broker, f"""
    codec = {codec!r}
    producer = KafkaProducer(bootstrap_servers=address, compression_type=codec, compression_threads=2, linger_ms=0)
    producer.send("t", b"x").get(10)
    stop, sent = threading.Event(), []

    def send():
        while not stop.is_set():
            sent.append(producer.send("t", b"%d " % len(sent) * 500, partition=0))
            time.sleep(0.0002)

    def work():
        futures = [producer.send("t", b"child" * 200, partition=1) for _ in range(50)]
        producer.flush(10)
        assert all(future.succeeded() for future in futures)
        producer.close(10)

    thread = threading.Thread(target=send)
    thread.start()
    for _ in range(12):
        join(child(work))
    stop.set()
    thread.join()
    producer.flush(10)
    assert all(future.succeeded() for future in sent)
    producer.close(10)
    print(len(sent))
    """)
    assert broker.record_count("t", 1) >= 12 * 50


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(broker: EmbeddedBroker, tmp_path: Path, method: str) -> None:
    file = tmp_path / "work.py"
    file.write_text("""
import multiprocessing, sys
from pykafka_fast import KafkaProducer

def work(address, number):
    with KafkaProducer(bootstrap_servers=address, compression_type="lz4", compression_threads=2) as producer:
        assert producer.send("t", b"%d " % number * 1000, partition=0).get(20).offset >= 0

if __name__ == "__main__":
    address, method = sys.argv[1:]
    context = multiprocessing.get_context(method)
    with KafkaProducer(bootstrap_servers=address, compression_type="zstd") as producer:
        producer.send("t", b"parent " * 1000, partition=1).get(20)
        with context.Pool(2) as pool:
            pool.starmap(work, [(address, number) for number in range(6)])
            pool.close()
            pool.join()
        producer.send("t", b"parent " * 1000, partition=1).get(20)
""")
    test_fork.run(broker, f"""
    import subprocess
    subprocess.run([sys.executable, {str(file)!r}, address, {method!r}], check=True, timeout=15)
    """)
    wanted = {b"%d " % number * 1000 for number in range(6)}
    assert {record.value for record in broker.records("t", 0)} == wanted
    assert [batch.header.codec for batch in broker.batches("t", 1)] == [4, 4]


def test_the_interpreter_ends_meanwhile(roomy: EmbeddedBroker) -> None:
    """Everything is delivered, as without a codec."""
    _, said, _ = test_exit.run(roomy.address, PROGRAM + """
    producer = KafkaProducer(bootstrap_servers=address, **SLOW)
    for number in range(3):
        producer.send("t", slow[number:], partition=number)
    """)
    assert said == ""
    assert roomy.record_count("t") == 3


def test_the_interpreter_does_not_wait_longer_than_it_may(roomy: EmbeddedBroker) -> None:
    """But for the batch a worker has, and for the broker's answer nobody waits."""
    said, _, took = test_exit.run(roomy.address, PROGRAM + """
    producer = KafkaProducer(bootstrap_servers=address, exit_timeout_ms=100, **SLOW)
    began = time.monotonic()
    producer.send("t", slow, partition=0).get(20)
    print(time.monotonic() - began)
    for number in range(15):
        producer.send("t", slow[number:], partition=number % 4)
    """)
    assert took < 5 * float(said) + 3
    assert roomy.record_count("t") < 16


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_that_comes_back(start_broker: StartBroker, make: Make, codec: str) -> None:
    """It is sent again as it was compressed, through refusals, lost connections and lost answers."""
    broker = start_broker(topics={"t": 1}, brokers=2)
    producer = make(broker, compression_type=codec, linger_ms=0, retry_backoff_ms=5, retry_backoff_max_ms=20,
                    reconnect_backoff_ms=5, reconnect_backoff_max_ms=20)  # fmt: skip
    producer.send("t", b"first").get(timeout=20)
    values = [b"%d " % number * 400 for number in range(300)]
    broker.fail("Produce", 6, times=2)
    broker.cut(when="after_append", api="Produce")
    broker.fail("Produce", 7, times=1, after_append=True)
    broker.cut(when="before_append", api="Produce")
    for value in values:
        producer.send("t", value)
    broker.move_leader("t", 0, 2)
    producer.flush(timeout=60)
    assert [record.value for record in broker.records("t")] == [b"first", *values]
