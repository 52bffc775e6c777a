# SPDX-License-Identifier: Apache-2.0
"""send() from many threads, in callbacks, in interceptors and after close()."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer, ProducerRecord, RecordFuture
from pykafka_fast.errors import IllegalStateError, KafkaTimeoutError, MessageSizeTooLargeError, ProducerClosedError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.ways import WAYS, make_by

TIMEOUT_S = 10.0
THREADS = 16


def in_threads(work: Callable[[int], None], count: int = THREADS) -> None:
    """work(n) in `count` threads at once; the first failure is raised here."""
    failures: list[BaseException] = []
    start = threading.Barrier(count)

    def run(n: int) -> None:
        try:
            start.wait(TIMEOUT_S)
            work(n)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("way", WAYS)
def test_16_threads(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    each = 300
    called: list[int] = []

    def work(thread: int) -> None:
        for n in range(each):
            producer.send("t", b"%d" % n, key=b"%d" % thread, partition=thread % 4,
                          on_delivery=lambda metadata, exception: called.append(metadata.offset))

    in_threads(work)
    producer.flush(TIMEOUT_S)
    assert len(called) == THREADS * each
    for thread in range(THREADS):
        values = [record.value for record in broker.records("t", thread % 4) if record.key == b"%d" % thread]
        assert values == [b"%d" % n for n in range(each)]
    assert broker.record_count("t") == THREADS * each


def test_16_threads_race_for_the_first_metadata(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    in_threads(lambda n: producer.send("t", b"%d" % n).get(TIMEOUT_S))
    assert sorted(int(record.value or b"") for record in broker.records("t")) == list(range(THREADS))
    assert broker.request_count("Metadata") <= THREADS


def test_every_record_stays_with_its_topic(start_broker: StartBroker, make: Make) -> None:
    """send() lets the GIL go while it copies; other threads' topics must not slip in."""
    topics = [f"topic-{n}" for n in range(8)]
    broker = start_broker(topics=dict.fromkeys(topics, 1))
    producer = make(broker, max_request_size=200_000)
    for topic in topics:
        producer.partitions_for(topic)

    def work(n: int) -> None:
        for _ in range(60):
            refused = producer.send(topics[n], bytes(200_000))
            assert refused.topic_partition.topic == topics[n]
            assert isinstance(refused.exception, MessageSizeTooLargeError)
            future = producer.send(topics[n], topics[n].encode() * 10_000)
            assert future.topic_partition == (topics[n], 0)

    in_threads(work, len(topics))
    producer.flush(TIMEOUT_S)
    for topic in topics:
        assert [record.value for record in broker.records(topic)] == [topic.encode() * 10_000] * 60


def test_another_topic_while_the_delivery_thread_starts(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"a": 1, "b": 1})
    producer = make(broker)
    producer.partitions_for("a")
    producer.partitions_for("b")
    start = producer._lifecycle.delivery.ensure_started

    def meanwhile() -> None:
        thread = threading.Thread(target=producer.send, args=("b", b"for b"))
        thread.start()
        thread.join()
        start()

    for more in ({}, {"partition": 0}):
        producer._open(producer._lifecycle.accumulator, True, meanwhile)
        metadata = producer.send("a", b"for a", on_delivery=lambda *a: None, **more).get(TIMEOUT_S)  # type: ignore[arg-type]
        assert metadata.topic == "a"
    producer.flush(TIMEOUT_S)
    assert [record.value for record in broker.records("a")] == [b"for a"] * 2
    assert [record.value for record in broker.records("b")] == [b"for b"] * 2


# ---- in a callback -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_send_in_a_callback(way: str, start_broker: StartBroker, make: Make) -> None:
    """A chain of 50 sends, each from the one before's callback, over a topic nobody has asked about yet."""
    broker = start_broker(topics={"t": 4, "first": 1})
    producer = make_by(way, make, broker)
    done = threading.Event()
    futures: list[RecordFuture] = []

    def again(metadata: Any, exception: Any) -> None:
        if exception is not None or len(futures) == 50:
            done.set()
        else:
            futures.append(producer.send("t", b"%d" % len(futures), partition=1, on_delivery=again))

    producer.send("first", b"x", partition=0, on_delivery=again).get(TIMEOUT_S)
    assert done.wait(TIMEOUT_S)
    assert [record.value for record in broker.records("t", 1)] == [b"%d" % n for n in range(50)]


