# SPDX-License-Identifier: Apache-2.0
"""The broker as a program, and the pytest plugin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pykafka_fast.testing import BrokerProcess
from tests.testing.wire import Wire, plain_batch

COMMAND = [sys.executable, "-m", "pykafka_fast.testing"]
TIMEOUT_S = 20


def start(*arguments: str, root: Path) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, cwd=root)


def test_broker_process() -> None:
    with BrokerProcess(topics={"t": 2, "u": 1}, brokers=2) as broker:
        assert broker.address.count(":") == 2
        wire = Wire(broker.address)
        assert wire.produce(plain_batch()).error == 0
        assert wire.produce(plain_batch(), partition=1).error == 6
        wire.close()
        assert broker.close() == 0


def test_its_exit_status_tells_of_violations(capfd: pytest.CaptureFixture[str]) -> None:
    with BrokerProcess(topics={"t": 1}, strict_records=False) as broker:
        wire = Wire(broker.address)
        assert wire.produce(plain_batch(crc=0)).error == 2
        wire.close()
        assert broker.close() == 1
    assert "violation: Produce v8 from 'wire', connection 1: t-0: CRC-32C" in capfd.readouterr().err


def test_it_ends_with_standard_input(root: Path) -> None:
    process = start("--topics", "t:1,u", root=root)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"127.0.0.1:")
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (out, err, process.returncode) == (b"", b"", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_a_signal(root: Path, number: signal.Signals) -> None:
    process = start(root=root)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == 0
    process.communicate()


def test_bad_arguments(root: Path) -> None:
    for arguments, status, words in [
        (["--topics", "t:many"], 2, b"is not NAME:PARTITIONS"),
        (["--topics", "a b:1"], 2, b"no legal topic name"),
        (["--brokers", "0"], 2, b"brokers must be at least 1"),
    ]:
        process = start(*arguments, root=root)
        _, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == status
        assert words in err


def test_a_broker_that_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="ended with status 2"):
        BrokerProcess(brokers=0)


TESTS = """
import socket
import pytest
from tests.testing.wire import Wire, plain_batch

def test_right(kafka_broker):
    kafka_broker.create_topic("t", 1)
    wire = Wire(kafka_broker.address)
    assert wire.produce(plain_batch()).error == 0
    wire.close()

def test_wrong(kafka_broker):
    kafka_broker.create_topic("t", 1)
    wire = Wire(kafka_broker.address)
    assert wire.produce(plain_batch(crc=0)).error == 2
    wire.close()

def test_three(kafka_cluster):
    assert len(kafka_cluster.addresses) == 3
"""


def test_the_plugin(tmp_path: Path, root: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "pykafka_fast.testing.plugin", "-p", "no:cacheprovider", "-q"]
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # the package may be installed, plugin and all
    done = subprocess.run(command, cwd=root, env=alone, capture_output=True, text=True, timeout=60, check=False)
    assert "3 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "clients broke the Kafka protocol:" in done.stdout
    assert "CRC-32C" in done.stdout
    assert "test_wrong" in done.stdout


def test_the_plugin_loads_no_broker_until_it_is_asked(root: Path) -> None:
    code = (
        "import sys, pykafka_fast.testing.plugin;"
        "print([m for m in sys.modules if m.startswith('pykafka_fast.testing.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "['pykafka_fast.testing.plugin']"
