# SPDX-License-Identifier: Apache-2.0
"""The end of the interpreter: with and without close(), while threads send, with a broker that does not answer."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import StartBroker
from tools.brokers.processes import free_port

PRELUDE = """
    import gc, sys, threading, time
    from pykafka_fast import KafkaProducer
    address = sys.argv[1]

    def wait_for(condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.001)
"""


def run(address: str, program: str, *options: str) -> tuple[str, str, float]:
    """What it said on both streams, and how long it took; it must end well."""
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(program)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *options, "-c", text, address],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr, time.monotonic() - began


def test_without_close_everything_is_delivered(broker: EmbeddedBroker) -> None:
    _, said, _ = run(broker.address, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        for i in range(1000):
            producer.send("t", b"%d" % i)
    """)
    assert said == ""
    assert broker.record_count("t") == 1000


def test_when_no_thread_can_be_started_any_more(broker: EmbeddedBroker) -> None:
    """As from Python 3.12 on, while exit handlers run. The broker's name is looked up then."""
    broker._cluster.nodes[1].host = "localhost"
    out, said, _ = run(broker.address, """
        def refuse(self):
            raise RuntimeError("can't create new thread at interpreter shutdown")

        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        for i in range(10):
            producer.send("t", b"%d" % i, partition=0, on_delivery=lambda m, e: print(m.offset, flush=True))
        threading.Thread.start = refuse
    """)
    assert (out, said) == ("".join(f"{i}\n" for i in range(10)), "")
    assert broker.record_count("t") == 10


def test_callbacks_run_before_the_end(broker: EmbeddedBroker) -> None:
    out, said, _ = run(broker.address, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        for i in range(10):
            producer.send("t", b"%d" % i, partition=0, on_delivery=lambda m, e: print(m.offset, flush=True))
    """)
    assert (out, said) == ("".join(f"{i}\n" for i in range(10)), "")


def test_a_producer_that_an_exit_handler_makes_and_leaves_open(broker: EmbeddedBroker) -> None:
    """Nobody can deliver for it: other threads stand still, or from Python 3.12 on are not to be had at all."""
    broker.hold("Produce")
    out, said, took = run(broker.address, """
        import atexit

        def work():
            global producer
            producer = KafkaProducer(bootstrap_servers=address)
            try:
                producer.send("t", b"x")
            except RuntimeError as error:
                print(error)

        atexit.register(work)
    """)
    assert "1 records (1 of 't')" in said or "can't create new thread" in out
    assert took < 8


def test_a_first_send_when_all_threads_stand_still(broker: EmbeddedBroker) -> None:
    out, said, took = run(broker.address, """
        class Late:
            def __del__(self, producer=KafkaProducer, address=address, print=print):
                try:
                    producer(bootstrap_servers=address).send("t", b"x")
                except RuntimeError as error:
                    print(error)

        late = Late()
    """)
    assert "thread" in out
    assert (said, broker.record_count("t")) == ("", 0)
    assert took < 8


@pytest.mark.parametrize("where", ["main", "thread"])
def test_with_close(broker: EmbeddedBroker, where: str) -> None:
    close = "producer.close()" if where == "main" else "threading.Thread(target=producer.close).start()"
    _, said, took = run(broker.address, f"""
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        producer.send("t", b"x")
        {close}
    """)
    assert said == ""
    assert took < 5
    assert broker.record_count("t") == 1


def test_never_used(broker: EmbeddedBroker) -> None:
    _, said, took = run(broker.address, """
        producer = KafkaProducer(bootstrap_servers=address)
    """, "-W", "error")
    assert said == ""
    assert took < 5


def test_daemon_threads_that_send(broker: EmbeddedBroker) -> None:
    out, said, took = run(broker.address, """
        producer = KafkaProducer(bootstrap_servers=address)
        threading.excepthook = lambda args: None
        delivered = []

        def send(partition):
            while True:
                producer.send("t", b"x", partition=partition, on_delivery=lambda *_: delivered.append(partition))

        for partition in range(4):
            threading.Thread(target=send, args=(partition,), daemon=True).start()
        wait_for(lambda: set(delivered) == {0, 1, 2, 3})
        print("end")
    """)
    assert (out, said) == ("end\n", "")
    assert took < 15
    assert broker.record_count("t") > 0


def test_daemon_threads_that_wait(broker: EmbeddedBroker) -> None:
    broker.hold("Produce")
    _, said, took = run(broker.address, """
        producer = KafkaProducer(
            bootstrap_servers=address, delivery_timeout_ms=4000, request_timeout_ms=4000, linger_ms=0)
        threading.excepthook = lambda args: None
        futures = [producer.send("t", b"x", partition=i % 4) for i in range(100)]
        threads = [threading.Thread(target=work, daemon=True)
                   for work in (futures[0].get, futures[0].get, producer.flush, futures[3].get)]
        for thread in threads:
            thread.start()
        at = lambda thread: sys._current_frames()[thread.ident].f_code.co_name
        wait_for(lambda: sorted(map(at, threads)) == ["flush", "run", "run", "run"])  # run: get() is no Python
    """)
    assert took < 12
    assert "Traceback" not in said
    broker.release()


def test_a_broker_that_does_not_answer_holds_the_end_up_for_10_s_at_most(broker: EmbeddedBroker) -> None:
    broker.hold("Produce")
    _, said, took = run(broker.address, """
        import logging
        logging.basicConfig()
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=0)
        for i in range(7):
            producer.send("t", b"x")
    """)
    assert 9 < took < 25
    assert "7 records (7 of 't')" in said
    broker.release()


@pytest.mark.parametrize(("ms", "least", "most"), [(0, 0, 5), (500, 0.4, 8)])
def test_the_time_for_that_is_an_option(start_broker: StartBroker, ms: int, least: float, most: float) -> None:
    broker = start_broker(topics={"t": 1, "u": 1})
    broker.hold("Produce")
    out, said, _ = run(broker.address, f"""
        import atexit, logging
        logging.basicConfig()
        atexit.register(lambda: print(time.monotonic() - began))  # runs after the producer's, which registers later
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=0, exit_timeout_ms={ms})
        for i in range(3):
            producer.send("t", b"x")
        producer.send("u", b"x")
        wait_for(lambda: producer.metrics()["producer-metrics"]["requests-in-flight"] > 0)
        began = time.monotonic()
    """)
    assert least <= float(out) < most
    assert said.count("had an outcome") == 1
    assert "4 records (3 of 't', 1 of 'u')" in said
    assert "Traceback" not in said
    broker.release()


def test_nobody_there() -> None:
    _, said, took = run(f"127.0.0.1:{free_port()}", """
        producer = KafkaProducer(bootstrap_servers=address, max_block_ms=300)
        assert producer.send("t", b"x").failed()
    """)
    assert took < 5
    assert "Traceback" not in said


def test_a_callback_that_hangs(broker: EmbeddedBroker) -> None:
    _, _, took = run(broker.address, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=0)
        called = threading.Event()
        producer.send("t", b"x", on_delivery=lambda *_: (called.set(), time.sleep(3600)))
        assert called.wait(20)
    """)
    assert took < 13 + 20


