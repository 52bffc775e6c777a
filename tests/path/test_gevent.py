# SPDX-License-Identifier: Apache-2.0
"""Where gevent has put greenlets in the place of threads: gunicorn's gevent workers, Locust, and the like.

A wait lets other greenlets run, and what the producer needs to go on is not one of them.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter
from types import SimpleNamespace

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaConfigurationError
from pykafka_fast.testing import EmbeddedBroker

PATCHES = {
    "patched first": "from gevent import monkey; monkey.patch_all(); import pykafka_fast",
    "patched late": "import pykafka_fast; from gevent import monkey; monkey.patch_all()",
    "not patched": "import pykafka_fast",
}
PRELUDE = """
import logging, os, sys, time
import gevent
from gevent.lock import RLock
from pykafka_fast import KafkaProducer
from pykafka_fast.errors import BufferExhaustedError, KafkaTimeoutError
from pykafka_fast.native import Lock

address = sys.argv[1]
turns = 0

def fork():  # a child that ends before gevent has begun to watch it is waited for for ever
    watched, watches = os.pipe()
    pid = os.fork()
    if pid:
        os.write(watches, b".")
    else:
        os.read(watched, 1)
    return pid

def take_turns():
    global turns
    while True:
        gevent.sleep(0.001)
        turns += 1

gevent.spawn(take_turns)
"""


def run(broker: EmbeddedBroker, program: str, patch: str = PATCHES["patched first"]) -> None:
    """It must end well, and say nothing. When it asks for it, the broker answers what it has held back."""
    text = patch + PRELUDE + textwrap.dedent(program)
    command = [sys.executable, "-c", text, broker.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          bufsize=1) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        try:
            for line in process.stdout:
                assert line == "release\n"
                broker.release()
                process.stdin.write("released\n")
            said = process.stderr.read()
            assert (process.wait(20), said) == (0, "")
        finally:
            process.kill()


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_send_get_callbacks_flush_close(broker: EmbeddedBroker, patch: str) -> None:
    run(broker, """
        told = []
        with KafkaProducer(bootstrap_servers=address.replace("127.0.0.1", "localhost"), linger_ms=20) as producer:
            first = producer.send("t", b"first", on_delivery=lambda *outcome: told.append(outcome))
            assert first.get(20) == told[0][0]
            for number in range(5000):
                producer.send("t", b"%d" % number, on_delivery=lambda *outcome: told.append(outcome))
            producer.flush(20)
            assert len(told) == 5001 and all(error is None for _, error in told)
            many = producer.send_many("t", [b"x"] * 100)
            assert len(many.get(20)) == 100
            greenlets = [gevent.spawn(lambda: producer.send("t", b"x").get(20)) for _ in range(200)]
            gevent.joinall(greenlets, timeout=20, raise_error=True)
            assert all(greenlet.value.topic == "t" for greenlet in greenlets)
        assert turns > 5
    """, patch)
    assert broker.record_count("t") == 5301


def test_waits_give_way(broker: EmbeddedBroker) -> None:
    """For an acknowledgement, in flush(), for metadata, for memory, and in close()."""
    broker.hold("Produce")
    run(broker, """
        logging.disable()

        def waits(what, wanted=100):
            began, before = time.monotonic(), turns
            try:
                what()
            except KafkaTimeoutError:
                pass
            assert time.monotonic() - began < 5
            assert turns - before > wanted, (what, turns - before)

        producer = KafkaProducer(bootstrap_servers=address, buffer_memory=65536, max_block_ms=500)
        future = producer.send("t", b"x")
        waits(lambda: future.get(0.5))
        waits(lambda: producer.flush(0.5))
        waits(lambda: producer.send_many("t", [b"x"]).get(0.5))
        while not producer.send("t", bytes(10_000)).is_done:
            pass
        waits(lambda: producer.send("t", bytes(10_000)))
        try:
            waits(lambda: producer.send_many("t", [bytes(10_000)]))
        except BufferExhaustedError:
            pass
        waits(lambda: producer.close(0.5))
        nowhere = KafkaProducer(bootstrap_servers="127.0.0.1:1", max_block_ms=500)
        waits(lambda: nowhere.send("t", b"x"))
        nowhere.close()
    """)


def test_many_that_wait_for_memory(broker: EmbeddedBroker) -> None:
    """Their stacks are moved about while the pool has them in its queue."""
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, buffer_memory=65536, batch_size=16384)

        def sender(number):
            def deep(depth):
                return deep(depth - 1) if depth else producer.send("t", bytes([number]) * 9000, partition=0)
            return [deep(number % 40) for _ in range(10)]

        greenlets = [gevent.spawn(sender, number) for number in range(100)]
        gevent.joinall(greenlets, timeout=30, raise_error=True)
        offsets = {future.get(20).offset for greenlet in greenlets for future in greenlet.value}
        assert offsets == set(range(1000))
        producer.close()
    """)
    found = Counter(record.value for record in broker.records("t", 0))
    assert found == {bytes([number]) * 9000: 10 for number in range(100)}


