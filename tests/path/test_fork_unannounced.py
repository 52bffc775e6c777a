# SPDX-License-Identifier: Apache-2.0
"""Forks that Python is not told of (uWSGI's), daemons that close what they inherit, and billiard's children."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from pykafka_fast.testing import EmbeddedBroker

PRELUDE = """
import ctypes, os, sys
from pykafka_fast import KafkaProducer
from pykafka_fast.errors import ProducerForkedError

address = sys.argv[1]
producer = KafkaProducer(bootstrap_servers=address)

def fork_in_c():
    return ctypes.PyDLL(None).fork()

def end(pid):
    assert os.waitpid(pid, 0) == (pid, 0)
"""


def run(broker: EmbeddedBroker, program: str) -> None:
    """It must end well, and say nothing; Python 3.12 warns of threads beside a fork."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + textwrap.dedent(program), broker.address],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def found(broker: EmbeddedBroker) -> Counter[bytes | None]:
    return Counter(record.value for record in broker.records("t"))


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_a_fork_in_c(broker: EmbeddedBroker, used: bool) -> None:
    """Neither process disturbs the other."""
    run(broker, f"""
        if {used}:
            producer.send("t", b"before").get(20)
        pid = fork_in_c()
        value = b"parent" if pid else b"child"
        for _ in range(100):
            future = producer.send("t", value)
        future.get(20)
        producer.close(20)
        if not pid:
            os._exit(0)
        end(pid)
    """)
    assert found(broker) == {b"parent": 100, b"child": 100} | ({b"before": 1} if used else {})
    assert broker.violations == []


@pytest.mark.parametrize("first", ["flush(20)", "metrics()", "partitions_for('t')", "send_many('t', [])", "close(20)"])
def test_whatever_comes_first_in_the_child(broker: EmbeddedBroker, first: str) -> None:
    run(broker, f"""
        pending = producer.send("t", b"before")
        pending.get(20)
        pid = fork_in_c()
        if not pid:
            producer.{first}
            producer.close(20)
            os._exit(0)
        end(pid)
        producer.send("t", b"after").get(20)
        producer.close(20)
    """)
    assert found(broker) == {b"before": 1, b"after": 1}


def test_futures_of_the_parent(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=2000)
        producer.partitions_for("t")
        one, many = producer.send("t", b"x"), producer.send_many("t", [b"x"])
        pid = fork_in_c()
        if not pid:
            for future in (one, many):
                try:
                    future.get(20)
                except ProducerForkedError as error:
                    assert error.in_doubt
                else:
                    os._exit(1)
            os._exit(0)
        one.get(20), many.get(20)
        end(pid)
        producer.close(20)
    """)
    assert found(broker) == {b"x": 2}


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_a_daemon_that_closes_all_descriptors(broker: EmbeddedBroker, used: bool) -> None:
    """The numbers are those of its own files then."""
    run(broker, f"""
        import tempfile

        if {used}:
            producer.send("t", b"before").get(20)
        pid = os.fork()
        if not pid:
            os.closerange(3, 1024)
            files = [tempfile.TemporaryFile() for _ in range(20)]
            producer.send("t", b"daemon").get(20)
            producer.close(20)
            assert [os.fstat(file.fileno()).st_size for file in files] == [0] * 20
            os._exit(0)
        end(pid)
        producer.close(20)
    """)
    assert found(broker) == {b"daemon": 1} | ({b"before": 1} if used else {})


@pytest.mark.parametrize("package", ["multiprocessing", "billiard"])
def test_children_that_end_without_close(broker: EmbeddedBroker, package: str) -> None:
    """They end by os._exit(), behind finalizers of their own."""
    run(broker, f"""
        import {package}

        def work(number):
            for _ in range(100):
                producer.send("t", b"%d" % number)

        context = {package}.get_context("fork")
        children = [context.Process(target=work, args=(number,)) for number in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        producer.close(20)
    """)
    assert found(broker) == {b"%d" % number: 100 for number in range(3)}
