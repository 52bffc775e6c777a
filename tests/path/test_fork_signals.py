# SPDX-License-Identifier: Apache-2.0
"""os.fork() in a signal handler, in the midst of a blocking call; the child returns from the handler into that call."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pykafka_fast.testing import EmbeddedBroker

PROGRAM = """
import faulthandler, os, signal, sys, traceback
from pykafka_fast import KafkaProducer
from pykafka_fast.errors import ProducerForkedError

faulthandler.register(signal.SIGALRM, chain=True)
signal.alarm(20)
producer = KafkaProducer(bootstrap_servers=sys.argv[1], linger_ms=0, buffer_memory=64 << 10)
pids = []

def fork(*_):
    pid = os.fork()
    pids.append(pid)
    if pid == 0:
        signal.alarm(10)

future = producer.send("t", b"x", partition=0)
signal.signal(signal.SIGUSR1, fork)
print("ready", flush=True)
outcome = "nothing"
try:
    CALL
    outcome = "returned"
except ProducerForkedError:
    outcome = "forked"
except BaseException:
    traceback.print_exc()
if pids[0] == 0:
    print("child", outcome, flush=True)
    try:
        if not producer._closed:
            assert producer.send("t", b"child", partition=1).get(20).offset == 0
            producer.close(10)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
print("parent", outcome, flush=True)
_, status = os.waitpid(pids[0], 0)
producer.close(10)
print("status", os.waitstatus_to_exitcode(status), flush=True)
"""

# What ends it in the parent: the broker answers, or there is room.
CALLS = {
    "get": ("future.get()", "forked"),
    "flush": ("producer.flush()", "forked"),
    "send_memory": ("for _ in range(10): producer.send('t', bytes(8000), partition=0)", "forked"),
    "partitions_for": ("producer.partitions_for('u')", "forked"),
    "close": ("producer.close(10)", "returned"),
}


def wait_until_asleep(pid: int) -> None:
    """Until its main thread is, and not for a moment only."""
    stat, quiet, deadline = Path(f"/proc/{pid}/stat"), 0, time.monotonic() + 20
    while quiet < 10:
        assert time.monotonic() < deadline
        quiet = quiet + 1 if stat.read_text().rpartition(")")[2].split()[0] == "S" else 0
        time.sleep(0.01)


@pytest.mark.parametrize("during", CALLS)
def test_fork_in_a_signal_handler(broker: EmbeddedBroker, during: str) -> None:
    call, expected = CALLS[during]
    broker.hold("Produce")
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM.replace("CALL", call), broker.address]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            broker.wait_for_requests("Produce", 1, timeout=20)
            if during == "partitions_for":
                broker.wait(lambda broker: broker.request_count("Metadata") >= 3, timeout=20)
            wait_until_asleep(process.pid)  # in the call, not merely on its way there
            process.send_signal(10)
            said = {process.stdout.readline()}
            broker.create_topic("u", 1)
            broker.release()
            out, err = process.communicate(timeout=25)
        finally:
            process.kill()
    said |= set(out.splitlines(keepends=True))
    assert err == ""
    assert said == {f"child {expected}\n", "parent returned\n", "status 0\n"}
    if during != "close":
        assert [record.value for record in broker.records("t", 1)] == [b"child"]
    assert broker.record_count("t", 0) == (11 if during == "send_memory" else 1)


LOCKED = """
import os, sys, threading, time
from pykafka_fast import KafkaProducer

producer = KafkaProducer(
    bootstrap_servers=sys.argv[1], acks=0, enable_idempotence=False, linger_ms=0, batch_max_size=1 << 20,
    buffer_memory=64 << 20)
producer.send("t", b"x", partition=0).get(20)

def keep_the_lock_busy():
    while True:
        producer.send("t", bytes(900_000), partition=0)

class Headers(list):
    pid = None

    def __iter__(self):
        if self.pid is None:
            self.pid = os.fork()
        return iter([("a", b"b")])

threads = [threading.Thread(target=keep_the_lock_busy) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(20):
    headers = Headers([("a", b"b")])
    future = producer.send("t", b"y", headers=headers, partition=0)
    if headers.pid == 0:
        future.get(20)
        os._exit(0)
    deadline = time.monotonic() + 20
    while os.waitpid(headers.pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(headers.pid, 9)
            os.waitpid(headers.pid, 0)
            print("a child hung", flush=True)
            os._exit(1)
        time.sleep(0.002)
os._exit(0)
"""


def test_fork_while_a_record_is_gathered_and_its_partition_is_locked(broker: EmbeddedBroker) -> None:
    """Code of the user's may run, and fork, inside send(). The lock it then asks for may be another thread's."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOCKED, broker.address],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