def test_a_wait_that_gevent_ends(broker: EmbeddedBroker) -> None:
    """gevent.Timeout and kill() end it, and neither harms the producer."""
    broker.hold("Produce")
    run(broker, """
        logging.disable()
        producer = KafkaProducer(bootstrap_servers=address, buffer_memory=32768, linger_ms=0)
        future = producer.send("t", b"x")
        for wait in (future.get, producer.flush):
            try:
                with gevent.Timeout(0.2):
                    wait(20)
                raise AssertionError(wait)
            except gevent.Timeout:
                pass
        full = [gevent.spawn(lambda: [producer.send("t", bytes(8000)) for _ in range(20)]) for _ in range(5)]
        gevent.sleep(0.3)
        assert not any(greenlet.ready() for greenlet in full)
        gevent.killall(full, timeout=5)
        assert all(greenlet.ready() for greenlet in full)
        print("release", flush=True)
        sys.stdin.readline()
        assert future.get(20).offset == 0
        assert producer.send("t", b"x").get(20).topic == "t"
        producer.close()
    """)


def test_a_callback_that_needs_a_lock_which_a_greenlet_holds(broker: EmbeddedBroker) -> None:
    """The one that waits for the record gives way to it."""
    run(broker, """
        lock, told = RLock(), []

        def holder():
            with lock:
                gevent.sleep(0.3)

        def callback(metadata, error):
            with lock:
                told.append(metadata)

        producer = KafkaProducer(bootstrap_servers=address)
        gevent.spawn(holder)
        gevent.sleep(0)
        metadata = producer.send("t", b"x", on_delivery=callback).get(20)
        assert told == [metadata]
        producer.close()
    """)


def test_a_thousand_that_wait(broker: EmbeddedBroker) -> None:
    """For acknowledgements: they leave the others their turns."""
    broker.hold("Produce")
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address)
        greenlets = [gevent.spawn(producer.send("t", b"x").get, 20) for _ in range(1000)]
        gevent.sleep(0.2)
        began = turns
        gevent.sleep(2)
        assert turns - began > 200, turns - began
        print("release", flush=True)
        gevent.joinall(greenlets, timeout=20, raise_error=True)
        producer.close()
    """)


def test_close_by_two_greenlets(broker: EmbeddedBroker) -> None:
    """Both come back when all is done, callbacks included; so does the exit handler."""
    run(broker, """
        told, go_on = [], Lock()
        go_on.acquire()
        producer = KafkaProducer(bootstrap_servers=address)
        producer.send("t", b"x", on_delivery=lambda *_: (go_on.acquire(), told.append(1)))
        greenlets = [gevent.spawn(producer.close) for _ in range(3)]
        assert gevent.joinall(greenlets, timeout=0.3) == []  # none comes back before the callback does
        go_on.release()
        for greenlet in greenlets:
            greenlet.join(20)
            assert told == [1]
    """)


def test_a_fork_while_a_greenlet_closes(broker: EmbeddedBroker) -> None:
    """In the child there is nothing to wait for."""
    run(broker, """
        called, go_on = [], Lock()
        go_on.acquire()
        producer = KafkaProducer(bootstrap_servers=address)
        producer.send("t", b"x", on_delivery=lambda *_: (called.append(1), go_on.acquire()))
        closing = gevent.spawn(producer.close)
        while not called:
            gevent.idle()
        closing.join(0.3)  # by then it waits for the thread that the callback holds up
        assert not closing.ready()
        pid = fork()
        if not pid:
            closing.join(20)
            os._exit(0 if closing.ready() else 1)
        go_on.release()
        closing.join(20)
        assert os.waitpid(pid, 0) == (pid, 0)
    """)


def test_without_close_everything_is_delivered(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        for i in range(1000):
            producer.send("t", b"%d" % i)
    """)
    assert broker.record_count("t") == 1000


def test_in_a_forked_child(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address)
        producer.send("t", b"parent").get(20)
        pid = fork()
        producer.send("t", b"either").get(20)
        producer.flush(20)
        if pid:
            assert os.waitpid(pid, 0) == (pid, 0)
    """)
    assert Counter(record.value for record in broker.records("t")) == {b"parent": 1, b"either": 2}


def test_eventlet_is_refused(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is at its end, and would stand still without a word."""
    patched = {"os", "thread"}
    monkeypatch.setitem(sys.modules, "eventlet.patcher", SimpleNamespace(is_monkey_patched=patched.__contains__))
    with pytest.raises(KafkaConfigurationError, match="use gevent"):
        KafkaProducer(bootstrap_servers=broker.address)
    patched.remove("thread")
    with KafkaProducer(bootstrap_servers=broker.address) as producer:
        assert producer.send("t", b"x").get(20).offset == 0