@pytest.mark.parametrize("how", ["always", "error::ResourceWarning"])
def test_collected_without_close(broker: EmbeddedBroker, how: str) -> None:
    _, said, _ = run(broker.address, """
        def work():
            producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
            producer.send("t", b"x")

        work()
        gc.collect()
    """, "-W", how)
    assert "ResourceWarning: unclosed producer" in said
    assert ("Traceback" in said) == (how != "always")


@pytest.mark.parametrize("answers", [True, False])
def test_collected_right_before_the_end(start_broker: StartBroker, answers: bool) -> None:
    broker = start_broker(topics={"t": 1})
    if answers:
        broker.delay("Produce", 300)
    else:
        broker.hold("Produce")
    _, said, took = run(broker.address, f"""
        import logging
        logging.basicConfig()

        def work():
            producer = KafkaProducer(
                bootstrap_servers=address, linger_ms=0, exit_timeout_ms={10_000 if answers else 1000})
            producer.send("t", b"x")
            wait_for(lambda: producer.metrics()["producer-metrics"]["requests-in-flight"] > 0)

        work()
    """)
    assert ("1 records (1 of 't')" in said) is not answers
    assert "Traceback" not in said
    assert took >= (0.3 if answers else 0.9)
    broker.release()


def test_while_a_daemon_thread_closes_without_a_limit(broker: EmbeddedBroker) -> None:
    broker.hold("Produce")
    _, said, _ = run(broker.address, """
        import logging
        logging.basicConfig()
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=0, exit_timeout_ms=300)
        producer.send("t", b"x")
        threading.Thread(target=producer.close, daemon=True).start()
        wait_for(lambda: producer._lifecycle._closing)
    """)
    assert "1 records (1 of 't')" in said
    broker.release()


def test_in_a_cycle_that_is_never_collected(broker: EmbeddedBroker) -> None:
    _, said, _ = run(broker.address, """
        gc.disable()

        class Service:
            def __init__(self):
                self.producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
                self.me = self

        service = Service()
        service.producer.send("t", b"x", on_delivery=lambda *_, kept=service: kept)
        del service
    """)
    assert "Traceback" not in said
    assert broker.record_count("t") == 1