def test_get_and_flush_in_a_callback(broker: EmbeddedBroker, make: Make) -> None:
    """They wait for outcomes, not for the callbacks that only their own thread can run."""
    producer = make(broker, linger_ms=20_000)
    producer.partitions_for("t")
    seen: list[Any] = []

    def callback(metadata: Any, exception: Any) -> None:
        inner = producer.send("t", b"inner", partition=2, on_delivery=lambda *a: seen.append("inner"))
        seen.append(inner.get(TIMEOUT_S).partition)
        producer.send("t", b"more", partition=3)
        producer.flush(TIMEOUT_S)
        seen.append(broker.record_count("t", 3))

    began = time.monotonic()
    producer.send("t", b"outer", partition=1, on_delivery=callback).get(TIMEOUT_S)
    producer.flush(TIMEOUT_S)
    assert seen == [2, 1, "inner"]
    assert time.monotonic() - began < 10


# ---- in an interceptor ---------------------------------------------------------------------------------------------


def test_send_in_an_interceptor(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(topics={"t": 1, "audit": 1})

    class Audit:
        producer: KafkaProducer

        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            if record.topic == "t":
                self.producer.send("audit", b"sent " + record.value)
            return record

        def on_acknowledgement(self, metadata: Any, exception: Any) -> None:
            if metadata.topic == "t":
                self.producer.send("audit", b"acknowledged %d" % metadata.offset)

    audit = Audit()
    producer = audit.producer = make(broker, interceptors=[audit])
    for n in range(3):
        producer.send("t", b"%d" % n).get(TIMEOUT_S)
    broker.wait(lambda b: b.record_count("audit") == 6)
    values = {record.value for record in broker.records("audit")}
    assert values == {b"%s %d" % (what, n) for what in (b"sent", b"acknowledged") for n in range(3)}


def test_an_interceptor_that_sends_without_end(broker: EmbeddedBroker, make: Make) -> None:
    """The recursion's error stays in the interceptor; the records are sent."""

    class Foolish:
        producer: KafkaProducer

        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            self.producer.send(record.topic, b"again", partition=0)
            return record

    foolish = Foolish()
    producer = foolish.producer = make(broker, interceptors=[foolish])
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        future = producer.send("t", b"first", partition=1)
    finally:
        sys.setrecursionlimit(limit)
    assert future.get(TIMEOUT_S).partition == 1
    assert [record.value for record in broker.records("t", 1)] == [b"first"]


def test_close_in_an_interceptor(broker: EmbeddedBroker, make: Make) -> None:
    class Closing:
        producer: KafkaProducer

        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            if record.value == b"last":
                self.producer.close(timeout=5)
            return record

    closing = Closing()
    producer = closing.producer = make(broker, interceptors=[closing])
    future = producer.send("t", b"first")
    with pytest.raises(ProducerClosedError):
        producer.send("t", b"last")
    assert future.get(0).offset == 0


# ---- after close ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_send_after_close(way: str, broker: EmbeddedBroker, make: Make) -> None:
    producer = make_by(way, make, broker)
    producer.send("t", b"v", partition=1).get(TIMEOUT_S)
    producer.close()
    seen: list[Any] = []
    for arguments in ({"topic": "t"}, {"topic": "new"}, {"topic": "t", "partition": 99}, {"topic": "a b"}):
        with pytest.raises(IllegalStateError, match="closed"):
            producer.send(value=b"v", on_delivery=lambda *a: seen.append(a), **arguments)  # type: ignore[arg-type]
    with pytest.raises(ProducerClosedError):
        producer.partitions_for("t")
    assert seen == []
    assert broker.record_count("t") == 1


@pytest.mark.parametrize("way", WAYS)
def test_close_wakes_those_who_wait(way: str, broker: EmbeddedBroker, make: Make) -> None:
    """In send(), for metadata and for memory: they are told at once that the producer was closed."""
    producer = make_by(way, make, broker, max_block_ms=60_000, buffer_memory=1 << 17, delivery_timeout_ms=60_000)
    producer.partitions_for("t")
    broker.hold("Produce")
    broker.hold("Metadata")
    outcomes: list[BaseException] = []

    def send(topic: str, size: int) -> None:
        try:
            while True:
                producer.send(topic, bytes(size), partition=1)
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=send, args=args) for args in (("t", 30_000), ("unknown", 1), ("t", 50_000))]
    for thread in threads:
        thread.start()
    while producer._lifecycle.accumulator.pool_stats()["waiting"] < 2:
        time.sleep(0.01)
    began = time.monotonic()
    producer.close(timeout=0)
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - began < 10
    assert [type(error) for error in outcomes] == [ProducerClosedError] * 3


