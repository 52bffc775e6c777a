# SPDX-License-Identifier: Apache-2.0
"""The end of the interpreter: with and without close(), while threads send, with a broker that does not answer."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tools.brokers.processes import free_port

PRELUDE = """
    import gc, sys, threading, time
    from pykafka_fast import KafkaProducer
    address = sys.argv[1]
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


def test_callbacks_run_before_the_end(broker: EmbeddedBroker) -> None:
    out, said, _ = run(broker.address, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        for i in range(10):
            producer.send("t", b"%d" % i, partition=0, on_delivery=lambda m, e: print(m.offset, flush=True))
    """)
    assert (out, said) == ("".join(f"{i}\n" for i in range(10)), "")


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

        def send(partition):
            while True:
                producer.send("t", b"x", partition=partition, on_delivery=lambda *_: None)

        for partition in range(4):
            threading.Thread(target=send, args=(partition,), daemon=True).start()
        time.sleep(0.5)
        print("end")
    """)
    assert (out, said) == ("end\n", "")
    assert took < 15
    assert broker.record_count("t") > 0


def test_daemon_threads_that_wait(broker: EmbeddedBroker) -> None:
    broker.hold("Produce")
    _, said, took = run(broker.address, """
        producer = KafkaProducer(
            bootstrap_servers=address, delivery_timeout_ms=1000, request_timeout_ms=1000, linger_ms=0)
        threading.excepthook = lambda args: None
        futures = [producer.send("t", b"x", partition=i % 4) for i in range(100)]
        for work in (futures[0].get, futures[0].get, producer.flush, futures[3].get):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)
    """)
    assert took < 8
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
    assert 9 < took < 13
    assert "7 records (7 of 't')" in said
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
        producer.send("t", b"x", on_delivery=lambda *_: time.sleep(3600))
        time.sleep(0.3)
    """)
    assert took < 13


def test_collected_without_close(broker: EmbeddedBroker) -> None:
    _, said, _ = run(broker.address, """
        def work():
            producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
            producer.send("t", b"x")

        work()
        gc.collect()
    """, "-W", "always")
    assert "ResourceWarning: unclosed producer" in said
    assert "Traceback" not in said


def test_in_a_cycle_that_is_never_collected(broker: EmbeddedBroker) -> None:
    _, said, _ = run(broker.address, """
        gc.disable()

        class Service:
            def __init__(self):
                self.producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
                self.me = self

        service = Service()
        service.producer.send("t", b"x", on_delivery=lambda *_: service)
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