def test_futures_that_live_to_the_end(broker: EmbeddedBroker) -> None:
    _, said, _ = run(broker.address, """
        producer = KafkaProducer(bootstrap_servers=address)
        sys.kept = [producer.send("t", b"x") for _ in range(1000)]
        sys.metadata = [future.get(10) for future in sys.kept]
        producer.close()
        del producer
    """)
    assert said == ""


def test_sys_exit_in_the_middle(broker: EmbeddedBroker) -> None:
    text = textwrap.dedent(PRELUDE) + textwrap.dedent("""
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        producer.send("t", b"x")
        sys.exit(3)
    """)
    assert subprocess.run([sys.executable, "-c", text, broker.address], timeout=20, check=False).returncode == 3
    assert broker.record_count("t") == 1


ENDS = {
    "falls off the end": "",
    "sys.exit": "sys.exit(3)",
    "sys.exit in a thread": "threading.Thread(target=sys.exit, args=(3,)).start()",
    "an exception": "raise RuntimeError('the end')",
    "an exception in a thread": "threading.Thread(target=lambda: 1 / 0).start()",
    "Ctrl-C": "signal.raise_signal(signal.SIGINT)",
    "SIGTERM": "signal.raise_signal(signal.SIGTERM)",
    "os._exit": "os._exit(4)",
}
STATUS = {"sys.exit": 3, "an exception": 1, "Ctrl-C": -2, "SIGTERM": -15, "os._exit": 4}
ABRUPT = ("SIGTERM", "os._exit")  # Python runs nothing then


@pytest.mark.parametrize("closes", ["with", "without", "in a with block"])
@pytest.mark.parametrize("end", ENDS)
def test_ends_while_daemon_threads_send(broker: EmbeddedBroker, end: str, closes: str) -> None:
    """It ends, with its status; what is in the log has no gap, and what was sent before the end is there."""
    head, close = {"with": ("if True:", "producer.close()"), "without": ("if True:", ""),
                   "in a with block": ("with producer:", "")}[closes]
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(f"""
import os, signal
from pykafka_fast.errors import ProducerClosedError

producer = KafkaProducer(bootstrap_servers=address, linger_ms=1)
sent, delivered = [0] * 4, [0] * 4

def send(partition):
    def count(metadata, error):
        delivered[partition] += error is None
    try:
        while True:
            producer.send("t", b"%d" % sent[partition], partition=partition, on_delivery=count)
            sent[partition] += 1
            if sent[partition] % 20 == 0:
                time.sleep(0.001)
    except ProducerClosedError:
        pass

{head}
    for partition in range(4):
        threading.Thread(target=send, args=(partition,), daemon=True).start()
    wait_for(lambda: min(delivered) > 100)
    print(*sent, flush=True)
    {close}
    {ENDS[end]}
""")
    done = subprocess.run(
        [sys.executable, "-c", text, broker.address], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == STATUS.get(end, 0), done.stderr
    assert "ProducerClosedError" not in done.stderr
    assert "Fatal" not in done.stderr
    assert "had an outcome" not in done.stderr  # nothing was lost
    for partition, sent in enumerate(map(int, done.stdout.split())):
        values = [record.value for record in broker.records("t", partition)]
        assert values == [b"%d" % n for n in range(len(values))]
        assert len(values) >= (100 if end in ABRUPT and closes != "with" else sent)


def test_a_failure_nobody_looked_at_that_outlives_the_modules(start_broker: StartBroker) -> None:
    """A future may be dropped when nothing of Python's is left but the object itself: it goes without a word."""
    broker = start_broker(topics={"t": 1})
    _, said, _ = run(broker.address, """
        with KafkaProducer(bootstrap_servers=address, max_request_size=1000) as producer:
            threading.outlives_us = producer.send("t", bytes(2000))
            sys.outlives_us = producer.send("t", bytes(2000))
    """)
    assert said == ""


@pytest.mark.parametrize("close", [
    "def close(self): super().close()",  # takes no timeout
    "def close(self, timeout=None): sys.exit('mine')",
    "def close(self, timeout=None): pass",
])
def test_a_subclass_with_a_close_of_its_own(broker: EmbeddedBroker, close: str) -> None:
    _, said, _ = run(broker.address, f"""
        class Own(KafkaProducer):
            {close}

        producer = Own(bootstrap_servers=address, linger_ms=60_000)
        for i in range(10):
            producer.send("t", b"%d" % i)
    """)
    assert ("close() failed" in said) == ("pass" not in close)
    assert broker.record_count("t") == 10
