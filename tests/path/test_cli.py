# SPDX-License-Identifier: Apache-2.0
"""`python -m pykafka_fast produce` against the embedded broker, as a user runs it."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tools.brokers.processes import free_port
from tools.readback import Record

ReadBack = Callable[[str, str], list[Record]]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(topics={"events": 3}) as embedded:
        yield embedded


def command(address: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "pykafka_fast", "produce", "--topic", "events", "--bootstrap", address, *more]


def test_a_file(broker: EmbeddedBroker, tmp_path: Path, read_back: ReadBack) -> None:
    lines = [json.dumps({"user": f"u{i % 50}", "n": i}).encode() for i in range(5000)]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(lines))
    done = subprocess.run(
        command(broker.address, "--key-field", "user", "-C", "linger_ms=0", str(file)),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert "5,000 records delivered to events" in done.stderr
    records = read_back(broker.address, "events")
    assert sorted(record.value or b"" for record in records) == sorted(lines)
    for user in range(50):
        mine = [record for record in records if record.key == f"u{user}".encode()]
        assert [json.loads(record.value or b"")["n"] for record in mine] == list(range(user, 5000, 50))


def test_standard_input_with_a_bad_line(broker: EmbeddedBroker, read_back: ReadBack) -> None:
    done = subprocess.run(
        command(broker.address, "-"), input=b"1\n{\n2\n", capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert b"-:2: not JSON" in done.stderr
    assert sorted(record.value or b"" for record in read_back(broker.address, "events")) == [b"1", b"2"]


def test_ctrl_c_keeps_what_was_sent(broker: EmbeddedBroker, read_back: ReadBack) -> None:
    with subprocess.Popen(
        command(broker.address, "-"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as upload:
        assert upload.stdin is not None
        assert upload.stderr is not None
        upload.stdin.write(b"".join(b"%d\n" % i for i in range(1000)))
        while len(broker.records("events")) < 1000:
            assert upload.poll() is None
        upload.send_signal(signal.SIGINT)
        said = upload.stderr.read()
        assert upload.wait(30) == 130
    assert b"interrupted" in said
    assert b"1,000 records delivered" in said
    assert b"Traceback" not in said
    assert len(read_back(broker.address, "events")) == 1000


def test_nobody_there() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        command(address, "-C", "max_block_ms=300", "-"), input=b"1\n", capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert address.encode() in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unknown_option_is_a_usage_error(broker: EmbeddedBroker) -> None:
    done = subprocess.run(
        command(broker.address, "-C", "linger=5", "-"), input=b"1\n", capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert b"linger_ms" in done.stderr
