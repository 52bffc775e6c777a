# SPDX-License-Identifier: Apache-2.0
"""Wall clocks that jump, and processes that stand still for a while: nothing leaves early, late or twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pykafka_fast.testing import EmbeddedBroker

TIMEOUT_S = 60.0
SUSPENDED_S = 4.0
JUMPS = {"half an hour back": -1800, "twenty years ahead": 20 * 365 * 86400}

BEGINNING = """
import os, struct, sys, time
from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker

def jump(seconds):
    with open(os.environ["WALLCLOCK_OFFSET"], "r+b") as file:
        file.write(struct.pack("=q", seconds))

def took(call, shortest, longest, began=None):
    # began: when the wait may have begun, if that was before this call
    if began is None:
        began = time.monotonic()
    result = call()
    assert shortest <= time.monotonic() - began < longest, (shortest, time.monotonic() - began, longest)
    return result

broker = EmbeddedBroker(topics={"t": 1})
jump(0)
wall = time.time()
far = int(sys.argv[1])
"""

WAITS = {
    "linger": """
        producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=500)
        producer.send("t", b"first").get(20)
        began = time.monotonic()
        producer.send("t", b"v")
        jump(far)
        time.sleep(0.01)  # a step is noticed within a millisecond
        producer.send("t", b"another of the same batch")
        took(lambda: broker.wait(lambda it: it.record_count("t") == 3, 20), 0.3, 5, began)
        times = [record.timestamp for record in broker.records("t")]
        assert abs((times[2] - times[1]) / 1000 - far) < 60, times
    """,
    "back-off": """
        producer = KafkaProducer(
            bootstrap_servers=broker.address, linger_ms=0, retry_backoff_ms=500, retry_backoff_max_ms=500)
        producer.send("t", b"first").get(20)
        rule = broker.fail("Produce", 19)
        began = time.monotonic()
        future = producer.send("t", b"v")
        broker.wait(lambda it: rule.is_over)
        jump(far)
        took(lambda: future.get(20), 0.3, 5, began)
    """,
    "delivery time-out": """
        producer = KafkaProducer(
            bootstrap_servers=broker.address, linger_ms=0, delivery_timeout_ms=1500, request_timeout_ms=1500)
        producer.send("t", b"first").get(20)
        broker.hold("Produce")
        began = time.monotonic()
        future = producer.send("t", b"v")
        jump(far)
        def fail():
            try:
                future.get(20)
            except KafkaTimeoutError:
                return
            raise AssertionError("delivered")
        took(fail, 1.2, 6, began)
    """,
    "request time-out": """
        producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=0, request_timeout_ms=600)
        producer.send("t", b"first").get(20)
        broker.silence("Produce")
        began = time.monotonic()
        future = producer.send("t", b"v")
        broker.wait_for_requests("Produce", 2)
        jump(far)
        took(lambda: future.get(20), 0.3, 5, began)
    """,
    "metadata's age": """
        producer = KafkaProducer(bootstrap_servers=broker.address, metadata_max_age_ms=500)
        producer.partitions_for("t")
        jump(far)
        began, asked = time.monotonic(), broker.request_count("Metadata")
        took(lambda: broker.wait_for_requests("Metadata", asked + 2), 0.5, 4, began)
        assert broker.request_count("Metadata") < asked + 8
    """,
    "get": """
        producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=0)
        producer.send("t", b"first").get(20)
        broker.hold("Produce")
        future = producer.send("t", b"v")
        jump(far)
        def fail():
            try:
                future.get(0.4)
            except KafkaTimeoutError:
                return
            raise AssertionError("delivered")
        took(fail, 0.35, 3)
    """,
}

END = """
broker.clear()
# What is sent now has the time the clock says now, not the one it said.
sent = producer.send("t", b"last").get(20)
assert abs(sent.timestamp / 1000 - wall - far) < 60, sent.timestamp
took(lambda: producer.close(20), 0, 15)
assert broker.violations == []
print("well")
"""


@pytest.fixture(scope="module")
def wall_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library to preload."""
    library = tmp_path_factory.mktemp("wallclock") / "wallclock.so"
    source = Path(__file__).with_name("wallclock.c")
    command = [*os.environ.get("CC", "cc").split(), "-O1", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)
    return library


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("waiting", WAITS)
def test_the_wall_clock_jumps(waiting: str, jump: str, wall_clock: Path, tmp_path: Path) -> None:
    """While something waits: it waits as long as it should."""
    offset = tmp_path / "offset"
    offset.write_bytes(bytes(8))
    script = BEGINNING + textwrap.dedent(WAITS[waiting]) + END
    done = subprocess.run(
        [sys.executable, "-c", script, str(JUMPS[jump])], capture_output=True, text=True, timeout=TIMEOUT_S,
        env=os.environ | {"LD_PRELOAD": str(wall_clock), "WALLCLOCK_OFFSET": str(offset)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


def test_the_preloaded_clock_does_jump(wall_clock: Path, tmp_path: Path) -> None:
    """Otherwise the tests above would show nothing."""
    offset = tmp_path / "offset"
    offset.write_bytes(bytes(8))
    script = BEGINNING + "jump(far)\nassert 3500 < time.time() - wall < 3700\nprint('well')"
    done = subprocess.run(
        [sys.executable, "-c", script, "3600"], capture_output=True, text=True, timeout=TIMEOUT_S,
        env=os.environ | {"LD_PRELOAD": str(wall_clock), "WALLCLOCK_OFFSET": str(offset)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


SENDER = """
import sys
from pykafka_fast import KafkaProducer

producer = KafkaProducer(bootstrap_servers=sys.argv[1], linger_ms=1, request_timeout_ms=3000, batch_size=500,
                         enable_idempotence=sys.argv[2] == "True", max_in_flight_requests_per_connection=5)
futures, number = [], 0
for line in sys.stdin:
    for _ in range(int(line)):
        futures.append(producer.send("t", b"%06d" % number, partition=0))
        number += 1
producer.close(30)
print(sum(future.succeeded() for future in futures), flush=True)
"""


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("answered", ["answered meanwhile", "answered afterwards"])
def test_suspended(idempotent: bool, answered: str) -> None:
    """SIGSTOP with requests under way, for longer than request_timeout_ms; then everything is there once, in order.

    An answer that came meanwhile is read before the request is given up, so that even without idempotence nothing is
    sent twice. One that comes later is too late, and without idempotence the record is there again.
    """
    with EmbeddedBroker(topics={"t": 1}) as broker:
        command = [sys.executable, "-c", SENDER, broker.address, str(idempotent)]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert client.stdin is not None
            client.stdin.write("300\n")
            client.stdin.flush()
            broker.wait(lambda it: it.record_count("t") == 300, TIMEOUT_S)
            broker.hold("Produce")
            client.stdin.write("300\n")
            client.stdin.flush()
            broker.wait(lambda it: it.record_count("t") > 300, TIMEOUT_S)
            client.send_signal(signal.SIGSTOP)
            if answered == "answered meanwhile":
                broker.release()
            time.sleep(SUSPENDED_S)
            before = {request.connection for request in broker.requests_of("Produce")}
            client.send_signal(signal.SIGCONT)
            if answered == "answered afterwards":
                broker.wait(  # given up, and sent again
                    lambda it: {request.connection for request in it.requests_of("Produce")} > before, TIMEOUT_S)
                broker.release()
            said, _ = client.communicate("300\n", timeout=TIMEOUT_S)
        finally:
            client.kill()
            client.wait(TIMEOUT_S)
        assert said == "900\n"
        values = [int(record.value or b"") for record in broker.records("t")]
        assert broker.violations == []
    if idempotent or answered == "answered meanwhile":
        assert values == list(range(900))
    else:
        assert set(values) == set(range(900))