@pytest.mark.parametrize("way", WAYS)
def test_threads_that_send_while_it_closes(way: str, broker: EmbeddedBroker, make: Make) -> None:
    """Every future has an outcome, and what was acknowledged is what is in the log."""
    producer = make_by(way, make, broker)
    producer.partitions_for("t")
    futures: list[RecordFuture] = []
    sending = threading.Event()

    def work(thread: int) -> None:
        n = 0
        while True:
            try:
                futures.append(producer.send("t", b"%d" % n, key=b"%d" % thread, partition=thread % 4))
            except ProducerClosedError:
                return
            n += 1
            if n == 100:
                sending.set()

    closer = threading.Thread(target=lambda: (sending.wait(TIMEOUT_S), producer.close(timeout=TIMEOUT_S)))
    closer.start()
    in_threads(work, 8)
    closer.join()
    assert all(future.is_done for future in futures)
    assert broker.record_count("t") == sum(future.succeeded() for future in futures) == len(futures)


# ---- Ctrl-C --------------------------------------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys, threading, time
from pykafka_fast import KafkaProducer, ProducerInterceptor
from pykafka_fast.testing import EmbeddedBroker

class Interceptor(ProducerInterceptor):
    def on_send_error(self, record, where, exception):
        print("on_send_error", type(exception).__name__, where.partition)

broker = EmbeddedBroker(topics={"t": 1})
producer = KafkaProducer(bootstrap_servers=broker.address, buffer_memory=1 << 17, interceptors=[Interceptor()])
producer.partitions_for("t")
broker.hold("Produce")
broker.hold("Metadata")
future = producer.send("t", b"x")
accumulator = producer._lifecycle.accumulator
if sys.argv[1] == "memory":
    while accumulator.pool_stats()["available"] >= 65536:
        producer.send("t", bytes(30000), partition=0)
asked = broker.request_count("Metadata")
main = threading.get_ident()
call, waiting = {
    "get": (lambda: future.get(), lambda: sys._current_frames()[main].f_code.co_name == "<lambda>"),
    "metadata": (lambda: producer.send("unknown", b"x"), lambda: broker.request_count("Metadata") > asked),
    "memory": (lambda: producer.send("t", bytes(100000)), lambda: accumulator.pool_stats()["waiting"] > 0),
    "partitions_for": (lambda: producer.partitions_for("u"), lambda: broker.request_count("Metadata") > asked),
}[sys.argv[1]]

def interrupt():
    while not waiting():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    began = time.monotonic()
    call()
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - began < 5)
print("errors", int(producer.metrics()["producer-metrics"]["record-error-total"]))
broker.clear()
future.get(10)
producer.close(timeout=10)
print(accumulator.pool_stats()["slabs_acquired"], broker.violations)
"""


@pytest.mark.parametrize("what", ["get", "metadata", "memory", "partitions_for"])
def test_ctrl_c(what: str) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, what], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")
    partition = {"metadata": [-1], "memory": [-1]}.get(what, [])
    told = [f"on_send_error KeyboardInterrupt {it}" for it in partition]
    assert done.stdout.splitlines() == [*told, "interrupted True", f"errors {len(told)}", "0 []"]


def test_a_time_out_is_the_built_in_one(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, max_block_ms=50)
    with pytest.raises(TimeoutError) as raised:
        producer.send("no-such-topic", b"v").get(0)
    assert isinstance(raised.value, KafkaTimeoutError)
